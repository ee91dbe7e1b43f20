"""How far a fitted mouth can be trusted: the smallest of many ramps, so that one doubt suffices."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...media import Box
from .corners import with_exact_corners
from .frame import FaceFrame
from .maps import LipMaps, make_lip_maps
from .proposals import face_likeness
from .template import (
    ALONG,
    AT_REST,
    BOW,
    CX,
    CY,
    DEVIATION,
    FAR_PAST,
    GAP,
    INSIDE,
    LOWER,
    SMILING,
    TILT,
    UPPER,
    WEIGHTS,
    Grid,
    LipFit,
    Search,
    corner_points,
    curve_offsets,
    fit_lips,
    weight_vector,
)

ACCEPT = 0.2
# Two further judges with other habits: one is blind to colour, one trusts the seam first.
LIGHT_ONLY = {term: weight for term, weight in WEIGHTS.items() if "red" not in term} | {
    "upper_lip": 0.0,
    "lower_lip": 0.0,
}
SEAM_FIRST = {
    "seam": 2.9,
    "corner_valley": 0.8,
    "corner_red": 0.4,
    "past_red": 0.4,
    "lower_red": 0.8,
    "prior": 0.06,
    "upper_dark": 0.44,
    "upper_red": 0.27,
    "hole": 0.22,
    "upper_lip": 0.07,
}
QUICK_SEARCH = Search(DEVIATION, first=400, rounds=3, per_round=120)
BEYOND = (0.03, 0.06, 0.09, 0.12, 0.15, 0.18, 0.21, 0.24)  # e outside the outer borders
MOVES = ((0.05, 0.07, 1.07), (-0.05, -0.07, 0.93))  # e, e, scale of the face frame
# How strongly each measure tells true mouths from others: lowest and highest value that counts,
# weight. Logistic regression over some 1,100 places on 290 pictures (faces by mediapipe's mesh).
EVIDENCE: dict[str, tuple[float, float, float]] = {
    "score": (0.8, 3.0, 1.0),
    "red": (0.0, 1.6, 0.44),
    "corners": (0.3, 2.3, 2.04),
    "upper_dark": (0.0, 1.6, 0.32),
    "separation": (0.5, 4.0, 0.8),
    "seam": (0.0, 1.0, 1.95),
    "moustache": (0.45, 1.05, -5.81),
    "above": (0.5, 2.0, -2.61),
    "below": (0.1, 1.1, -1.48),
    "size": (40, 200, 0.0086),
    "likeness": (0.1, 0.55, 8.18),
    "disagreement": (0.0, 0.4, -3.77),
}
EVIDENCE_BASE = -7.35
# measure: value at which the confidence is 0, value at which it is 1, what a low one means.
RAMPS: dict[str, tuple[float, float, str]] = {
    "size": (70, 90, "the face is too small"),
    "inside": (0.75, 0.95, "much of the face would lie outside the picture"),
    "likeness": (0.2, 0.34, "it hardly looks like a face seen from the front"),
    "skin": (0.03, 0.08, "the picture has too little colour to tell lips from skin"),
    "flushed": (0.9, 0.75, "what should be skin is too red"),
    "yellow": (1.2, 1.0, "what should be skin has another colour"),
    "separation": (0.4, 1.5, "the lips hardly differ from the skin"),
    "seam": (0.1, 0.4, "there is no clear line between the lips"),
    "corners": (0.2, 0.9, "the corners of the mouth are not clear"),
    "past": (1.0, 0.3, "the line between the lips runs on past their corners"),
    "below": (0.8, 0.3, "what was found may be the upper lip alone"),
    "moustache": (0.95, 0.65, "a beard or shadow hides the lips"),
    "disagreement": (0.26, 0.07, "repeated searches found different mouths"),
    "worst_disagreement": (0.75, 0.12, "repeated searches found different mouths"),
    "evidence": (0.4, 3.2, "its mouth is not clear enough (it may be open, smiling or hidden)"),
}


@dataclass(frozen=True, eq=False)
class JudgedLips:
    """A mouth, how far to trust it (0..1), what speaks against it, and all that was measured."""

    frame: FaceFrame
    maps: LipMaps
    fit: LipFit
    confidence: float
    doubt: str
    measures: dict[str, float]


def quick_score(picture: np.ndarray, frame: FaceFrame) -> float:
    """Return the template's score of a short search: above about 1 there may be a mouth."""
    return fit_lips(make_lip_maps(picture, frame), search=QUICK_SEARCH).score


def judge_lips(picture: np.ndarray, frame: FaceFrame) -> JudgedLips:
    """Find the mouth of a face in a uint8 RGB picture and say how far to trust it."""
    maps = make_lip_maps(picture, frame)
    tries = [(start, fit_lips(maps, start=start)) for start in (AT_REST, SMILING)]
    start, fit = max(tries, key=lambda one: one[1].score)
    measures = _measures(maps, fit)
    measures |= {"size": frame.box.width, "likeness": face_likeness(picture, frame)}
    measures["inside"] = _share_inside(frame.box, picture)
    weakest, confidence = _weakest(measures)
    if confidence > 0:  # four more searches are only worth it where nothing else spoke against
        found = _refits(picture, frame, maps, start)
        apart = sorted(_disagreement(fit, other) for other in found)
        measures |= {"disagreement": apart[-2], "worst_disagreement": apart[-1]}
        measures["evidence"] = EVIDENCE_BASE + sum(  # logarithm of the odds that it is right
            weight * float(np.clip(measures[name], low, high))
            for name, (low, high, weight) in EVIDENCE.items()
        )
        weakest, confidence = _weakest(measures)
    fit = replace(fit, candidate=with_exact_corners(maps, fit.candidate))
    return JudgedLips(frame, maps, fit, confidence, RAMPS[weakest][2], measures)


def _share_inside(box: Box, picture: np.ndarray) -> float:
    """Return how much of a box lies in the picture, 0..1."""
    height, width = picture.shape[:2]
    across = min(box.x1, width) - max(box.x0, 0.0)
    down = min(box.y1, height) - max(box.y0, 0.0)
    return max(across, 0.0) * max(down, 0.0) / (box.width * box.height)


def _weakest(measures: dict[str, float]) -> tuple[str, float]:
    ramps = {
        name: float(np.clip((measures[name] - zero) / (one - zero), 0, 1))
        for name, (zero, one, _) in RAMPS.items()
        if name in measures
    }
    name = min(ramps, key=lambda key: ramps[key])
    return name, ramps[name]


def _refits(
    picture: np.ndarray, frame: FaceFrame, maps: LipMaps, start: np.ndarray
) -> list[LipFit]:
    found = [
        fit_lips(maps, start=start, weights=weight_vector(weights))
        for weights in (LIGHT_ONLY, SEAM_FIRST)
    ]
    for dx, dy, scale in MOVES:
        moved = frame.moved(dx, dy, scale)
        again = fit_lips(make_lip_maps(picture, moved), start=start)
        found.append(_seen_from(again, moved, frame))
    return found


def _seen_from(fit: LipFit, frame: FaceFrame, home: FaceFrame) -> LipFit:
    """Express a mouth found in one frame in the coordinates of another."""
    candidate = fit.candidate * (frame.eye_distance / home.eye_distance)
    candidate[TILT] = fit.candidate[TILT] + frame.tilt - home.tilt
    candidate[[CX, CY]] = home.to_face(frame.to_picture(fit.candidate[[CX, CY]]))
    return LipFit(candidate, fit.terms, fit.score)


def _disagreement(one: LipFit, other: LipFit) -> float:
    """Return the largest distance of corners and outer borders, in widths of the first mouth."""
    corners = corner_points(one.candidate) - corner_points(other.candidate)
    heights = outer_heights(one.candidate) - outer_heights(other.candidate)
    return float(max(np.hypot(*corners.T).max(), np.abs(heights).max())) / one.width


def outer_heights(candidate: np.ndarray) -> np.ndarray:
    """Return the heights of upper and lower outer border in the middle of the mouth, e."""
    seam = candidate[CY] + candidate[BOW]
    return np.array([seam - candidate[UPPER], seam + candidate[GAP] + candidate[LOWER]])


def _measures(maps: LipMaps, fit: LipFit) -> dict[str, float]:
    candidate = fit.candidate[None]
    grid = Grid(maps.light.shape, candidate)
    valley, red, light = maps.valley.ravel(), maps.red.ravel(), maps.light.ravel()
    middle, whole = curve_offsets(candidate, INSIDE), curve_offsets(candidate, ALONG)
    within = [(middle[:, i], middle[:, i + 1], k) for i in (0, 2) for k in (0.3, 0.5, 0.7)]
    lips = np.concatenate([grid.at(INSIDE, a * (1 - k) + b * k).ravel() for a, b, k in within])
    above = grid.at(INSIDE, middle[:, 0] - 0.07).ravel()
    ring = np.concatenate([above, grid.at(INSIDE, middle[:, 3] + 0.08).ravel()])
    seam = max(float(valley[grid.at(ALONG, whole[:, i])].mean()) for i in (1, 2))
    past = float(valley[grid.at(FAR_PAST, np.zeros((1, 2)))].max())
    edges = fit.term("corner_red") + fit.term("past_red")
    return {
        "skin": maps.skin_red,
        "flushed": maps.skin_red,
        "yellow": maps.skin_yellow,
        "score": fit.score,
        "red": float(red[lips].mean() - red[ring].mean()),
        "upper_dark": fit.term("upper_dark"),
        "corners": fit.term("corner_valley") + 0.5 * edges,
        "separation": _separation(maps.colours.reshape(-1, 3), lips, ring),
        "seam": seam,
        "moustache": float(-light[lips].mean() * maps.light_spread),
        "past": past / max(seam, 0.02),
        "above": _rise([float(red[grid.at(INSIDE, middle[:, 0] - d)].mean()) for d in BEYOND]),
        "below": _rise([float(red[grid.at(INSIDE, middle[:, 3] + d)].mean()) for d in BEYOND]),
    }


def _rise(profile: list[float]) -> float:
    """Return how far the values climb again after their lowest so far."""
    lowest = np.minimum.accumulate(profile)
    return float((np.array(profile) - lowest).max())


def _separation(colours: np.ndarray, lips: np.ndarray, ring: np.ndarray) -> float:
    """Return how many deviations lips and their surroundings differ in light, R/G and B/G."""
    red, green, blue = colours.T
    looks = np.stack([colours.mean(1), red - green, blue - green], axis=1)
    one, other = looks[lips], looks[ring]
    spread = np.sqrt((one.var(0) + other.var(0)) / 2) + 0.01
    return float(np.linalg.norm((one.mean(0) - other.mean(0)) / spread))
