"""Pictures, videos and sounds taken in: files become Avatar and Mel."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from ..encoders.read.video import (
    file_hash,
    is_image,
    open_video_file,
    read_audio,
    read_image,
)
from ..errors import MediaError
from ..media import DEFAULT_FRAME_RATE, Avatar, Clip, FramesOfFiles, LipCorners, Mel
from .audio import prepare_mel


def load_avatar(
    path: str | Path,
    *,
    corners: LipCorners | None = None,
    face_index: int = 0,
    check: Callable[[], None] = lambda: None,
) -> Avatar:
    """Return the picture or video in a file as an avatar. Raises MediaError.

    check: called all the time while a long file is read; what it raises ends it.
    """
    path = Path(path)
    if not is_image(path):
        video = open_video_file(path, check=check)
        return avatar_from_video(video, corners=corners, face_index=face_index)
    picture = read_image(path)
    return still_avatar(picture, file_hash(path), path=path, corners=corners, face_index=face_index)


def avatar_from_video(
    video: Clip, *, corners: LipCorners | None = None, face_index: int = 0
) -> Avatar:
    """Return a VIDEO that was taken in as an avatar."""
    return Avatar(
        open_frames=video.open_frames,
        frame_rate=video.frame_rate,
        width=video.width,
        height=video.height,
        frame_count=video.frame_count,
        content_hash=video.content_hash,
        source=video.path,
        sources=video.sources,
        face_index=face_index,
        corners=corners,
    )


def still_avatar(
    picture: np.ndarray,
    digest: str,
    *,
    path: Path | None = None,
    corners: LipCorners | None = None,
    face_index: int = 0,
) -> Avatar:
    def open_frames(start: int) -> Iterator[np.ndarray]:
        return FramesOfFiles(iter([picture][start:]), sources)

    sources = () if path is None else (path,)
    height, width = picture.shape[:2]
    return Avatar(
        open_frames=open_frames,
        frame_rate=DEFAULT_FRAME_RATE,
        width=width,
        height=height,
        frame_count=1,
        content_hash=digest,
        source=path,
        sources=sources,
        face_index=face_index,
        corners=corners,
    )


def load_speech(
    path: str | Path,
    *,
    start: float | Fraction = 0,
    duration: float | Fraction = 0,
    check: Callable[[], None] = lambda: None,
) -> Mel:
    """Return the sound in a file, prepared for lip-sync.

    start, duration: the part to use, seconds; duration 0 goes to the end.
    check: called all the time while a long file is read; what it raises ends it.
    Raises MediaError.
    """
    begin, length = as_seconds("start", start), as_seconds("duration", duration)
    clip = read_audio(Path(path), start=begin, duration=length, check=check)
    key = f"{file_hash(Path(path), check=check)} {begin} {length}"
    digest = hashlib.sha256(key.encode()).hexdigest()
    return prepare_mel(clip, start=begin, source_hash=digest, check=check)


def as_seconds(name: str, value: float | Fraction) -> Fraction:
    """Return a time exactly as it was written: 0.1 is a tenth. Raises MediaError below 0."""
    try:
        seconds = value if isinstance(value, Fraction) else Fraction(str(value))
    except ValueError as error:
        raise MediaError(f"Expected {name} in seconds, got {value!r}.") from error
    if seconds < 0:
        raise MediaError(f"Expected {name} of 0 or more seconds, got {value}.")
    return seconds


def parse_corners(text: str) -> LipCorners | None:
    """Return lip corners written as "x0,y0,x1,y1" in pixels; None for an empty text.

    Raises MediaError for anything else.
    """
    if not text.strip():
        return None
    parts = [part for part in re.split(r"[,;\s]+", text.strip()) if part]
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) != 4 or not np.isfinite(numbers).all():
        raise MediaError(
            f'Expected two lip corners as "x0,y0,x1,y1" in pixels, got {text!r}: '
            "leave it empty to find the lips."
        )
    return LipCorners(*numbers)
