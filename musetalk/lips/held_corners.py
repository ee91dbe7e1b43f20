"""Lips whose corners the user gave: only the heights between them are left to find."""

from __future__ import annotations

import math

import numpy as np

from ...errors import MediaError
from ...media import FaceLocation, LipCorners, LipShape
from .confidence import SEAM_FIRST, outer_heights
from .frame import FaceFrame
from .maps import make_lip_maps
from .shape import U, lip_shape
from .template import (
    AT_REST,
    CX,
    CY,
    DEVIATION,
    GAP,
    HALF,
    SMILING,
    TILT,
    LipFit,
    Search,
    curve_offsets,
    fit_lips,
    weight_vector,
)

LEAST_WIDTH = 4.0  # pixels
LEAST_SCORE = 0.8  # below it the picture does not show a mouth the template knows
MOST_DISAGREEMENT = 0.2  # mouth widths, between two judges' lip heights
HELD = DEVIATION.copy()
HELD[[CX, CY, HALF, TILT]] = 0
HEIGHTS_ONLY = Search(HELD, first=500, rounds=5, per_round=120)


def locate_by_corners(picture: np.ndarray, corners: LipCorners) -> FaceLocation:
    """Return the lips between two corners in a uint8 RGB picture (H, W, 3).

    Corners in the wrong order are put in order. Raises MediaError where they cannot be meant.
    """
    height, width = picture.shape[:2]
    ordered = checked_corners(corners, width=width, height=height)
    frame = frame_of_mouth(ordered)
    fit = _fit_between(picture, frame)
    if fit is None:
        lips, how = average_lips(ordered), "an average lip shape"
    else:
        maps = make_lip_maps(picture, frame)
        lips, how = lip_shape(maps, frame, fit), "their shape found in the picture"
    reason = f"lip corners given by the user, {how}"
    return FaceLocation(frame.box, lips, 1.0, "user", reason)


def checked_corners(corners: LipCorners, *, width: int, height: int) -> LipCorners:
    """Return the corners with the one further left first; MediaError if they are unusable."""
    x0, y0, x1, y1 = corners
    inside = all(0 <= x <= width and 0 <= y <= height for x, y in ((x0, y0), (x1, y1)))
    if not inside:  # a comparison with NaN is false too
        raise MediaError(
            f"Expected lip corners inside the {width}x{height} picture, got "
            f"{x0:g},{y0:g},{x1:g},{y1:g}: give x0,y0,x1,y1 in its pixels."
        )
    if math.hypot(x1 - x0, y1 - y0) < LEAST_WIDTH:
        raise MediaError(
            f"Expected lip corners at least {LEAST_WIDTH:g} pixels apart, got "
            f"{x0:g},{y0:g},{x1:g},{y1:g}: give the left and the right corner of the mouth."
        )
    return LipCorners(x0, y0, x1, y1) if x0 <= x1 else LipCorners(x1, y1, x0, y0)


def corners_of_mask(mask: np.ndarray) -> LipCorners:
    """Return the ends of a mouth mask's widest extent as lip corners."""
    rows, columns = np.nonzero(mask > 0.5)
    if not rows.size:
        raise MediaError("Expected a mask with a masked part (above 0.5), got none.")
    left, right = columns.min(), columns.max()
    return LipCorners(
        float(left),
        float(rows[columns == left].mean()),
        float(right),
        float(rows[columns == right].mean()),
    )


def frame_of_mouth(corners: LipCorners) -> FaceFrame:
    """Return the face in which these corners are those of an average mouth at rest."""
    x0, y0, x1, y1 = corners
    eye_distance = math.hypot(x1 - x0, y1 - y0) / (2 * AT_REST[HALF])
    tilt = math.atan2(y1 - y0, x1 - x0)
    up = AT_REST[CY] * eye_distance
    return FaceFrame(
        (x0 + x1) / 2 + up * math.sin(tilt),
        (y0 + y1) / 2 - up * math.cos(tilt),
        float(eye_distance),
        tilt,
    )


def average_lips(corners: LipCorners) -> LipShape:
    """Return closed lips of average height between two corners."""
    curves = curve_offsets(AT_REST[None], U)[0] / (2 * AT_REST[HALF])
    gap = curves[2] - curves[1]
    return LipShape(corners, (curves - np.stack([0 * gap, 0 * gap, gap, gap])).astype(np.float32))


def _fit_between(picture: np.ndarray, frame: FaceFrame) -> LipFit | None:
    maps = make_lip_maps(picture, frame)
    starts = [AT_REST.copy(), AT_REST.copy()]
    starts[1][GAP] = SMILING[GAP]
    fits = [fit_lips(maps, start=start, search=HEIGHTS_ONLY) for start in starts]
    best = max(fits, key=lambda fit: fit.score)
    weights = weight_vector(SEAM_FIRST)
    other = fit_lips(maps, start=best.candidate, search=HEIGHTS_ONLY, weights=weights)
    apart = np.abs(outer_heights(best.candidate) - outer_heights(other.candidate)).max()
    trusted = best.score >= LEAST_SCORE and apart <= MOST_DISAGREEMENT * best.width
    return best if trusted else None
