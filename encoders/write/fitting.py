"""Bring pictures to another size: how large the picture gets and where it is placed."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np

from ..interfaces import Fit


@dataclass(frozen=True)
class Placement:
    """The picture is scaled to ``scaled`` and put at ``offset`` on a canvas; all (x, y) pixels.

    A negative offset crops. The rest of the canvas repeats the last pixel with ``repeat_edge``,
    without it is black.
    """

    scaled: tuple[int, int]
    canvas: tuple[int, int]
    offset: tuple[int, int]
    repeat_edge: bool

    @property
    def is_identity(self) -> bool:
        return self.scaled == self.canvas and self.offset == (0, 0)


def place(
    source: tuple[int, int], target: tuple[int, int], fit: Fit, step: tuple[int, int]
) -> Placement:
    """Return how a picture is brought to another size.

    source, target: (width, height); a target side of 0 follows from the other. step: the sides
    must be multiples of it. Without a target, sides grow to that by repeating the edge.
    """
    if not any(target) or target == source:
        return Placement(source, _rounded_up(source, step), (0, 0), True)
    box = _box(source, target)
    scales = (Fraction(box[0], source[0]), Fraction(box[1], source[1]))
    if fit == "stretch":
        canvas = _rounded_up(box, step)
        return Placement(canvas, canvas, (0, 0), False)
    scale = max(scales) if fit == "cover" else min(scales)
    if fit == "contain":
        canvas = _nearest(source, scale, step)
        return Placement(canvas, canvas, (0, 0), False)
    canvas = _rounded_up(box, step)
    if fit == "cover":
        scale = max(Fraction(canvas[0], source[0]), Fraction(canvas[1], source[1]))
        scaled = tuple(max(c, round(s * scale)) for s, c in zip(source, canvas, strict=True))
    else:
        scaled = _nearest(source, scale, (1, 1))
    # An even offset keeps the chroma samples of 4:2:0 aligned with the canvas's.
    offset = tuple(2 * round((c - s) / 4) for s, c in zip(scaled, canvas, strict=True))
    return Placement((scaled[0], scaled[1]), canvas, (offset[0], offset[1]), False)


def _box(source: tuple[int, int], target: tuple[int, int]) -> tuple[int, int]:
    width, height = target
    width = width or max(1, round(Fraction(source[0] * height, source[1])))
    return width, height or max(1, round(Fraction(source[1] * width, source[0])))


def _rounded_up(size: tuple[int, int], step: tuple[int, int]) -> tuple[int, int]:
    return -(-size[0] // step[0]) * step[0], -(-size[1] // step[1]) * step[1]


def _nearest(source: tuple[int, int], scale: Fraction, step: tuple[int, int]) -> tuple[int, int]:
    width, height = (
        max(n, round(side * scale / n) * n) for side, n in zip(source, step, strict=True)
    )
    return width, height


class Fitter:
    """Applies a placement to uint8 pictures (H, W, C); the result lives until the next call."""

    def __init__(self, placement: Placement, channels: int) -> None:
        self._placement = placement
        self._canvas = np.empty((*placement.canvas[::-1], channels), np.uint8)

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        placement = self._placement
        width, height = placement.scaled
        if picture.shape[:2] != (height, width):
            shrinks = width < picture.shape[1]
            how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
            picture = cv2.resize(picture, (width, height), interpolation=how)
        if placement.scaled == placement.canvas:
            return np.ascontiguousarray(picture)
        (x, y), (width, height) = placement.offset, placement.canvas
        inner = picture[max(0, -y) : height - y, max(0, -x) : width - x]
        left, top = max(0, x), max(0, y)
        right, bottom = width - left - inner.shape[1], height - top - inner.shape[0]
        border = cv2.BORDER_REPLICATE if placement.repeat_edge else cv2.BORDER_CONSTANT
        black = (0, 0, 0, 255)
        return cv2.copyMakeBorder(
            inner, top, bottom, left, right, border, dst=self._canvas, value=black
        )
