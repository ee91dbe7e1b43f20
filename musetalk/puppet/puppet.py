"""A picture's mouth that can be posed: made once per source frame, rendered for any pose."""

from __future__ import annotations

import math
from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np

from ...errors import MediaError
from ...media import Box, LipShape
from .cavity import SOFTEST, Hollow, OwnInside, cavity_look, lip_likeness, paint_cavity
from .finer import show_finer
from .lip_edges import lips_by_pixels
from .lip_table import HIGHEST, REACH, LipRows, LipTable, MouthFrame, enlarged, grid_step
from .pose import MouthPose
from .warp import (
    CHIN_ROOM,
    FINE_PER_WIDTH,
    GRID_PER_WIDTH,
    NECK,
    SIDE_ABOVE,
    UPPER_FADE,
    Fields,
    WarpGrid,
)

KERNEL_REACH = 4  # pixels that the resampling may read beyond the furthest displacement
CUBIC_WIDTH = 64  # pixels: in wider mouths only the lips are worth the slower kernel
LOWER_HIDDEN = 0.4  # of the way a mouth is less open than it was, the lower teeth go under the lip
OWN_BITE = 0.04  # of the picture's own gap may be lip: the borders are not known better
OWN_UNTIL, OWN_FADE = 0.84, 0.14  # of half its width: further out the picture's opening is unsure
LIP_ASIDE = 0.4  # from here on nothing that looks like lip belongs to the upper jaw
STEEPEST = 3.0  # slope of an opening's edge, where it is drawn as soft as elsewhere
SAME_WIDTH = 1e-4  # of the mouth's, less than a pixel's thousandth would show

_Part = tuple[slice, slice]  # rows and columns


class Sides(NamedTuple):
    """The two sides of the opening in every pixel of the hollow, float32 (h, w) each.

    along, above, under, gap: as in ``Fields``; down: pixels below the opening's middle.
    """

    along: np.ndarray
    above: np.ndarray
    under: np.ndarray
    down: np.ndarray
    gap: np.ndarray


class Puppet:
    """One picture, uint8 RGB (H, W, 3), with a mouth that takes any pose.

    after: the puppet of the frame before it in a video, so that colours drift instead of flicker.
    points: of the face mesh, float64 (478, 2) in pixels: they say where the chin is.
    rest_width: pixels from corner to corner of this mouth at rest; None is as it is here.
    is_still: pixels say where the lips' inner edges are; in a video ``EdgeTrack`` has asked them.
    region: the only part of the picture that changes, in whole pixels.
    Raises MediaError for another kind of picture and for lips outside of it.
    """

    def __init__(
        self,
        frame: np.ndarray,
        lips: LipShape,
        *,
        after: Puppet | None = None,
        points: np.ndarray | None = None,
        rest_width: float | None = None,
        is_still: bool = False,
    ) -> None:
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise MediaError(
                f"Expected a picture uint8 (H, W, 3), got {frame.dtype} {frame.shape}."
            )
        height, width = frame.shape[:2]
        mouth = MouthFrame.of(lips, rest_width)
        if not (0 <= mouth.cx < width and 0 <= mouth.cy < height):
            raise MediaError(
                f"Expected lips inside the {width}x{height} picture, "
                f"got corners {tuple(lips.corners)}."
            )
        if is_still:
            lips = lips_by_pixels(frame, lips)
        table = LipTable.of(lips, mouth, points)
        self._frame, self._mouth, self._table = frame, mouth, table
        self._step = grid_step(mouth, GRID_PER_WIDTH)
        self._fine_step = grid_step(mouth, FINE_PER_WIDTH)
        self._look = cavity_look(frame, mouth, lips)
        if after is not None:
            self._look = self._look.drifted_from(after._look)
        x0, y0, x1, y1 = _whole(_outline(table, mouth), width, height)
        self.region = Box(x0, y0, x1, y1)
        nodes = (-(-(x1 - x0) // self._step), -(-(y1 - y0) // self._step))
        self._grid = self._grid_over((x0, y0), nodes, self._step)
        may_change = enlarged(self._grid.support(), self._step) > 0
        self._may_change = may_change[: y1 - y0, : x1 - x0].astype(np.uint8)
        self._lips = _nodes_where(self._grid.lips())
        self._margin = math.ceil(HIGHEST * mouth.width) + KERNEL_REACH
        self._finer: np.ndarray | None = None

    @property
    def part(self) -> np.ndarray:
        """The part of the picture that poses are made of, uint8 (h, w, 3): a view."""
        return self._source()[2]

    @property
    def own_gap(self) -> float:
        """How far the lips are apart in the picture, in widths of the mouth at rest."""
        return self._table.own_gap

    def refine(self, finer: np.ndarray) -> None:
        """Show ``part`` with more pixels, uint8 (s h, s w, 3), wherever a pose enlarges it."""
        self._finer = finer

    def mask(self) -> np.ndarray:
        """Return float32 (H, W): 1 where the picture may change, 0 elsewhere."""
        mask = np.zeros(self._frame.shape[:2], np.float32)
        x0, y0, x1, y1 = (int(edge) for edge in self.region)
        mask[y0:y1, x0:x1] = self._may_change
        return mask

    def is_source(self, pose: MouthPose) -> bool:
        """Say whether the picture itself shows this pose."""
        opening, width, tuck = self._grid.kept(pose)
        same = self._table.own_gap == 0 and abs(2 * self._table.half - width) < SAME_WIDTH
        return same and opening == 0 and tuck == 0

    def render(self, pose: MouthPose) -> np.ndarray:
        """Return a new picture, uint8 (H, W, 3), of the mouth in this pose.

        A pose says what the mouth does, not what it adds: at rest parted lips are shut. The
        source itself where its lips are shut already, and always outside the mask.
        """
        picture = self._frame.copy()
        if self.is_source(pose):
            return picture
        fields = self._grid.posed(pose)
        near = np.abs(fields.depth - fields.gap / 2) < fields.gap / 2 + SOFTEST
        nodes = _nodes_where(near & (fields.rise + fields.own > 0))
        if self._fine_step == self._step:
            grid, pixels = self._grid.part(nodes), self._pixels(nodes)
            fine = Fields(*(field[nodes] for field in fields))
        else:
            grid, pixels = self._finely(nodes)
            fine = grid.posed(pose)
        warped = self._resampled(fields, fine, pixels)
        self._paint(warped[pixels], grid, fine, pixels)
        x0, y0, x1, y1 = (int(edge) for edge in self.region)
        cv2.copyTo(warped[: y1 - y0, : x1 - x0], self._may_change, picture[y0:y1, x0:x1])
        return picture

    def _paint(self, picture: np.ndarray, grid: WarpGrid, fields: Fields, pixels: _Part) -> None:
        """Paint what shows between the lips into the hollow's pixels, in place."""
        width = self._mouth.width / self._fine_step
        measures = (
            *(fields.depth, fields.gap, fields.rise, grid.x + fields.along, fields.own),
            *(_slant(edge, width) for edge in (fields.depth, fields.depth - fields.gap)),
        )
        hollow = Hollow(*(enlarged(field, self._fine_step) for field in measures))
        inside = self._own_inside(grid, fields, pixels) if self._table.own_gap > 0 else None
        paint_cavity(picture, self._look, hollow, own=inside)

    def _own_inside(self, grid: WarpGrid, fields: Fields, pixels: _Part) -> OwnInside:
        """Return the picture's own teeth: the upper ones stay, the lower ones go with the lip."""
        over, under = grid.rows.over, grid.rows.under
        split, soft, own = self._look.split, self._look.softness, over + under
        slide = np.maximum(fields.rise - over, 0)
        end = split * own - (OWN_BITE + soft) * self._look.filled
        upper = end - (fields.depth - fields.rise + over + slide)
        hidden = LOWER_HIDDEN * np.maximum(self._table.own_gap - fields.gap, 0)
        lower = (1 - split) * own - hidden + fields.depth - fields.gap
        # Where neither is seen the one ends and the other begins, so that no edge is smeared.
        is_upper = upper >= np.minimum(lower, soft / 2)
        shift = np.where(is_upper, slide, under - fields.gap + fields.rise - hidden)
        known = np.clip((own - OWN_BITE) / OWN_BITE, 0, 1)
        known *= np.clip((OWN_UNTIL - np.abs(grid.x) / self._table.half) / OWN_FADE, 0, 1)
        upper, lower, shift, known = (
            enlarged(field, self._fine_step) for field in (upper, lower, shift, known)
        )
        share = np.clip(upper / soft + 0.5, 0, 1)
        if split < 1:
            share = np.maximum(share, np.clip(lower / soft + 0.5, 0, 1))
        dx, dy = self._shifts(np.zeros_like(shift), shift)
        seen = self._remapped(dx, dy, pixels, cv2.INTER_LINEAR)
        aside = np.clip((np.abs(grid.x) / self._table.half - LIP_ASIDE) / OWN_FADE, 0, 1)
        aside = np.where(is_upper & (fields.depth > 0), aside, -1).astype(np.float32)
        return OwnInside(seen, self._without_lip(share * known, seen, aside))

    def _without_lip(self, share: np.ndarray, seen: np.ndarray, aside: np.ndarray) -> np.ndarray:
        """Return the share, float32 (h, w), less what is lip in the pixels seen, uint8 (h, w, 3).

        aside: on the finer grid, below 0 outside the upper jaw's part, 0 in its middle to 1 at its
        ends, where a lip is told from the inside as far as the middle is not as pink as lips.
        """
        aside = enlarged(aside, self._fine_step)
        like = lip_likeness(seen, self._look)
        middle = like[(aside == 0) & (share > 0.5)]
        told = max(1 - 2 * float(middle.mean()), 0) if middle.size else 0.0
        return share * (1 - told * np.maximum(aside, 0) * like)

    def _resampled(self, fields: Fields, fine: Fields, hollow: _Part) -> np.ndarray:
        """Return the warped region, uint8, its size rounded up to whole grid cells."""
        below = fields.depth > fields.gap / 2
        shifts = self._shifts(fields.along, np.where(below, fields.below, fields.above))
        dx, dy = (enlarged(shift, self._step) for shift in shifts)
        # The sides meet in a jump that the coarse grid would smear.
        along, above, under, depth, gap = (enlarged(f, self._fine_step) for f in fine[:5])
        down = depth - gap / 2
        dx[hollow], dy[hollow] = self._shifts(along, np.where(down > 0, under, above))
        if self._mouth.width <= CUBIC_WIDTH:
            warped = self._remapped(dx, dy, _WHOLE, cv2.INTER_CUBIC)
        else:
            lips = self._pixels(self._lips)
            cubic = self._remapped(dx[lips].copy(), dy[lips].copy(), lips, cv2.INTER_CUBIC)
            warped = self._remapped(dx, dy, _WHOLE, cv2.INTER_LINEAR)
            warped[lips] = cubic
        self._soften(warped, hollow, Sides(along, above, under, down * self._mouth.width, gap))
        if self._finer is not None:  # dx and dy say by now which pixel each one is
            show_finer(warped, dx, dy, self._finer, self._finer.shape[0] / len(self.part))
        return warped

    def _soften(self, warped: np.ndarray, hollow: _Part, sides: Sides) -> None:
        """Make pixels that shut lips meet in of both sides, not of one and then the other."""
        seam = (np.abs(sides.down) < 0.5) & (sides.gap < SOFTEST)
        rows, columns = np.nonzero(seam)
        if not rows.size:
            return
        along, above, under, down, _ = (field[seam] for field in sides)
        left, top, source = self._source()
        rows, columns = rows + hollow[0].start, columns + hollow[1].start
        taken: list[np.ndarray] = []
        for across in (above, under):
            dx, dy = self._shifts(along, across)
            x, y = (dx + left + columns).astype(np.float32), (dy + top + rows).astype(np.float32)
            taken.append(cv2.remap(source, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE))
        upper, lower = (pixels.reshape(-1, 3).astype(np.float32) for pixels in taken)
        mixed = upper + (lower - upper) * (down + 0.5)[:, None]
        warped[rows, columns] = (mixed + 0.5).astype(np.uint8)

    def _remapped(self, dx: np.ndarray, dy: np.ndarray, pixels: _Part, kernel: int) -> np.ndarray:
        """Return the region's pixels of that part from dx, dy away; both are overwritten."""
        rows, columns = pixels
        left, top, source = self._source()
        left, top = left + (columns.start or 0), top + (rows.start or 0)
        dx += np.arange(left, left + dx.shape[1], dtype=np.float32)
        dy += np.arange(top, top + dy.shape[0], dtype=np.float32)[:, None]
        return cv2.remap(source, dx, dy, kernel, borderMode=cv2.BORDER_REPLICATE)

    def _shifts(self, along: np.ndarray, across: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return displacements in the mouth's frame as pixels of the picture."""
        x, y = self._mouth.ux * self._mouth.width, self._mouth.uy * self._mouth.width
        return along * x - across * y, along * y + across * x

    def _grid_over(self, origin: tuple[int, int], size: tuple[int, int], step: int) -> WarpGrid:
        height = len(self._frame)
        return WarpGrid.over(
            self._mouth, self._table, origin=origin, size=size, step=step, height=height
        )

    @cached_property
    def _fine_lips(self) -> WarpGrid:
        """The finer grid over all that may lie between the lips in any pose."""
        rows, columns = self._pixels(self._lips)
        x0, y0 = int(self.region.x0) + columns.start, int(self.region.y0) + rows.start
        size = [(each.stop - each.start) // self._fine_step for each in (columns, rows)]
        return self._grid_over((x0, y0), (size[0], size[1]), self._fine_step)

    def _finely(self, nodes: _Part) -> tuple[WarpGrid, _Part]:
        """Return the finer grid at these nodes of the coarse one, and which pixels it is over."""
        step, whole = self._fine_step, self._fine_lips
        fine: list[slice] = []
        pixels: list[slice] = []
        for part, lips, most in zip(
            self._pixels(nodes), self._pixels(self._lips), whole.x.shape, strict=True
        ):
            first = min(max((part.start - lips.start) // step, 0), most - 1)
            last = min(max(-(-(part.stop - lips.start) // step), first + 1), most)
            fine.append(slice(first, last))
            pixels.append(slice(lips.start + first * step, lips.start + last * step))
        return whole.part((fine[0], fine[1])), (pixels[0], pixels[1])

    def _source(self) -> tuple[int, int, np.ndarray]:
        """Return the part of the frame that is read and where the region begins in it (x, y)."""
        height, width = self._frame.shape[:2]
        x0, y0, x1, y1 = (int(edge) for edge in self.region)
        left, top = max(x0 - self._margin, 0), max(y0 - self._margin, 0)
        right, bottom = min(x1 + self._margin, width), min(y1 + self._margin, height)
        return x0 - left, y0 - top, self._frame[top:bottom, left:right]

    def _pixels(self, nodes: _Part) -> _Part:
        rows, columns = (
            slice((n.start or 0) * self._step, None if n.stop is None else n.stop * self._step)
            for n in nodes
        )
        return rows, columns


_WHOLE: _Part = (slice(None), slice(None))


def _outline(table: LipTable, mouth: MouthFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return picture points x and y round everything that can move."""
    rows = LipRows(*table.rows)
    top = min(
        float((rows.seam - rows.over - rows.upper).min()) - UPPER_FADE,
        float(rows.seam.min()) - SIDE_ABOVE,
    )
    bottom = table.chin + CHIN_ROOM + NECK
    corners = np.array([(x, v) for x in (-REACH, REACH) for v in (top, bottom)])
    return mouth.to_picture(corners[:, 0], corners[:, 1])


def _slant(edge: np.ndarray, width: float) -> np.ndarray:
    """Return how much longer a way down is than straight away from an edge, 1 where that is level.

    edge: float32 (h, w), depth under it in mouth widths. width: the mouth's, in steps of the grid.
    """
    right, down = (cv2.Sobel(edge, cv2.CV_32F, *way, ksize=1) for way in ((1, 0), (0, 1)))
    return np.clip(width / 2 * cv2.magnitude(right, down), 1, math.hypot(1, STEEPEST))


def _nodes_where(chosen: np.ndarray) -> _Part:
    """Return the rows and columns that hold every chosen node (h, w) and its neighbours."""
    spans: list[slice] = []
    for axis in (1, 0):
        found = np.flatnonzero(chosen.any(axis=axis))
        first, last = (found[0], found[-1]) if len(found) else (0, 0)
        spans.append(slice(max(int(first) - 1, 0), min(int(last) + 2, chosen.shape[1 - axis])))
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
