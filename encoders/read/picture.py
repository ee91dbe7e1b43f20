"""Read a still picture as RGB, whatever the camera or drawing program made of it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from mimetypes import guess_type
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ...errors import MediaError
from .open import MAX_FRAME_PIXELS, check_frame_size, checked_input
from .still_colors import in_srgb
from .still_kinds import (
    ANIMATED_AVIF,
    HEIC,
    READABLE,
    head_of,
    kind_of,
    open_heif,
    picture_kind,
    refuse_unreadable,
    video_suffix,
)

# Formats whose decoders read the file and nothing else: no EPS (runs Ghostscript), no WMF, no
# fonts, no multi-page documents.
PICTURE_FORMATS = (
    *("PNG", "JPEG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "AVIF", "JPEG2000", "PPM", "TGA"),
)
PICTURE_SUFFIXES = {
    *(".png", ".apng", ".webp", ".gif", ".avif", ".heic", ".heif", ".hif"),
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".jp2", ".j2k"),
    *(".bmp", ".dib", ".tif", ".tiff", ".tga", ".ppm", ".pgm", ".pbm", ".pnm"),
}
_MANY_JPEGS = {".mjpeg", ".mjpg"}
ANIMATED_SUFFIXES = {".gif", ".webp", ".apng", ".png", ".avif"}
Taken = TypeVar("Taken")
ON_WHITE = "Transparency was replaced with white."
_HIGH_DEPTH = {"I;16", "I;16L", "I;16B", "I;16N", "I", "F"}
# Pillow's own guard against pictures that are too large, before the size can be asked for.
BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
# What Pillow's decoders raise on damaged files, struct and syntax errors included.
DAMAGED = (
    *(OSError, ValueError, TypeError, SyntaxError, EOFError, MemoryError, RuntimeError),
    *(LookupError, ArithmeticError, struct.error, *BOMBS),
)


def _formats() -> list[str]:
    Image.init()
    return [name for name in PICTURE_FORMATS if name in Image.OPEN]  # AVIF is not in every Pillow


def is_image(path: str | Path) -> bool:
    """Tell by name, else by content, whether a file is a still picture (animations are videos)."""
    suffix = Path(path).suffix.lower()
    is_named = suffix in PICTURE_SUFFIXES
    if is_named and suffix not in ANIMATED_SUFFIXES:
        return True
    if not is_named and (suffix in _MANY_JPEGS or not _begins_as_still(path)):
        return False
    try:
        with Image.open(checked_input(path), formats=_formats()) as picture:
            return getattr(picture, "n_frames", 1) == 1
    except (MediaError, *DAMAGED):
        return True  # read_image says what is wrong with it


def _begins_as_still(path: str | Path) -> bool:
    try:
        kind = picture_kind(head_of(checked_input(path)))
    except (MediaError, OSError):
        return False
    return kind is not None and kind != ANIMATED_AVIF


def read_image(path: str | Path) -> np.ndarray:
    """Return a picture as upright uint8 RGB (H, W, 3) on white. Raises MediaError."""
    return read_still(path)[0]


def read_still(path: str | Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return a picture as ``read_image`` does, and sentences on what was done to it."""
    return _read(path, _on_white)


def read_with_alpha(path: str | Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Return an upright picture as uint8 RGB (H, W, 3) and its alpha, uint8 (H, W).

    The alpha is None where the picture has none. Raises MediaError.
    """
    return _read(path, _in_layers)


def _read(path: str | Path, take: Callable[[Image.Image, bytes], Taken]) -> Taken:
    absolute, head = checked_input(path), b""
    try:
        head = head_of(absolute)
        kind = kind_of(head)
        refuse_unreadable(absolute.name, kind)
        opened = open_heif(absolute) if kind == HEIC else Image.open(absolute, formats=_formats())
        with opened as picture:
            check_frame_size(picture.width, picture.height, repr(absolute.name))
            return take(picture, head)
    except MediaError:
        raise
    except UnidentifiedImageError as error:
        is_named_so = (guess_type(absolute.name)[0] or "").startswith("image/")
        if is_named_so and (suffix := video_suffix(head)):
            raise MediaError(
                f"Expected a picture, but {absolute.name!r} is a video under a picture's name: "
                f"rename it, so that it ends in {suffix}."
            ) from error
        raise MediaError(
            f"Expected a picture ({READABLE}), but {absolute.name!r} is something else: open "
            "it in an image editor and save it as PNG."
        ) from error
    except BOMBS as error:
        raise MediaError(
            f"Expected a picture of at most {MAX_FRAME_PIXELS / 1e6:.0f} megapixels, "
            f"but {absolute.name!r} claims far more ({error}): scale it down."
        ) from error
    except DAMAGED as error:
        raise MediaError(
            f"Expected a whole picture, but {absolute.name!r} is damaged, cut short or too large "
            f"({error}): copy or save it again."
        ) from error


def _on_white(picture: Image.Image, head: bytes) -> tuple[np.ndarray, tuple[str, ...]]:
    upright, note = _upright(picture, head)
    notes = (note,) if note else ()
    if upright.has_transparency_data:
        white = Image.new("RGBA", upright.size, "white")
        upright = Image.alpha_composite(white, upright.convert("RGBA"))
        notes = (*notes, ON_WHITE)
    return np.ascontiguousarray(np.asarray(upright.convert("RGB"))), notes


def _in_layers(picture: Image.Image, head: bytes) -> tuple[np.ndarray, np.ndarray | None]:
    upright, _note = _upright(picture, head)
    if not upright.has_transparency_data:
        return np.ascontiguousarray(np.asarray(upright.convert("RGB"))), None
    layers = np.asarray(upright.convert("RGBA"))
    return np.ascontiguousarray(layers[..., :3]), layers[..., 3]


def _upright(picture: Image.Image, head: bytes) -> tuple[Image.Image, str]:
    """Return a picture upright and in sRGB, with its alpha, and a sentence on its colours."""
    upright = ImageOps.exif_transpose(picture)
    if upright.mode in _HIGH_DEPTH:
        grey = Image.fromarray(_grey_from_high_depth(np.asarray(upright)))
        grey.info = {n: upright.info[n] for n in ("icc_profile", "gamma") if n in upright.info}
        upright = grey
    return in_srgb(upright, head)


def _grey_from_high_depth(values: np.ndarray) -> np.ndarray:
    # Pillow's own conversion clips 16 bit at 255: nearly every picture would come out white.
    full_scale = 1.0 if values.dtype.kind == "f" else 65535.0
    scaled = np.nan_to_num(values.astype(np.float32)) * (255.0 / full_scale)
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
