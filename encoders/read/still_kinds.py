"""Kinds of pictures told by their first bytes, and the refusal of those that cannot be read."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from PIL import Image

from ...errors import MediaError

HEAD_BYTES = 1 << 16  # hold what describes a picture, in every file seen so far
READABLE = "PNG, JPEG, WebP, HEIC, AVIF, BMP, TIFF, GIF"
HEIC, AVIF, ANIMATED_AVIF = "HEIC", "AVIF", "animated AVIF"
_HEIF_BRANDS = {
    *(b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"),
    *(b"mif1", b"mif2", b"msf1"),
}
_OTHERS = (
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (b"\x00\x00\x01\x00", "ICO"),
    (b"\x00\x00\x02\x00", "CUR"),
)


_COMMON = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"GIF8", "GIF"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
)
ONLY_STILL = ("JPEG", "TIFF", "BMP", "JPEG 2000")  # of the common kinds; others may move


def head_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def kind_of(head: bytes) -> str | None:
    """Return what kind of picture begins with these bytes, None for the common and other files."""
    if head[4:8] == b"ftyp":
        # The size of the box, the main brand, a version, the brands it is compatible with.
        length = int.from_bytes(head[:4], "big")
        brands = [head[8:12], *(head[at : at + 4] for at in range(16, min(length, 256), 4))]
        if brands[0] in (b"avif", b"avis") or (brands[0] in _HEIF_BRANDS and b"avif" in brands):
            return ANIMATED_AVIF if b"avis" in brands else AVIF
        return HEIC if brands[0] in _HEIF_BRANDS else None
    return next((name for start, name in _OTHERS if head.startswith(start)), None)


def picture_kind(head: bytes) -> str | None:
    """Return what kind of picture begins with these bytes, None for files that are none."""
    if is_webp(head):
        return "WebP"
    if head[:2] == b"BM" and head[6:10] == bytes(4):  # its two reserved numbers
        return "BMP"
    common = (name for start, name in _COMMON if head.startswith(start))
    return kind_of(head) or next(common, None)


def is_webp(head: bytes) -> bool:
    """Tell by its first 12 bytes or more whether a file is a WebP, which may move."""
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def refuse_unreadable(name: str, kind: str | None) -> None:
    """Raise MediaError for a kind that nothing here reads."""
    if kind not in (None, HEIC, AVIF):
        raise MediaError(
            f"Expected a picture ({READABLE}), but {name!r} is {kind}: save it as PNG."
        )


def refuse_unread(name: str, head: bytes) -> None:
    """Raise MediaError for a still picture of a common kind, on which FFmpeg failed as a video."""
    kind = picture_kind(head)
    raw = _raw_kind(name, head)
    if raw:
        raise MediaError(
            f"Expected a video or sound, but {name!r} is raw {raw}, pictures without their times: "
            "put it into a container first (ffmpeg -framerate 25 -i FILE -c copy FILE.mkv, with "
            "its own rate)."
        )
    if kind in ONLY_STILL or (kind == "PNG" and b"acTL" not in head):
        raise MediaError(
            f"Expected a video or sound, but {name!r} is a still picture ({kind}): use it as an "
            "avatar."
        )


def _raw_kind(name: str, head: bytes) -> str:
    """Return of which codec a stream without a container is, empty for other files."""
    if head.startswith(b"\xff\xd8\xff"):
        is_many = b"\xff\xd9\xff\xd8" in head and b"MPF\0" not in head  # a still may have two
        return "Motion JPEG" if is_many or name.lower().endswith((".mjpeg", ".mjpg")) else ""
    zeros, found, unit = head[:8].partition(b"\0\0\1")
    if not found or zeros.strip(b"\0"):
        return ""
    if unit[:1] in (b"\x67", b"\x47", b"\x27", b"\x09"):  # parameters, or where a picture begins
        return "H.264"
    return "H.265" if unit[:2] in (b"\x40\1", b"\x42\1", b"\x46\1") else ""


def video_suffix(head: bytes) -> str:
    """Return the usual ending of a video that begins with these bytes, empty for other files."""
    if head[4:8] == b"ftyp" and kind_of(head) is None:
        return ".mov" if head[8:10] == b"qt" else ".mp4"
    return ".mkv" if head.startswith(b"\x1a\x45\xdf\xa3") else ""


def refuse_as_video(name: str, kind: str | None, streams: int) -> None:
    """Raise MediaError for a picture taken as a video, of which FFmpeg would show one part.

    streams: how many FFmpeg found; a plain AVIF has one, and is shown whole.
    """
    if kind == HEIC or (kind == AVIF and streams > 1):
        raise MediaError(
            f"Expected a video or sound, but {name!r} is a still picture ({kind}): use it as an "
            "avatar."
        )
    if kind == ANIMATED_AVIF:
        raise MediaError(
            f"Expected a video, but {name!r} is {kind}: save it as MP4, WebP, GIF or PNG first."
        )
    if kind is not None and kind != AVIF:
        raise MediaError(
            f"Expected a video or sound, but {name!r} is {kind}, a picture: save it as PNG and use "
            "that as an avatar."
        )


def refuse_webp(name: str, head: bytes) -> None:
    """Raise MediaError for a WebP, whose moving pictures FFmpeg does not read everywhere."""
    if is_webp(head):
        raise MediaError(
            f"Expected sound, or pictures that can be copied, but {name!r} is a WebP picture: "
            "encode it into mp4 or mkv first."
        )


def open_heif(path: Path) -> Image.Image:
    """Open a HEIC picture with its optional reader. Raises MediaError where that is missing."""
    try:
        library: Any = importlib.import_module("pillow_heif")  # Any: it is not always there
    except ImportError as error:
        raise MediaError(
            f"Expected a picture that can be read here, but {path.name!r} is HEIC, as phones make "
            "them: install its reader (pip install pillow-heif), or save it as JPEG or PNG."
        ) from error
    picture = library.HeifImageFile(path)
    if not isinstance(picture, Image.Image):
        raise TypeError(f"Expected a picture from pillow_heif, got {type(picture).__name__}.")
    return picture
