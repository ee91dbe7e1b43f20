"""A picture's mouth that opens: made once per source frame, rendered for any pose."""

from __future__ import annotations

import math

import cv2
import numpy as np

from ...errors import MediaError
from ...media import Box, LipShape
from .cavity import SOFTEST, cavity_look, paint_cavity
from .warp import FULL_GAP, Fields, LipTable, MouthFrame, WarpGrid, enlarged, grid_step

KERNEL_REACH = 4  # pixels that the resampling may read beyond the furthest displacement
CUBIC_WIDTH = 64  # pixels: in wider mouths only the lips are worth the slower kernel


class Puppet:
    """One picture, uint8 RGB (H, W, 3), with lips that can be opened.

    after: the puppet of the frame before it in a video, so that colours drift instead of flicker.
    region: the only part of the picture that changes, in whole pixels.
    Raises MediaError for another kind of picture and for lips outside of it.
    """

    def __init__(self, frame: np.ndarray, lips: LipShape, *, after: Puppet | None = None) -> None:
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise MediaError(
                f"Expected a picture uint8 (H, W, 3), got {frame.dtype} {frame.shape}."
            )
        height, width = frame.shape[:2]
        mouth, table = MouthFrame.of(lips), LipTable.of(lips)
        if not (0 <= mouth.cx < width and 0 <= mouth.cy < height):
            raise MediaError(
                f"Expected lips inside the {width}x{height} picture, "
                f"got corners {tuple(lips.corners)}."
            )
        self._frame = frame
        self._mouth = mouth
        self._teeth = 1 - table.parted
        self._step = grid_step(mouth)
        self._look = cavity_look(frame, mouth, lips)
        if after is not None:
            self._look = self._look.drifted_from(after._look)
        x0, y0, x1, y1 = _whole(table.outline(mouth), width, height)
        self.region = Box(x0, y0, x1, y1)
        nodes = (-(-(x1 - x0) // self._step), -(-(y1 - y0) // self._step))
        self._grid = WarpGrid.over(mouth, table, origin=(x0, y0), size=nodes)
        may_change = enlarged(self._grid.support(), self._step) > 0
        self._may_change = may_change[: y1 - y0, : x1 - x0].astype(np.uint8)
        self._lips = _nodes_where(self._grid.lips())
        self._margin = math.ceil(FULL_GAP * mouth.width) + KERNEL_REACH

    def mask(self) -> np.ndarray:
        """Return float32 (H, W): 1 where the picture may change, 0 elsewhere."""
        mask = np.zeros(self._frame.shape[:2], np.float32)
        x0, y0, x1, y1 = (int(edge) for edge in self.region)
        mask[y0:y1, x0:x1] = self._may_change
        return mask

    def render(self, opening: float, spread: float = 0.0) -> np.ndarray:
        """Return a new picture, uint8 (H, W, 3): opening 0..1, spread -1 round .. 1 wide.

        The source itself at opening 0 and spread 0, and always outside the mask.
        """
        picture = self._frame.copy()
        opening, spread = min(max(float(opening), 0.0), 1.0), min(max(float(spread), -1.0), 1.0)
        if opening == 0 and spread == 0:
            return picture
        fields = self._grid.posed(opening, spread)
        near = np.abs(fields.depth - fields.gap / 2) < fields.gap / 2 + SOFTEST
        hollow = _nodes_where(near & (fields.gap > 0))
        warped = self._resampled(fields, hollow)
        if opening > 0:
            measures = (fields.depth, fields.gap, fields.across)
            depth, gap, across = (enlarged(field[hollow], self._step) for field in measures)
            inside = warped[self._pixels(hollow)]
            paint_cavity(inside, self._look, depth, gap, across, teeth=self._teeth)
        x0, y0, x1, y1 = (int(edge) for edge in self.region)
        cv2.copyTo(warped[: y1 - y0, : x1 - x0], self._may_change, picture[y0:y1, x0:x1])
        return picture

    def _resampled(self, fields: Fields, hollow: tuple[slice, slice]) -> np.ndarray:
        """Return the warped region, uint8, its size rounded up to whole grid cells."""
        below = fields.depth > fields.gap / 2
        shifts = self._shifts(fields.along, np.where(below, fields.below, fields.above))
        dx, dy = (enlarged(shift, self._step) for shift in shifts)
        # The opening's edge is a jump that the coarse grid would smear.
        along, above, under, depth, gap, _ = (enlarged(f[hollow], self._step) for f in fields)
        pixels = self._pixels(hollow)
        dx[pixels], dy[pixels] = self._shifts(along, np.where(depth > gap / 2, under, above))
        left, top, source = self._source()
        dx += np.arange(left, left + dx.shape[1], dtype=np.float32)
        dy += np.arange(top, top + dy.shape[0], dtype=np.float32)[:, None]
        if self._mouth.width <= CUBIC_WIDTH:
            return _remapped(source, dx, dy, cv2.INTER_CUBIC)
        warped = _remapped(source, dx, dy, cv2.INTER_LINEAR)
        lips = self._pixels(self._lips)
        warped[lips] = _remapped(source, dx[lips], dy[lips], cv2.INTER_CUBIC)
        return warped

    def _shifts(self, along: np.ndarray, across: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return displacements in the mouth's frame as pixels of the picture."""
        x, y = self._mouth.ux * self._mouth.width, self._mouth.uy * self._mouth.width
        return along * x - across * y, along * y + across * x

    def _source(self) -> tuple[int, int, np.ndarray]:
        """Return the part of the frame that is read and where the region begins in it (x, y)."""
        height, width = self._frame.shape[:2]
        x0, y0, x1, y1 = (int(edge) for edge in self.region)
        left, top = max(x0 - self._margin, 0), max(y0 - self._margin, 0)
        right, bottom = min(x1 + self._margin, width), min(y1 + self._margin, height)
        return x0 - left, y0 - top, self._frame[top:bottom, left:right]

    def _pixels(self, nodes: tuple[slice, slice]) -> tuple[slice, slice]:
        rows, columns = (slice(n.start * self._step, n.stop * self._step) for n in nodes)
        return rows, columns


def _remapped(source: np.ndarray, x: np.ndarray, y: np.ndarray, kernel: int) -> np.ndarray:
    return cv2.remap(source, x, y, kernel, borderMode=cv2.BORDER_REPLICATE)


def _nodes_where(chosen: np.ndarray) -> tuple[slice, slice]:
    """Return the rows and columns that hold every chosen node (h, w) and its neighbours."""
    spans: list[slice] = []
    for axis in (1, 0):
        found = np.flatnonzero(chosen.any(axis=axis))
        first, last = (found[0], found[-1]) if len(found) else (0, 0)
        spans.append(slice(max(int(first) - 1, 0), int(last) + 2))
    return spans[0], spans[1]


def _whole(
    points: tuple[np.ndarray, np.ndarray], width: int, height: int
) -> tuple[int, int, int, int]:
    """Return the bounds of the points in whole pixels, inside a picture of that size."""
    x, y = points
    return (
        max(math.floor(x.min()), 0),
        max(math.floor(y.min()), 0),
        min(math.ceil(x.max()) + 1, width),
        min(math.ceil(y.max()) + 1, height),
    )
