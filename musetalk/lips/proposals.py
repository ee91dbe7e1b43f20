"""Our own search for face candidates: needs nothing but pixels, so it works with any OpenCV.

A drawn pattern of where a face is light and dark is compared with the picture at many scales and
a few tilts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from ...media import Box
from .frame import FaceFrame, upright_patch

PIXELS_PER_EYE = 10
REGION = Box(-1.1, -0.9, 1.1, 1.6)  # e, what the pattern covers
LEAST_EYE_PIXELS = 24.0  # in the searched picture; smaller faces are refused anyway
SCALE_STEP = 1.12
LEAST_PICTURE = 2.0  # e: a picture smaller than this cannot hold the pattern
TILTS = (-0.2, 0.0, 0.2)  # radians
# Light against its own surroundings and their own contrast, so that lighting does not count.
SURROUNDINGS = 0.55  # e
CONTRAST_REACH = 0.8  # e
LEAST_CONTRAST = 0.05  # log luminance
FLOOR = 8.0
LEAST_LIKENESS = 0.12
OVERLAP = 0.6  # e: of two proposals closer than this the better one stays
# The drawn face, each row on both sides: x, y, width, height (deviations) in e, how light.
DRAWN_FACE = (
    (0.59, 0.04, 0.10, 0.06, -5.69),
    (0.51, -0.02, 0.07, 0.05, -4.38),
    (0.15, -0.15, 0.11, 0.06, -3.00),
    (0.00, -0.14, 0.07, 0.14, 3.44),
    (0.89, 0.05, 0.07, 0.05, 2.89),
    (0.27, -0.49, 0.18, 0.05, 3.00),
    (0.09, -0.75, 0.07, 0.36, -1.93),
    (0.00, -0.78, 0.26, 0.05, 2.97),
    (0.55, 0.22, 0.12, 0.26, 2.19),
    (0.00, 0.55, 0.06, 0.07, 4.36),
    (0.00, 0.63, 0.18, 0.06, -2.49),
    (0.29, 0.73, 0.08, 0.05, 3.29),
    (0.00, 1.00, 0.23, 0.06, -0.92),
    (0.00, 1.08, 0.09, 0.08, 2.03),
    (0.00, 1.29, 0.12, 0.06, -2.16),
    (0.18, 1.40, 0.09, 0.06, 3.74),
)


@dataclass(frozen=True)
class Proposal:
    """A place that looks like a face; the likeness of true faces is about 4 to 12."""

    frame: FaceFrame
    likeness: float


def propose_faces(grey: np.ndarray, *, most: int) -> list[Proposal]:
    """Return the places of a uint8 (H, W) picture that look most like a face, best first."""
    patterns = [(tilt, _pattern(tilt)) for tilt in TILTS]
    # The response at a pixel is that of a face with that pixel between the eyes.
    origin = (round(-REGION.x0 * PIXELS_PER_EYE), round(-REGION.y0 * PIXELS_PER_EYE))
    found: list[Proposal] = []
    for contrast, eye_pixels in _pyramid(grey):
        best = np.full(contrast.shape, -np.inf, np.float32)
        tilts = np.zeros(contrast.shape, np.float32)
        for tilt, pattern in patterns:
            response = cv2.filter2D(
                contrast, cv2.CV_32F, pattern, anchor=origin, borderType=cv2.BORDER_REPLICATE
            )
            better = response > best
            best[better] = response[better]
            tilts[better] = tilt
        found += _peaks(best, tilts, eye_pixels)
    return _apart(sorted(found, key=lambda one: -one.likeness), most)


def face_likeness(picture: np.ndarray, frame: FaceFrame) -> float:
    """Return the response of the drawn face at one place of a uint8 RGB picture."""
    margin = 1.0  # e, so that the contrast is measured as in the search
    x0, y0, x1, y1 = REGION
    wide = Box(x0 - margin, y0 - margin, x1 + margin, y1 + margin)
    patch = upright_patch(picture, frame, region=wide, pixels_per_eye=PIXELS_PER_EYE)
    contrast = _contrast(cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY))
    edge = round(margin * PIXELS_PER_EYE)
    return float((contrast[edge:-edge, edge:-edge] * _pattern(0.0)).sum())


def _pattern(tilt: float) -> np.ndarray:
    """Draw the face: float32, 10 pixels per e over REGION, absolute values summing to 1."""
    width, height = (round(side * PIXELS_PER_EYE) for side in (REGION.width, REGION.height))
    x = REGION.x0 + (np.arange(width) + 0.5) / PIXELS_PER_EYE
    y = REGION.y0 + (np.arange(height) + 0.5)[:, None] / PIXELS_PER_EYE
    along = math.cos(tilt) * x + math.sin(tilt) * y
    down = math.cos(tilt) * y - math.sin(tilt) * x
    drawn = np.zeros((height, width))
    for at_x, at_y, wide, high, light in DRAWN_FACE:
        for side in (-1, 1):
            across = ((along - side * at_x) / wide) ** 2 + ((down - at_y) / high) ** 2
            drawn += light * np.exp(-across / 2)
    return (drawn / np.abs(drawn).sum()).astype(np.float32)


def _pyramid(grey: np.ndarray) -> Iterator[tuple[np.ndarray, float]]:
    """Yield (contrast picture at 10 pixels per e, that e in pixels of ``grey``), small first."""
    height, width = grey.shape
    eye_pixels = LEAST_EYE_PIXELS
    while LEAST_PICTURE * eye_pixels <= min(height, width):
        scale = PIXELS_PER_EYE / eye_pixels
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        yield _contrast(cv2.resize(grey, size, interpolation=cv2.INTER_AREA)), eye_pixels
        eye_pixels *= SCALE_STEP


def _contrast(grey: np.ndarray) -> np.ndarray:
    light = cv2.GaussianBlur(np.log(grey.astype(np.float32) + FLOOR), (0, 0), 0.7)
    apart = light - cv2.GaussianBlur(light, (0, 0), SURROUNDINGS * PIXELS_PER_EYE)
    power = cv2.GaussianBlur(apart * apart, (0, 0), CONTRAST_REACH * PIXELS_PER_EYE)
    return apart / (np.sqrt(power) + LEAST_CONTRAST)


def _peaks(response: np.ndarray, tilts: np.ndarray, eye_pixels: float) -> list[Proposal]:
    highest = cv2.dilate(response, np.ones((5, 5), np.uint8))
    rows, columns = np.nonzero((response == highest) & (response > LEAST_LIKENESS))
    scale = eye_pixels / PIXELS_PER_EYE
    # Pixel c of the contrast picture is centred at c + 0.5, the pattern's origin on its left edge.
    return [
        Proposal(FaceFrame(c * scale, r * scale, eye_pixels, float(tilts[r, c])), float(likeness))
        for r, c, likeness in zip(rows, columns, response[rows, columns], strict=True)
    ]


def _apart(proposals: list[Proposal], most: int) -> list[Proposal]:
    """Keep the best of proposals that lie on each other."""
    kept: list[Proposal] = []
    for one in proposals:
        if all(one.frame.distance_to(other.frame) > OVERLAP for other in kept):
            kept.append(one)
        if len(kept) == most:
            break
    return kept
