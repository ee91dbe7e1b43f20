"""The outline of the lips, out of the points of a face mesh in MediaPipe's numbering."""

from __future__ import annotations

import numpy as np

from ...media import LIP_CURVE_POINTS, LipCorners, LipShape

# From the right corner of the mouth to the left one.
BORDERS = (
    (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291),
    (61, 191, 80, 81, 82, 13, 312, 311, 310, 415, 291),
    (61, 95, 88, 178, 87, 14, 317, 402, 318, 324, 291),
    (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291),
)
OPEN_GAP = 0.06  # mouth widths


def lips_of_mesh(points: np.ndarray) -> LipShape | None:
    """Return the lips of a mesh (468 or more, 2) in pixels; None where they have no width."""
    ends = points[[BORDERS[0][0], BORDERS[0][-1]]]
    ends = ends[np.argsort(ends[:, 0])]
    across = ends[1] - ends[0]
    width = float(np.hypot(*across))
    if width < 1:
        return None
    axis = across / width
    normal = np.array([-axis[1], axis[0]])
    even = np.linspace(0, 1, LIP_CURVE_POINTS)
    curves = np.empty((len(BORDERS), LIP_CURVE_POINTS), np.float32)
    for border, curve in zip(BORDERS, curves, strict=True):
        relative = (points[list(border)] - ends[0]) / width
        along, offset = relative @ axis, relative @ normal
        order = np.argsort(along)
        curve[:] = np.interp(even, along[order], offset[order])
    parted = bool((curves[2] - curves[1]).max() > OPEN_GAP)
    return LipShape(LipCorners(*(float(v) for v in ends.ravel())), curves, parted)
