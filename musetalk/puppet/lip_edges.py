"""Where the lips' inner edges are in the pixels of a picture, where its landmarks only come near.

Measures are in widths of the mouth in the picture.
"""

from __future__ import annotations

import numpy as np

from ...media import LipShape
from .lip_table import MouthFrame, nearest_pixels

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
STEP = 0.006  # from sample to sample across a lip, or a pixel
NARROW_REACH = 0.03  # an edge is this far from its landmarks at most
WIDE_REACH = 0.2  # and so much of the widest gap
OF_LIP = 0.6  # and this share of the lip's height
INSIDE_SHARES = (0.2, 0.35, 0.5, 0.65, 0.8)  # of the gap: what is seen there is no lip
ENOUGH_GAP = 0.35  # of the widest, where its colours are looked up
SHADE = 0.3  # of the lip's colour is the shadow between lips
SHADED = 0.75  # of their colour is left to teeth at the lip
CERTAIN = 6.0  # levels by which a pixel has to be more like the inside than like the lip
LIP_SHARES = (0.4, 0.55, 0.7)  # of a lip's height: what is seen there is lip
BESIDE = 4  # columns to either side that share a lip's colour
ABOUT_SEAM = 0.12  # above and below the seam of shut lips a gap is looked for
MIDDLE = 0.36  # to either side of the middle it has to be
TOUCHES = 0.02  # from the seam at most
LEAST_TEETH = 0.03  # height of a strip of teeth
LEAST_DARK = 0.09  # and of a dark one: a shadow between shut lips is lower
LEAST_COLUMNS = 0.25  # of the middle's columns show it
TEETH_CHROMA = 0.5  # of the lips': teeth have less colour
TEETH_LUMA = 0.95  # of the darker lip's: and are no darker
DARK_LUMA = 0.4  # of the darker lip's
LEAST_CHROMA = 30.0  # of lips that can be told from teeth by their colour


def lips_by_pixels(frame: np.ndarray, lips: LipShape) -> LipShape:
    """Return the lips with inner edges where a picture, uint8 RGB (H, W, 3), shows them.

    Edges only move towards the lips; lips whose landmarks touch are parted where teeth or a dark
    gap lie between them.
    """
    mouth = MouthFrame.of(lips)
    curves = lips.curves.astype(float)
    if not lips.parted:
        return _parted_by_strip(frame, mouth, lips)
    gap = np.maximum(curves[2] - curves[1], 0)
    enough = np.flatnonzero(gap >= ENOUGH_GAP * gap.max())
    x = np.linspace(-0.5, 0.5, len(gap))
    nearest = np.clip(np.arange(len(gap)), enough[0], enough[-1])
    rows = curves[1] + np.array(INSIDE_SHARES)[:, None] * gap
    inside = nearest_pixels(frame, mouth, x, rows)[:, nearest]
    furthest = NARROW_REACH + WIDE_REACH * float(gap.max())
    for inner, outer in ((1, 0), (2, 3)):
        lip = curves[inner], curves[outer]
        curves[inner] += _towards_lip(frame, mouth, lip, inside, furthest)
    curves[:, [0, -1]] = lips.curves[:, [0, -1]]
    return LipShape(lips.corners, curves.astype(np.float32), parted=True)


def _towards_lip(
    frame: np.ndarray,
    mouth: MouthFrame,
    lip: tuple[np.ndarray, np.ndarray],
    inside: np.ndarray,
    furthest: float,
) -> np.ndarray:
    """Return how far an inner edge (m,) has to go: as far as the pixels look like the inside.

    lip: its inner and outer edge. inside: colours (k, m, 3) between the lips.
    """
    inner, outer = lip
    x = np.linspace(-0.5, 0.5, len(inner))
    colour = _lip_colour(frame, mouth, inner, outer)
    if _is_colourless(colour):
        return np.zeros(len(x))
    step = max(STEP, 1 / mouth.width)
    ways = step * np.arange(1, max(int(furthest / step), 1) + 1)[:, None]
    side = 1 if outer.sum() > inner.sum() else -1
    seen = nearest_pixels(frame, mouth, x, inner + side * ways)
    is_teeth = (inside @ LUMA > colour @ LUMA)[..., None]
    shaded = np.where(is_teeth, SHADED * inside, inside)
    others = np.concatenate([inside, shaded, SHADE * colour[None]])
    unlike = np.min([np.linalg.norm(seen - other, axis=2) for other in others], axis=0)
    gain = np.linalg.norm(seen - colour, axis=2) - unlike - CERTAIN
    gain[ways > np.maximum(OF_LIP * np.abs(outer - inner), step)] = -np.inf
    total = np.concatenate([np.zeros((1, len(x))), np.cumsum(gain, axis=0)])
    return side * step * _evened(total.argmax(axis=0).astype(float))


def _lip_colour(
    frame: np.ndarray, mouth: MouthFrame, inner: np.ndarray, outer: np.ndarray
) -> np.ndarray:
    """Return the colour of a lip (m, 3); the corners, where it is thin, take their neighbours'."""
    count = len(inner)
    x = np.linspace(-0.5, 0.5, count)
    seen = nearest_pixels(frame, mouth, x, inner + np.array(LIP_SHARES)[:, None] * (outer - inner))
    middle = np.clip(np.arange(count), count // 8 + BESIDE, count - 1 - count // 8 - BESIDE)
    around = middle[:, None] + np.arange(-BESIDE, BESIDE + 1)
    return np.median(seen[:, around], axis=(0, 2)).astype(np.float32)


def _is_colourless(colour: np.ndarray) -> bool:
    return float(np.median(np.ptp(colour, axis=-1))) < LEAST_CHROMA


def _evened(values: np.ndarray) -> np.ndarray:
    """Return values (m,) without single outliers and steps."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(values, 2, mode="edge"), 5)
    steady = np.median(windows, axis=1)
    return np.convolve(np.pad(steady, 1, mode="edge"), [0.25, 0.5, 0.25], mode="valid")


def _parted_by_strip(frame: np.ndarray, mouth: MouthFrame, lips: LipShape) -> LipShape:
    """Return lips that touch as parted ones where a strip between them is no lip."""
    outer_up, inner_up, inner_low, outer_low = (curve.astype(float) for curve in lips.curves)
    seam = (inner_up + inner_low) / 2
    x = np.linspace(-0.5, 0.5, len(seam))
    pairs = ((inner_up, outer_up), (inner_low, outer_low))
    colours = np.array([_lip_colour(frame, mouth, *pair) for pair in pairs])
    if _is_colourless(colours):
        return lips
    step = max(STEP, 1 / mouth.width)
    ways = step * np.arange(-int(ABOUT_SEAM / step), int(ABOUT_SEAM / step) + 1)
    seen = nearest_pixels(frame, mouth, x, seam + ways[:, None])
    bright, chroma = seen @ LUMA, np.ptp(colours, axis=2).min(axis=0)
    luma = (colours @ LUMA).min(axis=0)
    teeth = (bright > TEETH_LUMA * luma) & (np.ptp(seen, axis=2) < TEETH_CHROMA * chroma)
    dark = bright < DARK_LUMA * luma
    lip_rows = (ways[:, None] + seam > outer_up + 0.2 * (inner_up - outer_up)) & (
        ways[:, None] + seam < outer_low - 0.4 * (outer_low - inner_low)
    )
    top, bottom = _strips((teeth | dark) & lip_rows, ways)
    height = bottom - top
    rows = (ways[:, None] >= top) & (ways[:, None] <= bottom)
    white = (teeth & rows).sum(axis=0) * step
    parted = ((white >= LEAST_TEETH) | (height >= LEAST_DARK)) & (np.abs(x) < MIDDLE)
    if parted.sum() < LEAST_COLUMNS * (np.abs(x) < MIDDLE).sum():
        return lips
    curves = lips.curves.copy()
    curves[1] = seam + np.minimum(_evened(np.where(height > 0, top, 0.0)), 0)
    curves[2] = seam + np.maximum(_evened(np.where(height > 0, bottom, 0.0)), 0)
    return LipShape(lips.corners, curves, parted=True)


def _strips(found: np.ndarray, ways: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where the run of found (k, m) at the seam begins and ends, (m,); 0 where none is."""
    step = ways[1] - ways[0]
    near = np.flatnonzero(np.abs(ways) <= TOUCHES)
    top, bottom = np.zeros(found.shape[1]), np.zeros(found.shape[1])
    for column, here in enumerate(found.T):
        touching = near[here[near]]
        if not len(touching):
            continue
        lips = np.flatnonzero(~here)
        first = touching[np.abs(ways[touching]).argmin()]
        above, below = lips[lips < first], lips[lips > first]
        top[column] = ways[above[-1] if len(above) else 0] + step / 2
        bottom[column] = ways[below[0] if len(below) else -1] - step / 2
    return top, bottom
