"""What shows between parted lips: a dark hollow with a hint of teeth, in the picture's own colours.

All colours are float32 RGB 0..255; measures are in mouth widths unless they say otherwise.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...media import LipShape
from .warp import FULL_GAP, MouthFrame

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
DARKEST_SHARE = 0.2  # of the seam's pixels make its colour
DARKEST_LUMA = 0.22  # of the skin's: no hollow is brighter
DEEP_FROM = 0.05  # gap at which the seam's own colour has become the hollow's
TONGUE_SHARE = 0.45  # of the lips' colour shines up from the floor of the mouth
TEETH_FROM = 0.045  # gap under which no teeth show
TEETH_HEIGHT = 0.04
TEETH_OPACITY = 0.6
TEETH_HALF_WIDTH = 0.36  # from the middle to where they are lost in shade
TOOTH_WIDTH = 0.105
TEETH_LUMA = 0.62  # of the skin's
TEETH_TINT = 0.5  # of the skin's colour in them, the rest is grey
DRIFT = 0.2  # share of a video frame's own look that is taken on
CUT = 40  # levels by which the colours jump only at a cut
SHARPEST = 1.0  # pixels that the blend at the lips' edges takes at least
SOFTEST = 0.04  # and at most


class CavityLook(NamedTuple):
    """How a mouth looks inside; its edges are as soft as the picture's own.

    colours: float32 (4, 3), of the seam when shut, of the hollow under the upper lip, of its floor
        and of the teeth.
    """

    colours: np.ndarray
    softness: float

    def drifted_from(self, before: CavityLook) -> CavityLook:
        """Return a look between the one of the frame before and this; this after a cut."""
        change = self.colours - before.colours
        if float(np.abs(change).max()) > CUT:
            return self
        softness = before.softness + DRIFT * (self.softness - before.softness)
        return CavityLook(before.colours + DRIFT * change, softness)


def cavity_look(frame: np.ndarray, mouth: MouthFrame, lips: LipShape) -> CavityLook:
    """Return the look for a picture uint8 RGB (H, W, 3), from pixels in and round the mouth."""
    x = np.linspace(-0.4, 0.4, 25)
    own = np.linspace(-0.5, 0.5, lips.curves.shape[1])
    curves: list[np.ndarray] = [np.interp(x, own, curve) for curve in lips.curves]
    outer_up, inner_up, inner_low, outer_low = curves
    within = [inner_up + share * (inner_low - inner_up) for share in (0, 0.25, 0.5, 0.75, 1)]
    around = [within[0] - 0.02, *within, within[-1] + 0.02]
    between = _sampled(frame, mouth, x, np.array(around)).reshape(-1, 3)
    lip = np.median(_sampled(frame, mouth, x, ((inner_low + outer_low) / 2)[None])[0], axis=0)
    beside = np.array([outer_up - 0.12, outer_low + 0.12])
    skin = np.median(_sampled(frame, mouth, x, beside).reshape(-1, 3), axis=0)
    luma = between @ LUMA
    seam = between[luma <= np.quantile(luma, DARKEST_SHARE)].mean(axis=0)
    bright = float(skin @ LUMA)
    dark = seam * min(1.0, DARKEST_LUMA * bright / max(float(seam @ LUMA), 1.0))
    floor = dark + TONGUE_SHARE * (0.6 * lip - dark)
    teeth = TEETH_LUMA * (TEETH_TINT * skin + (1 - TEETH_TINT) * bright)
    steps = np.arange(-0.2, 0.35, min(1 / mouth.width, 0.05))[:, None]
    profiles = _sampled(frame, mouth, x, inner_low + steps) @ LUMA
    colours = np.array([seam, dark, floor, teeth], np.float32)
    return CavityLook(colours, _softness(profiles, mouth.width))


def _softness(profiles: np.ndarray, width: float) -> float:
    """Return the blend at an edge in mouth widths, from luminance (n, m) down m columns."""
    slope = np.abs(profiles[2:] - profiles[:-2]).max(axis=0) / 2
    span = profiles.max(axis=0) - profiles.min(axis=0)
    pixels = float(np.quantile(span / np.maximum(slope, 0.5), 0.25))
    return max(min(0.6 * pixels / width, SOFTEST), SHARPEST / width)


def _sampled(frame: np.ndarray, mouth: MouthFrame, x: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return the pixels (k, m, 3) at x (m,) and v (k, m), the nearest inside the picture."""
    px, py = mouth.to_picture(np.broadcast_to(x, v.shape), v)
    height, width = frame.shape[:2]
    columns = np.clip(np.rint(px).astype(int), 0, width - 1)
    rows = np.clip(np.rint(py).astype(int), 0, height - 1)
    return frame[rows, columns].astype(np.float32)


def paint_cavity(
    picture: np.ndarray,
    look: CavityLook,
    depth: np.ndarray,
    gap: np.ndarray,
    across: np.ndarray,
    *,
    teeth: float,
) -> None:
    """Paint the hollow into ``picture`` uint8 (h, w, 3), in place.

    depth, gap, across: float32 (h, w), as in ``Fields``.
    teeth: how much of the hint of teeth to show, 0..1.
    """
    inside = np.clip(depth / look.softness + 0.5, 0, 1)
    inside += np.clip((gap - depth) / look.softness + 0.5, 0, 1)
    seen = inside > 1
    opacity = inside[seen][:, None] - 1
    depth, gap, across = depth[seen], gap[seen], across[seen]
    share = np.clip(depth / np.maximum(gap, 1e-4), 0, 1)
    deep = np.clip(gap / DEEP_FROM, 0, 1)[:, None]
    shut, dark, floor, white = look.colours
    tint = shut + (dark - shut) * deep
    tint += (floor - dark) * deep * (share * share)[:, None]
    if teeth > 0:
        tint += (white - tint) * (teeth * _teeth(depth, gap, across))[:, None]
    under = picture[seen]
    picture[seen] = (under + (tint - under) * opacity + 0.5).astype(np.uint8)


def _teeth(depth: np.ndarray, gap: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Return the opacity of the teeth, in the shape of the three (n,)."""
    shown = np.clip((gap - TEETH_FROM) / (FULL_GAP - TEETH_FROM), 0, 1)
    arch = np.clip(1 - (across / TEETH_HALF_WIDTH) ** 2, 0, 1)
    scallop = np.abs(np.sin(np.pi / TOOTH_WIDTH * across))
    bottom = TEETH_HEIGHT * (0.75 + 0.25 * np.sqrt(scallop)) * np.sqrt(arch)
    edge = np.clip((bottom - depth) / 0.012 + 0.5, 0, 1)
    shade = np.clip(0.4 + depth / 0.025, 0, 1)
    return TEETH_OPACITY * shown * arch * edge * shade * (0.85 + 0.15 * scallop)
