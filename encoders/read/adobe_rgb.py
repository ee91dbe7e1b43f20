"""Pictures in Adobe RGB without its profile: cameras only say so in the EXIF (DCF option file)."""

from __future__ import annotations

import struct

import numpy as np
from PIL import Image

_EXIF, _INTEROPERABILITY, _COLOR_SPACE = 0x8769, 0xA005, 0xA001
_INDEX, _OPTION_FILE = 1, "R03"
_ROWS = 256  # at a time, for pictures of many megapixels
_GAMMA = 563 / 256
# Adobe RGB (1998) to sRGB, linear light, both of the white D65.
_TO_SRGB = np.array(
    [[1.39836, -0.39836, 0.0], [0.0, 1.0, 0.0], [0.0, -0.04293, 1.04293]], np.float32
)


def srgb_curve(linear: np.ndarray) -> np.ndarray:
    """Return sRGB's numbers 0..1 for light 0..1 (IEC 61966-2-1)."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def is_adobe_rgb(picture: Image.Image) -> bool:
    """Tell whether a picture's EXIF says that it is in Adobe RGB."""
    try:
        exif = picture.getexif()
        color_space = exif.get_ifd(_EXIF).get(_COLOR_SPACE)
        index = exif.get_ifd(_INTEROPERABILITY).get(_INDEX)
    except (OSError, ValueError, TypeError, SyntaxError, LookupError, struct.error):
        return False  # a damaged EXIF says nothing
    text = index.decode("latin-1") if isinstance(index, bytes) else str(index)
    # 1 would be sRGB, 2 is written by some programs; the others leave it to the index.
    return color_space == 2 or (color_space != 1 and text.strip("\0 ") == _OPTION_FILE)


def from_adobe_rgb(picture: Image.Image) -> Image.Image:
    """Return a picture of mode RGB in sRGB."""
    coded = np.asarray(picture)
    light = (np.arange(256, dtype=np.float32) / 255) ** _GAMMA
    shown = np.empty_like(coded)
    for row in range(0, len(coded), _ROWS):
        linear = np.clip(light[coded[row : row + _ROWS]] @ _TO_SRGB.T, 0, 1)
        shown[row : row + _ROWS] = np.rint(255 * srgb_curve(linear))
    return Image.fromarray(shown)
