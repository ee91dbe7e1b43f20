"""Eyelids that come down over the eyes of a still picture.

The upper lid's edge goes down with its lashes, and the skin above it is stretched as far as the
brow; where it is stretched most, smooth skin of the same eye takes its place. The lower lid comes
up a little. The eyeball stays as it is and is covered. Measures are in eye widths, as in
``EyeShape``.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from ...media import Box
from .easing import eased
from .eye_shape import BESIDE, REACH_BELOW, EyeShape

LOWER_SHARE = 0.2  # of the gap is closed by the lower lid coming up,
MOST_LOWER_SHARE = 0.45  # or more, so that shut lids meet no deeper
DEEPEST = 0.09  # below the corners than this
LASHES = 0.05  # height above the lid's edge that goes down whole
LASHES_BESIDE = (0.45, 0.85)  # height of what fades at the outer corner, and how far it fades
UNSURE_ABOVE, UNSURE_BELOW = 0.012, 0.04  # of the mesh: white of the eye is hidden so far out
STRETCHED = (1.1, 1.7)  # from the skin itself to smooth skin, by how far it is stretched
MOST_SMOOTH = 0.97
FADE = 0.22  # of the smooth skin, below where the lid begins to move
LINE = 0.022  # deviation of the dark line where shut lids meet
THINNEST = 0.7  # pixels of that: thinner ones break into dots
LINE_STRENGTH = 0.6
STRIP = (16, 48)  # rows and columns of the skin that is looked at
LEAST_BRIGHT = 0.85  # of the skin below the eye; a darker strip above it shows the brow
OF_SKIN_BELOW = 0.84  # a lid's brightness then


class Eyelids:
    """The lids of one eye in a picture, uint8 RGB (H, W, 3).

    region: all that they can change, in whole pixels.
    """

    def __init__(self, frame: np.ndarray, shape: EyeShape) -> None:
        height, width = frame.shape[:2]
        x, y = shape.outline()
        x0, x1 = max(math.floor(x.min()), 0), min(math.ceil(x.max()) + 1, width)
        y0, y1 = max(math.floor(y.min()), 0), min(math.ceil(y.max()) + 1, height)
        self.region = Box(x0, y0, max(x1, x0), max(y1, y0))
        self._frame, self._shape = frame, shape
        self._px = np.arange(x0, x1, dtype=np.float32)[None, :]
        self._py = np.arange(y0, y1, dtype=np.float32)[:, None]
        self._source = frame[y0:y1, x0:x1]
        along, down = shape.to_eye(self._px, self._py)
        self._along, self._down = along.astype(np.float32), down.astype(np.float32)
        self._upper, self._lower, self._reach = shape.at(self._along)
        deep = (float(shape.rows[1].max()) - DEEPEST) / max(shape.gap, 1e-6)
        gap = self._lower - self._upper
        self._rise = min(max(LOWER_SHARE, deep), MOST_LOWER_SHARE) * gap
        self._fall = gap - self._rise
        outer = self._along if shape.is_outer_first else 1 - self._along
        self._beside = eased((outer + BESIDE) / BESIDE) * eased((0.4 - outer) / 0.3)
        self._ends = eased(np.minimum(self._along, 1 - self._along) / 0.12)
        self._skin, self._dark = self._smooth_skin(), self._lash_colour()

    def may_change(self) -> np.ndarray:
        """Return bool (h, w): where the region may change."""
        inside = (self._along > -BESIDE) & (self._along < 1 + BESIDE)
        above = self._down > self._upper - self._reach
        return inside & above & (self._down < self._lower + REACH_BELOW)

    def change(self, amount: float) -> np.ndarray:
        """Return what closing the lids by ``amount`` 0..1 adds to the region, int16 (h, w, 3)."""
        fall, rise = amount * self._fall, amount * self._rise
        over = self._upper + fall - self._down  # height above the upper lid's edge
        under = self._down - (self._lower - rise)
        thick = max(LINE, THINNEST / self._shape.width)
        line = amount * LINE_STRENGTH * np.exp(-0.5 * (over / thick) ** 2) * self._ends
        upper = self._upper_lid(over, fall, amount)
        upper += line[:, :, None] * np.minimum(self._dark - upper, 0)
        depth, _ = _stretched(under, rise, 0.0, np.float32(REACH_BELOW))
        lower = self._taken(self._lower + depth + amount * _beyond(depth, UNSURE_BELOW))
        lower += line[:, :, None] * np.minimum(self._dark - lower, 0)
        source = self._source.astype(np.float32)
        pixels = np.float32(self._shape.width)
        # The lower lid begins a pixel early, so that no eye shines through where they meet.
        seen = source + np.clip(under * pixels + 1.5, 0, 1)[:, :, None] * (lower - source)
        seen += np.clip(over * pixels + 0.5, 0, 1)[:, :, None] * (upper - seen)
        added = np.rint(np.clip(seen, 0, 255) - source)
        return np.where(self.may_change()[:, :, None], added, 0).astype(np.int16)

    def _upper_lid(self, over: np.ndarray, fall: np.ndarray, amount: float) -> np.ndarray:
        """Return the skin and lashes of the upper lid, float32 (h, w, 3), wherever it may be."""
        height, stretch = _stretched(over, fall, LASHES, self._reach)
        lid = self._taken(self._upper - height - amount * _beyond(height, UNSURE_ABOVE))
        smooth = MOST_SMOOTH * eased((stretch - STRETCHED[0]) / (STRETCHED[1] - STRETCHED[0]))
        smooth *= eased((over - LASHES) / LASHES) * eased((self._reach + fall - over) / FADE)
        lid += smooth[:, :, None] * (self._skin - lid)
        # Lashes at the outer corner stand up while the eye is open and lie down when it shuts.
        high, faded = LASHES_BESIDE
        lashes = eased((over - 0.02) / 0.06) * eased((high - over) / (high / 2))
        lashes *= faded * amount * self._beside
        lid += lashes[:, :, None] * np.maximum(self._skin - lid, 0)
        return lid

    def _taken(self, v: np.ndarray) -> np.ndarray:
        """Return the picture at v instead of where each pixel is, float32 (h, w, 3)."""
        moved = (v - self._down) * np.float32(self._shape.width)
        px = self._px - moved * np.float32(self._shape.axis[1])
        py = self._py + moved * np.float32(self._shape.axis[0])
        return _read(self._frame, px, py)

    def _smooth_skin(self) -> np.ndarray:
        """Return skin as the lid's would be at every pixel, float32 (h, w, 3), with its grain."""
        x = np.linspace(0.04, 0.96, STRIP[1])[None, :]
        upper, lower, reach = self._shape.at(x)
        rows = np.linspace(0, 1, STRIP[0])[:, None]
        above = self._strip(x, upper - (0.15 + 0.6 * rows) * reach)
        # The skin right below an eye is in its own shadow, which a lid that has come down is not.
        below = self._strip(x, lower + 0.13 + 0.25 * rows)
        place = np.clip(self._along, 0, 1) * (STRIP[1] - 1)
        top, bottom = (
            _read(_skin_over_x(strip), place, np.zeros_like(place)) for strip in (above, below)
        )
        bright = top.mean(axis=2) / np.maximum(bottom.mean(axis=2), 1)
        darker = eased((LEAST_BRIGHT - bright) / 0.25)[:, :, None]
        top += darker * (OF_SKIN_BELOW * bottom - top)
        gap = np.maximum(self._lower - self._upper, 0.02)
        share = 0.25 + 0.5 * eased((self._down - self._upper + 0.1) / (gap + 0.1))
        return top + share[:, :, None] * (bottom - top) + _grain(below, place.shape)

    def _lash_colour(self) -> np.ndarray:
        """Return the darkest colour along the upper lid's edge, float32 (3,)."""
        x = np.linspace(0.2, 0.8, STRIP[1])[None, :]
        edge = self._strip(x, self._shape.at(x)[0] + np.linspace(-0.05, 0.05, 9)[:, None])
        grey = edge.mean(axis=2)
        return edge[grey <= np.percentile(grey, 20)].mean(axis=0).astype(np.float32)

    def _strip(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        px, py = self._shape.to_picture(np.broadcast_to(x, v.shape), v)
        return _read(self._frame, px.astype(np.float32), py.astype(np.float32))


def _read(picture: np.ndarray, px: np.ndarray, py: np.ndarray) -> np.ndarray:
    """Return a picture at these places, float32 (h, w, 3)."""
    taken = cv2.remap(picture, px, py, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return taken.astype(np.float32)


def _skin_over_x(strip: np.ndarray) -> np.ndarray:
    """Return the skin's colour over x, float32 (1, w, 3): hair, lashes and shine left out."""
    grey = strip.mean(axis=2)
    low, high = np.percentile(grey, [40, 85], axis=0)
    weight = ((grey >= low) & (grey <= high)).astype(np.float32)[:, :, None]
    columns: np.ndarray = (strip * weight).sum(axis=0) / weight.sum(axis=0)
    return cv2.GaussianBlur(columns[None], (0, 0), 5, borderType=cv2.BORDER_REPLICATE)


def _grain(skin: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return noise as strong as a patch of skin is rough, float32 (h, w, 1)."""
    rough = 1.4826 * float(np.median(np.abs(skin - cv2.GaussianBlur(skin, (0, 0), 1))))
    noise = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    return 2 * rough * cv2.GaussianBlur(noise, (0, 0), 0.6)[:, :, None]


def _beyond(height: np.ndarray, unsure: float) -> np.ndarray:
    """Return how much further out a lid is taken from, so that nothing of the eye is on it."""
    return unsure * np.exp(-0.5 * (np.maximum(height, 0) / (2 * unsure)) ** 2)


def _stretched(
    height: np.ndarray, moved: np.ndarray, whole: float, reach: np.ndarray | np.float32
) -> tuple[np.ndarray, np.ndarray]:
    """Return where skin comes from whose edge moved, as a height, and how far it is stretched.

    height: above the moved edge. Up to ``whole`` it moves with the edge, at ``reach`` (above where
    the edge was) no more: what moves at z = 0..1 between them is (1 - z)^2 of the edge's way.
    """
    room = reach - np.float32(whole)
    part = moved / room
    out = np.maximum(height - np.float32(whole), 0) / room
    root = np.sqrt(np.maximum((1 + 2 * part) ** 2 - 4 * part * out, 1))
    z = np.minimum(2 * out / (1 + 2 * part + root), 1)
    still = out >= 1 + part
    source = np.where(still, height - moved, np.minimum(height, whole) + z * room)
    return source, np.where(still, 1, 1 + 2 * part * (1 - z))
