"""Eye centres by gradient voting: a pupil is where the slopes around it point away from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import cv2
import numpy as np

from ...media import Box
from .frame import BOX_EYE_LINE, BOX_PER_EYE, FaceFrame, upright_patch

BOX_PIXELS = 110  # the face box is reduced to this before voting
WINDOW_CENTRES = (0.31, 0.69)  # of the box width
WINDOW_HALF_WIDTH = 0.17
WINDOW_TOP, WINDOW_BOTTOM = 0.25, 0.52
PEAKS_PER_SIDE = 8
LEAST_PEAK = 0.3  # of the best peak on that side
# Where the pair of eyes sits in a box: value, deviation, weight; in box sides.
DISTANCE = (1 / BOX_PER_EYE, 0.035, 1.0)
SLOPE = (0.0, 0.045, 1.0)
MEAN_Y = (0.385, 0.03, 0.3)
MEAN_X = (0.50, 0.03, 0.3)
RADII = (3, 4, 5)  # of iris and pupil at BOX_PIXELS


@dataclass(frozen=True)
class EyePair:
    """Two eye centres in box sides from the box corner, and how well they fit a face."""

    left: tuple[float, float]
    right: tuple[float, float]
    score: float


def vote_for_centres(grey: np.ndarray, radii: tuple[int, ...]) -> np.ndarray:
    """Return how many slopes point away from each pixel of float32 (H, W), dark pixels favoured."""
    height, width = grey.shape
    smooth = cv2.GaussianBlur(grey, (0, 0), 1.0)
    dx = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3)
    dy = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3)
    steep = np.hypot(dx, dy)
    rows, columns = np.nonzero(steep > steep.mean())
    strength = steep[rows, columns]
    step_x, step_y = dx[rows, columns] / strength, dy[rows, columns] / strength
    votes = np.zeros(height * width)
    # Not proportional to the slope: a strong edge elsewhere must not outvote a pale iris.
    weight = np.sqrt(strength)
    for radius in radii:
        x = np.rint(columns - radius * step_x).astype(np.int64)
        y = np.rint(rows - radius * step_y).astype(np.int64)
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        flat = y[inside] * width + x[inside]
        votes += np.bincount(flat, weight[inside] / radius, height * width)
    gathered = cv2.GaussianBlur(votes.reshape(height, width).astype(np.float32), (0, 0), 1.5)
    dim = cv2.GaussianBlur(grey, (0, 0), 2.0)
    darkness = (dim.max() - dim) / (np.ptp(dim) + 1.0) + 0.05
    return gathered * darkness**2


def rough_frame(box: Box) -> FaceFrame:
    """Return where a square face box has its eyes on average."""
    return FaceFrame(
        x=(box.x0 + box.x1) / 2,
        y=box.y0 + BOX_EYE_LINE * box.height,
        eye_distance=box.width / BOX_PER_EYE,
    )


def refined_frame(picture: np.ndarray, rough: FaceFrame) -> FaceFrame:
    """Place a face more exactly by its eyes in a uint8 RGB picture.

    The rough frame is as good a ruler as the eyes, so lengths come half from each.
    """
    pair = find_eye_pair(picture, rough)
    left, right = np.array(pair.left), np.array(pair.right)
    middle, across = (left + right) / 2, right - left
    side = BOX_PER_EYE * rough.eye_distance
    shift = np.array([0.8, 0.5]) * (middle - (0.5, BOX_EYE_LINE)) * BOX_PER_EYE
    x, y = rough.to_picture(shift)
    return FaceFrame(
        x=float(x),
        y=float(y),
        eye_distance=(side * float(np.hypot(*across)) + rough.eye_distance) / 2,
        tilt=rough.tilt + math.atan2(across[1], across[0]),
    )


def find_eye_pair(picture: np.ndarray, rough: FaceFrame) -> EyePair:
    """Return the best pair of eye centres in the upright face box of a rough frame."""
    left, top = -BOX_PER_EYE / 2, -BOX_EYE_LINE * BOX_PER_EYE
    region = Box(left, top, left + BOX_PER_EYE, top + BOX_PER_EYE)
    patch = upright_patch(picture, rough, region=region, pixels_per_eye=BOX_PIXELS / BOX_PER_EYE)
    grey = cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY).astype(np.float32)
    sides = [_peaks(grey, centre) for centre in WINDOW_CENTRES]
    best = EyePair((0.31, 0.385), (0.69, 0.385), -math.inf)
    for (one, one_votes), (other, other_votes) in product(*sides):
        score = math.log(one_votes) + math.log(other_votes) - _penalty(one, other)
        if score > best.score:
            best = EyePair(one, other, score)
    return best


def _peaks(grey: np.ndarray, centre: float) -> list[tuple[tuple[float, float], float]]:
    x0 = round((centre - WINDOW_HALF_WIDTH) * BOX_PIXELS)
    x1 = round((centre + WINDOW_HALF_WIDTH) * BOX_PIXELS)
    y0, y1 = round(WINDOW_TOP * BOX_PIXELS), round(WINDOW_BOTTOM * BOX_PIXELS)
    votes = vote_for_centres(grey[y0:y1, x0:x1], RADII)
    highest = cv2.dilate(votes, np.ones((5, 5), np.uint8))
    rows, columns = np.nonzero((votes == highest) & (votes > LEAST_PEAK * votes.max()))
    order = np.argsort(-votes[rows, columns])[:PEAKS_PER_SIDE]
    peaks: list[tuple[tuple[float, float], float]] = []
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        place = ((x0 + column + 0.5) / BOX_PIXELS, (y0 + row + 0.5) / BOX_PIXELS)
        peaks.append((place, float(votes[row, column])))
    return peaks


def _penalty(left: tuple[float, float], right: tuple[float, float]) -> float:
    dx, dy = right[0] - left[0], right[1] - left[1]
    found = (
        (math.hypot(dx, dy), DISTANCE),
        (dy, SLOPE),
        ((left[1] + right[1]) / 2, MEAN_Y),
        ((left[0] + right[0]) / 2, MEAN_X),
    )
    return sum(
        weight * ((value - wanted) / deviation) ** 2 / 2
        for value, (wanted, deviation, weight) in found
    )
