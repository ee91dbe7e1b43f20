"""What shows between parted lips: teeth, tongue and a dark hollow, in the picture's own colours.

All colours are float32 RGB 0..255; measures are in mouth widths unless they say otherwise.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from ...media import LipShape
from .lip_table import BITE, MouthFrame, nearest_pixels

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
DARKEST_SHARE = 0.2  # of the seam's pixels make its colour
DARKEST_LUMA = 0.2  # of the skin's: no hollow is brighter
DEEP_FROM = 0.05  # gap at which the seam's own colour has become the hollow's
TONGUE_SHARE = 0.5  # of the lips' colour shines up from the floor of the mouth
TEETH_FROM = 0.03  # gap under which no teeth show
TEETH_FULL = 0.12  # and from which they show altogether
TEETH_BELOW = 0.03  # the upper teeth end this far under the shut seam
OWN_TEETH = 0.3  # of a picture's own gap they reach down from its shut seam
TEETH_OPACITY = 0.85
TEETH_HALF_WIDTH = 0.36  # from the middle to where they are lost in shade
TOOTH_WIDTH = 0.105
LEAST_TOOTH = 5  # pixels of width, from which each is drawn, and altogether from twice that
TEETH_LUMA = 0.9  # of the skin's
BRIGHTEST_SHARE = 0.3  # of what parted lips show makes the teeth's colour
SEEN_TEETH = 0.6  # of the skin's luminance: what is darker is no tooth
TEETH_TINT = 0.5  # of the skin's colour in them, the rest is grey
LOWER_TEETH_FROM = 0.16  # gap from which the lower ones rise over the lip
LOWER_TEETH_HEIGHT = 0.03
LOWER_TEETH_OPACITY = 0.3
LINE_LUMA = 0.42  # of the lips': where lips that were apart have been brought together
LINE_OPACITY = 0.75
LINE_HALF_HEIGHT = 0.014
LINE_FULL = 0.03  # own gap, less what is hidden, from which it is drawn altogether
LINE_UNTIL = 0.04  # gap at which the line has become the hollow
JAWS_APART = 0.15  # own gap from which lower teeth may show
DARK_WITHIN = 0.75  # of an own gap there is a dark row between the teeth; further down it is lip
DARK_OF_TEETH = 0.55  # luminance under which a row of an open mouth parts upper and lower teeth
LEAST_REDNESS = 0.05  # red less green of lips that can be told by it, of all three colours
DRIFT = 0.2  # share of a video frame's own look that is taken on
PARTED_DRIFT = 0.7  # and of where its jaws part, where that is seen
FILLED_DRIFT = 0.15  # and where it is not: for a frame or two the row may only be too bright
CUT = 40  # levels by which the colours jump only at a cut
SHARPEST = 1.0  # pixels that the blend at the lips' edges takes at least
SOFTEST = 0.04  # and at most


class CavityLook(NamedTuple):
    """How a mouth looks inside; its edges are as soft as the picture's own.

    colours: float32 (5, 3), of the seam when shut, of the hollow under the upper lip, of its floor,
        of the teeth, and of the line between lips that were brought together.
    split: share of an open mouth's own gap that belongs to the upper jaw. pixel: its width; nothing
        is drawn thinner. is_open: wide enough in the picture to see where the jaws part.
    """

    colours: np.ndarray
    softness: float
    split: float
    pixel: float
    is_open: bool = False

    @property
    def filled(self) -> float:
        """How far the upper jaw's teeth fill the mouth: 0 where a dark row parts them, 1 if not."""
        return max((self.split - DARK_WITHIN) / (1 - DARK_WITHIN), 0.0)

    def drifted_from(self, before: CavityLook) -> CavityLook:
        """Return a look between the one of the frame before and this; this after a cut."""
        change = self.colours - before.colours
        if float(np.abs(change).max()) > CUT:
            return self
        softness = before.softness + DRIFT * (self.softness - before.softness)
        split = self.split
        if before.is_open:  # nearly shut lips hide where the jaws part
            drift = PARTED_DRIFT if split < 1 else FILLED_DRIFT * self.is_open
            split = before.split + drift * (split - before.split)
        return CavityLook(
            before.colours + DRIFT * change,
            softness,
            split,
            self.pixel,
            self.is_open or before.is_open,
        )


class Hollow(NamedTuple):
    """Where the lips part, float32 (h, w) each: as in ``Fields``.

    across: x in the picture. slant, low_slant: how much longer a way down is than straight away
    from the upper and the lower lip's edge.
    """

    depth: np.ndarray
    gap: np.ndarray
    rise: np.ndarray
    across: np.ndarray
    own: np.ndarray
    slant: np.ndarray
    low_slant: np.ndarray


class OwnInside(NamedTuple):
    """What the picture itself shows between its lips: uint8 (h, w, 3), and its share (h, w)."""

    pixels: np.ndarray
    share: np.ndarray


def cavity_look(frame: np.ndarray, mouth: MouthFrame, lips: LipShape) -> CavityLook:
    """Return the look for a picture uint8 RGB (H, W, 3), from pixels in and round the mouth."""
    scale = lips.width / mouth.width
    x = np.linspace(-0.4, 0.4, 25) * scale
    own = np.linspace(-0.5, 0.5, lips.curves.shape[1]) * scale
    curves: list[np.ndarray] = [np.interp(x, own, curve * scale) for curve in lips.curves]
    outer_up, inner_up, inner_low, outer_low = curves
    within = [inner_up + share * (inner_low - inner_up) for share in (0, 0.25, 0.5, 0.75, 1)]
    around = [within[0] - 0.02, *within, within[-1] + 0.02]
    between = nearest_pixels(frame, mouth, x, np.array(around)).reshape(-1, 3)
    lip = np.median(nearest_pixels(frame, mouth, x, ((inner_low + outer_low) / 2)[None])[0], axis=0)
    beside = np.array([outer_up - 0.12, outer_low + 0.12])
    skin = np.median(nearest_pixels(frame, mouth, x, beside).reshape(-1, 3), axis=0)
    luma = between @ LUMA
    seam = between[luma <= np.quantile(luma, DARKEST_SHARE)].mean(axis=0)
    bright = float(skin @ LUMA)
    if lips.parted:
        seam = (seam + lip * min(1.0, float(seam @ LUMA) / max(float(lip @ LUMA), 1.0))) / 2
    dark = seam * min(1.0, DARKEST_LUMA * bright / max(float(seam @ LUMA), 1.0))
    floor = dark + TONGUE_SHARE * (0.62 * lip - dark)
    teeth = TEETH_LUMA * (TEETH_TINT * skin + (1 - TEETH_TINT) * bright)
    if lips.parted:
        seen = between[luma >= np.quantile(luma, 1 - BRIGHTEST_SHARE)].mean(axis=0)
        teeth = seen if seen @ LUMA > bright * SEEN_TEETH else teeth
    steps = np.arange(-0.2, 0.35, min(1 / mouth.width, 0.05))[:, None]
    profiles = nearest_pixels(frame, mouth, x, inner_low + steps) @ LUMA
    colours = np.array([seam, dark, floor, teeth, LINE_LUMA * lip], np.float32)
    is_open = lips.parted and float((inner_low - inner_up).max()) >= JAWS_APART
    split = _split(frame, mouth, x, inner_up, inner_low) if is_open else 1.0
    return CavityLook(colours, _softness(profiles, mouth.width), split, 1 / mouth.width, is_open)


def _split(
    frame: np.ndarray, mouth: MouthFrame, x: np.ndarray, top: np.ndarray, bottom: np.ndarray
) -> float:
    """Return the share of an open mouth above its darkest row; 1 where teeth fill it."""
    shares = np.linspace(0.15, DARK_WITHIN, 14)
    rows = top + shares[:, None] * (bottom - top)
    luma = np.median((nearest_pixels(frame, mouth, x, rows) @ LUMA)[:, 6:19], axis=1)
    darkest = int(luma.argmin())
    parts = luma[darkest] < DARK_OF_TEETH * luma[: darkest + 1].max()
    return float(shares[darkest]) if parts else 1.0


def _softness(profiles: np.ndarray, width: float) -> float:
    """Return the blend at an edge in mouth widths, from luminance (n, m) down m columns."""
    slope = np.abs(profiles[2:] - profiles[:-2]).max(axis=0) / 2
    span = profiles.max(axis=0) - profiles.min(axis=0)
    pixels = float(np.quantile(span / np.maximum(slope, 0.5), 0.25))
    return max(min(0.6 * pixels / width, SOFTEST), SHARPEST / width)


def lip_likeness(pixels: np.ndarray, look: CavityLook) -> np.ndarray:
    """Return how much pixels, uint8 (h, w, 3), look like lip, float32 (h, w), 0..1.

    Teeth are less red, and the hollow is darker. Lips without colour look like nothing.
    """
    red, green, blue = (float(each) / LINE_LUMA for each in look.colours[4])
    redness = (red - green) / max(red + green + blue, 1)
    if redness < LEAST_REDNESS:
        return np.zeros(pixels.shape[:2], np.float32)
    own: np.ndarray = pixels.astype(np.float32)
    total = own[..., 0] + own[..., 1] + own[..., 2]
    own_redness = (own[..., 0] - own[..., 1]) / np.maximum(total, 1)
    is_red = np.clip((own_redness / redness - 0.5) / 0.3, 0, 1)
    is_bright = np.clip((total / (red + green + blue) - 0.35) / 0.3, 0, 1)
    # Light on a lip is white: it is lip among lips.
    around: np.ndarray = cv2.blur(is_red * is_bright, (5, 5))
    return np.minimum(1.5 * around, 1)


def paint_cavity(
    picture: np.ndarray,
    look: CavityLook,
    hollow: Hollow,
    *,
    own: OwnInside | None = None,
) -> None:
    """Paint the inside of the mouth into ``picture`` uint8 (h, w, 3), in place.

    own: shown before all that is painted.
    """
    soft = look.softness
    inside = np.clip(hollow.depth / (soft * hollow.slant) + 0.5, 0, 1)
    inside += np.clip((hollow.gap - hollow.depth) / (soft * hollow.low_slant) + 0.5, 0, 1)
    inside -= 1
    line = _line(hollow, look.pixel) if own is not None else np.zeros((), np.float32)
    seen = np.maximum(inside, line) > 0
    here = Hollow(*(field[seen] for field in hollow))
    tint = _painted(look, here)
    opacity = np.maximum(inside[seen], 0)[:, None]
    under = picture[seen].astype(np.float32)
    if own is not None:
        tint += (own.pixels[seen] - tint) * own.share[seen][:, None]
        under += (look.colours[4] - under) * line[seen][:, None]
    picture[seen] = (under + (tint - under) * opacity + 0.5).astype(np.uint8)


def _painted(look: CavityLook, here: Hollow) -> np.ndarray:
    """Return the colours (n, 3) of hollow, tongue and teeth."""
    share = np.clip(here.depth / np.maximum(here.gap, 1e-4), 0, 1)
    deep = np.clip(here.gap / DEEP_FROM, 0, 1)[:, None]
    shut, dark, floor, white, _ = look.colours
    tint = shut + (dark - shut) * deep
    tint += (floor - dark) * deep * (share * share * _arch(here.across))[:, None]
    tint += (0.7 * white - tint) * _lower_teeth(here, look.pixel)[:, None]
    if look.filled > 0:  # else the picture has shown how far they reach
        tint += (white - tint) * (look.filled * _upper_teeth(here, look.pixel))[:, None]
    return tint


def _upper_teeth(here: Hollow, pixel: float) -> np.ndarray:
    """Return the opacity of the teeth that stay with the upper jaw, (n,)."""
    shown = np.clip((here.gap - TEETH_FROM) / (TEETH_FULL - TEETH_FROM), 0, 1)
    arch = _arch(here.across)
    relief = min(max((TOOTH_WIDTH / pixel - LEAST_TOOTH) / LEAST_TOOTH, 0), 1)
    scallop = 1 - relief * (1 - np.abs(np.sin(np.pi / TOOTH_WIDTH * here.across)))
    below = np.maximum(TEETH_BELOW, OWN_TEETH * here.own)
    end = here.rise + below * (0.75 + 0.25 * np.sqrt(scallop)) * np.sqrt(arch)
    edge = np.clip((end - here.depth) / max(0.012, pixel) + 0.5, 0, 1)
    shade = np.clip(0.6 + here.depth / 0.05, 0, 1)
    return TEETH_OPACITY * shown * arch * edge * shade * (0.88 + 0.12 * scallop)


def _lower_teeth(here: Hollow, pixel: float) -> np.ndarray:
    """Return the opacity of the teeth that go with the lower lip, (n,)."""
    shown = np.clip((here.gap - LOWER_TEETH_FROM) / 0.2, 0, 1)
    height = LOWER_TEETH_HEIGHT * shown * _arch(here.across)
    edge = np.clip((height - here.gap + here.depth) / max(0.02, pixel) + 0.5, 0, 1)
    return LOWER_TEETH_OPACITY * shown * edge * _arch(here.across)


def _arch(across: np.ndarray) -> np.ndarray:
    return np.clip(1 - (across / TEETH_HALF_WIDTH) ** 2, 0, 1)


def _line(hollow: Hollow, pixel: float) -> np.ndarray:
    """Return the opacity of the line between lips that were brought together."""
    thick = max(LINE_HALF_HEIGHT, pixel)
    height = (hollow.depth - hollow.gap / 2) / thick
    shut = np.clip(1 - hollow.gap / LINE_UNTIL, 0, 1)
    shut *= np.clip((hollow.own - 2 * BITE) / LINE_FULL, 0, 1)
    return (LINE_OPACITY * LINE_HALF_HEIGHT / thick * np.exp(-height * height) * shut).astype(
        np.float32
    )
