"""One frame with several faces: what each one's speaking changed is brought together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...media import Box


def lay_over(
    shown: np.ndarray, frame: np.ndarray, spoken: np.ndarray, region: Box, others: Sequence[Box]
) -> None:
    """Bring what speaking changed in a region into ``shown``, but for where other faces are."""
    x0, y0, x1, y1 = whole_box(region)
    area = (slice(y0, y1), slice(x0, x1))
    changed = spoken[area] != frame[area]
    for left, top, right, bottom in map(whole_box, others):
        rows = slice(max(top - y0, 0), max(bottom - y0, 0))
        changed[rows, max(left - x0, 0) : max(right - x0, 0)] = False
    np.copyto(shown[area], spoken[area], where=changed)


def whole_box(box: Box) -> tuple[int, int, int, int]:
    """Return a box in whole pixels, none of them before the picture's first."""
    x0, y0, x1, y1 = box
    return max(int(x0), 0), max(int(y0), 0), max(-int(-x1 // 1), 0), max(-int(-y1 // 1), 0)
