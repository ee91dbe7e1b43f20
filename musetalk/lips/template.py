"""A mouth of eight numbers, fitted to the maps by sampling: finds lips without any weights.

A free contour follows whatever edge is near; this shape can only be a mouth, so that a bad fit
scores badly instead of looking like something else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .maps import PIXELS_PER_EYE, REGION, LipMaps

# Columns of a candidate, all in e but the tilt (radians): centre, half width, tilt of the corner
# line, bow of the upper lip's inner border, heights of both lips, gap between them.
CX, CY, HALF, TILT, BOW, UPPER, LOWER, GAP = range(8)
AT_REST = np.array([0.0, 1.12, 0.38, 0.0, 0.015, 0.097, 0.155, 0.02])
SMILING = np.array([0.0, 1.12, 0.45, 0.0, 0.04, 0.097, 0.155, 0.13])
DEVIATION = np.array([0.06, 0.09, 0.06, 0.05, 0.04, 0.03, 0.035, 0.06])
PULL = np.array([1, 1, 1.8, 1, 1, 1, 1, 1.3])
LEAST = np.array([-0.3, 0.75, 0.18, -0.25, -0.10, 0.03, 0.05, 0.0])
MOST = np.array([0.3, 1.50, 0.62, 0.25, 0.20, 0.22, 0.30, 0.35])

# Terms of the score, each larger where the candidate fits better. The weights were set on some
# 230 faces against mediapipe's mesh so that the best candidate is the true mouth.
WEIGHTS: dict[str, float] = {
    "seam": 0.145,  # a dark line between the lips
    "upper_seam": 0.31,  # and under the upper lip
    "corner_valley": 0.055,  # it reaches the corners
    "past_valley": 0.49,  # and ends there
    "corner_dark": 0.28,
    "corner_red": 0.12,  # so does the redness
    "past_red": 0.18,
    "lower_red": 0.25,  # redness falls below the lower lip
    "lower_dark": 0.26,  # which casts a shadow
    "upper_dark": 0.022,
    "upper_red": 0.014,
    "hole": 0.30,  # between parted lips it is dark, or bright and colourless
    "upper_lip": 0.17,  # the lips are red
    "lower_lip": 0.25,
    "above_red": 0.075,  # the skin above them is not
    "inner_edge": 0.07,  # the lower lip is brighter than what is above it
    "prior": 0.023,
}
TERMS = tuple(WEIGHTS)
PRIOR = TERMS.index("prior")

ALONG = np.linspace(-0.95, 0.95, 13)
INSIDE = np.linspace(-0.7, 0.7, 7)
CORNER = np.array([-0.88, 0.88])
PAST = np.array([-1.14, 1.14])
FAR_PAST = np.array([-1.25, 1.25])
ABOVE = 0.07  # e over the upper border
HOLE_LEAST = 0.8  # of the gap must look like a hole before a gap pays
HOLE_SOFTNESS = 0.03  # e

ELITE = 30
SHRINK = 0.6  # of the elite's spread
MEAN_OF = 8


def weight_vector(weights: dict[str, float]) -> np.ndarray:
    """Return weights in the order of TERMS; what is missing counts nothing."""
    return np.array([weights.get(term, 0.0) for term in TERMS])


@dataclass(frozen=True, eq=False)
class LipFit:
    """The best candidate of one search and how it scores, term by term (order of TERMS)."""

    candidate: np.ndarray
    terms: np.ndarray
    score: float

    def term(self, name: str) -> float:
        """Return one unweighted term."""
        return float(self.terms[TERMS.index(name)])

    @property
    def width(self) -> float:
        """Mouth width in e."""
        return 2 * float(self.candidate[HALF])


def curve_offsets(candidates: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Return (N, 4, len(u)) offsets below the corner line in e: the four borders top to bottom."""
    arch = np.maximum(1 - u**2, 0)
    inner = candidates[:, BOW, None] * arch
    upper = inner - candidates[:, UPPER, None] * arch**0.8
    lower_inner = inner + candidates[:, GAP, None] * arch**0.8
    lower = lower_inner + candidates[:, LOWER, None] * arch**0.65
    return np.stack([upper, inner, lower_inner, lower], axis=1)


def corner_points(candidate: np.ndarray) -> np.ndarray:
    """Return both corners (2, 2) in e, left first."""
    arm = candidate[HALF] * np.array([np.cos(candidate[TILT]), np.sin(candidate[TILT])])
    return np.stack([candidate[:2] - arm, candidate[:2] + arm])


class Grid:
    """Turns points along N candidate mouths into flat indices of the maps."""

    def __init__(self, shape: tuple[int, int], candidates: np.ndarray) -> None:
        self._height, self._width = shape
        tilt, per_eye = candidates[:, TILT, None], PIXELS_PER_EYE
        self._cos = (per_eye * np.cos(tilt)).astype(np.float32)
        self._sin = (per_eye * np.sin(tilt)).astype(np.float32)
        self._x = (per_eye * (candidates[:, CX, None] - REGION.x0)).astype(np.float32)
        self._y = (per_eye * (candidates[:, CY, None] - REGION.y0)).astype(np.float32)
        self._half = candidates[:, HALF, None].astype(np.float32)

    def at(self, u: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Return indices (N, len(u)) of the points u (-1..1) lying ``offsets`` e below."""
        along = self._half * u.astype(np.float32)
        down = offsets.astype(np.float32)
        column = (self._x + self._cos * along - self._sin * down).astype(np.int32)
        row = (self._y + self._sin * along + self._cos * down).astype(np.int32)
        np.clip(column, 0, self._width - 1, out=column)
        np.clip(row, 0, self._height - 1, out=row)
        return row * self._width + column


def score_terms(maps: LipMaps, candidates: np.ndarray) -> np.ndarray:
    """Return (N, len(TERMS)): means of the maps along each candidate's curves."""
    grid = Grid(maps.light.shape, candidates)
    valley, red, light = maps.valley.ravel(), maps.red.ravel(), maps.light.ravel()
    light_step, red_step = maps.light_step.ravel(), maps.red_step.ravel()
    borders = curve_offsets(candidates, ALONG)
    top, bottom = grid.at(ALONG, borders[:, 0]), grid.at(ALONG, borders[:, 3])
    seam = grid.at(ALONG, (borders[:, 1] + borders[:, 2]) / 2)
    corners = curve_offsets(candidates, CORNER)
    corner = grid.at(CORNER, (corners[:, 1] + corners[:, 2]) / 2)
    level = np.zeros((len(candidates), 2))
    past, far = grid.at(PAST, level), grid.at(FAR_PAST, level)
    middle = curve_offsets(candidates, INSIDE)
    upper_lip = grid.at(INSIDE, (middle[:, 0] + middle[:, 1]) / 2)
    lower_lip = grid.at(INSIDE, (middle[:, 2] + middle[:, 3]) / 2)
    columns = {
        "seam": valley[seam],
        "upper_seam": valley[grid.at(ALONG, borders[:, 1])],
        "corner_valley": valley[corner] - np.maximum(valley[past], 0),
        "past_valley": -np.maximum(valley[far], 0),
        "corner_dark": -light[corner],
        "corner_red": red[corner],
        "past_red": -red[past],
        "lower_red": -red_step[bottom],
        "lower_dark": -light_step[bottom],
        "upper_dark": -light_step[top],
        "upper_red": red_step[top],
        "hole": _hole(light, red, grid, middle, candidates[:, GAP]),
        "upper_lip": red[upper_lip],
        "lower_lip": red[lower_lip],
        "above_red": -red[grid.at(INSIDE, middle[:, 0] - ABOVE)],
        "inner_edge": light_step[grid.at(ALONG, borders[:, 2])],
        "prior": -PULL * ((candidates - AT_REST) / DEVIATION) ** 2,
    }
    terms = [columns[name].mean(1) for name in TERMS]
    terms[PRIOR] = terms[PRIOR] * len(DEVIATION)
    return np.stack(terms, axis=1)


def _hole(
    light: np.ndarray, red: np.ndarray, grid: Grid, middle: np.ndarray, gap: np.ndarray
) -> np.ndarray:
    depths = (0.25, 0.5, 0.75)
    index = np.concatenate(
        [grid.at(INSIDE, middle[:, 1] * (1 - k) + middle[:, 2] * k) for k in depths], axis=1
    )
    dark = np.clip(-light[index] - 1.5, 0, 1)
    bright = np.clip((light[index] + 0.5) / 0.5, 0, 1)
    colourless = np.clip((0.2 - red[index]) / 0.7, 0, 1)
    filled = np.maximum(dark, bright * colourless).mean(1, keepdims=True)
    return (filled - HOLE_LEAST) * (gap / (gap + HOLE_SOFTNESS))[:, None]


@dataclass(frozen=True, eq=False)
class Search:
    """Where and how hard to look: numbers of samples, and the first samples' standard deviation.

    A column whose ``spread`` is 0 is held at the start's value.
    """

    spread: np.ndarray
    first: int
    rounds: int
    per_round: int


FULL_SEARCH = Search(DEVIATION, first=1200, rounds=6, per_round=200)


def fit_lips(
    maps: LipMaps,
    *,
    start: np.ndarray = AT_REST,
    weights: np.ndarray | None = None,
    search: Search = FULL_SEARCH,
) -> LipFit:
    """Return the best mouth near ``start``. The same maps always give the same mouth."""
    weights = weight_vector(WEIGHTS) if weights is None else weights
    rng = np.random.default_rng(20)
    free = search.spread > 0
    least, most = np.where(free, LEAST, start), np.where(free, MOST, start)
    noise = rng.standard_normal((search.first, len(start)))
    noise[0] = 0  # the start itself takes part
    candidates = np.clip(start + search.spread * noise, least, most)
    scores = score_terms(maps, candidates) @ weights
    for _ in range(search.rounds):
        best = np.argsort(-scores)[:ELITE]
        candidates, scores = candidates[best], scores[best]
        spread = SHRINK * (candidates.std(0) + 1e-4)
        parents = candidates[rng.integers(0, len(best), search.per_round)]
        children = parents + spread * rng.standard_normal(parents.shape)
        children = np.clip(children, least, most)
        candidates = np.concatenate([candidates, children])
        scores = np.concatenate([scores, score_terms(maps, children) @ weights])
    mean = candidates[np.argsort(-scores)[:MEAN_OF]].mean(0)
    terms = score_terms(maps, mean[None])[0]
    return LipFit(mean, terms, float(terms @ weights))
