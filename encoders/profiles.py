"""ICC profiles: bring pictures that carry one to sRGB."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageCms

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# Pillow does not say what createProfile returns.

SAME = 2.5  # of 255; a profile that changes less is one of sRGB's many spellings
UNREADABLE = "The picture's colour profile cannot be read: its colours were left alone."
_SPACE = slice(16, 20)  # of a profile, where it names what its numbers are of
_CUBE = np.array(list(itertools.product(range(0, 256, 51), repeat=3)), np.uint8)[None]
_IN_GIF = b"ICCRGBG1012"
_SIGNATURE_BYTES = 13  # of a GIF
_EXTENSION, _APPLICATION = 0x21, 0xFF

Mapping = Callable[[Image.Image], Image.Image]


@dataclass(frozen=True)
class ColorProfile:
    """What a profile does to pictures. note: a sentence on that; empty where it does nothing."""

    note: str = ""
    mapping: Mapping | None = None

    def of_array(self, picture: np.ndarray) -> np.ndarray:
        """Return RGB or RGBA, uint8 or uint16 (H, W, C), in sRGB; with the precision of 8 bits."""
        if self.mapping is None:
            return picture
        colors = np.ascontiguousarray(picture[..., :3])
        if picture.dtype == np.uint16:
            colors = cv2.convertScaleAbs(colors, alpha=1 / 257)
        mapped = np.asarray(self.mapping(Image.fromarray(colors)))
        if picture.dtype == np.uint16:
            mapped = mapped.astype(np.uint16) * 257
        return mapped if picture.shape[2] == 3 else np.dstack([mapped, picture[..., 3]])


def color_profile(data: bytes, mode: str) -> ColorProfile:
    """Read a profile. mode: Pillow's, of the pictures before they are brought to sRGB.

    Those of mode L stay greys, and may come as RGB.
    """
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(data))
        name = " ".join(ImageCms.getProfileDescription(own).split())[:60]
        if mode == "L":
            mapping = _of_greys(own, "L" if data[_SPACE] == b"GRAY" else "RGB")
        else:
            mapping = _of_colors(own, mode)
    except (ImageCms.PyCMSError, ImportError, OSError, ValueError):
        return ColorProfile(UNREADABLE)
    if mapping is None:
        return ColorProfile()
    return ColorProfile(f"The colours were converted from {name} to sRGB.", mapping)


def _of_colors(own: ImageCms.ImageCmsProfile, mode: str) -> Mapping | None:
    """Return what brings colours to sRGB, None where that changes nothing."""
    to_srgb = ImageCms.buildTransform(own, ImageCms.createProfile("sRGB"), mode, "RGB")
    if mode == "RGB" and _changes_nothing(to_srgb):
        return None
    return lambda picture: _applied(picture, to_srgb)


def _of_greys(own: ImageCms.ImageCmsProfile, mode: str) -> Mapping | None:
    """Return what brings greys to sRGB, None where that changes nothing.

    own: their profile (mode L), or of colours that a picture had before it was made grey (RGB).
    """
    to_srgb = ImageCms.buildTransform(own, ImageCms.createProfile("sRGB"), mode, "RGB")
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None]).convert(mode)
    curve = np.asarray(_applied(ramp, to_srgb))[0, :, 1].astype(int)
    if np.abs(curve - np.arange(256)).max() <= SAME:
        return None
    table = curve.tolist()
    return lambda picture: picture.point(table * len(picture.getbands()))


def _applied(picture: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    mapped = ImageCms.applyTransform(picture, transform)
    if mapped is None:  # only for pictures that are changed in place
        raise TypeError("Expected a new picture from ImageCms, got none.")
    return mapped


def _changes_nothing(transform: ImageCms.ImageCmsTransform) -> bool:
    mapped = np.asarray(_applied(Image.fromarray(_CUBE), transform)).astype(int)
    return bool(np.abs(mapped - _CUBE).max() <= SAME)


def profile_of_gif(head: bytes) -> bytes:
    """Return the profile that a GIF begins with, which neither FFmpeg nor Pillow reads.

    head: its first bytes. Empty where there is none, or it does not end in them.
    """
    if not head.startswith(b"GIF8") or len(head) < _SIGNATURE_BYTES:
        return b""
    flags = head[10]
    at = _SIGNATURE_BYTES + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    while at + 1 < len(head) and head[at] == _EXTENSION:
        label = head[at + 1]
        blocks, at = _sub_blocks(head, at + 2)
        if at and label == _APPLICATION and blocks[:1] == [_IN_GIF]:
            return b"".join(blocks[1:])
        if not at:
            return b""
    return b""


def _sub_blocks(head: bytes, at: int) -> tuple[list[bytes], int]:
    """Return the parts of an extension and where the next begins, 0 where it is cut off."""
    blocks: list[bytes] = []
    while at < len(head):
        size = head[at]
        if not size:
            return blocks, at + 1
        blocks.append(head[at + 1 : at + 1 + size])
        at += 1 + size
    return blocks, 0
