"""Whatever pictures a graph may hand us, as one kind of clip.

Ours are read directly. A host's file-backed video is read from its file. One held in memory gives
its tensors. One that newer hosts trimmed or cropped without a new file is first written to one.
"""

from __future__ import annotations

import hashlib
import io
import secrets
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from ..encoders.read.video import open_video_file
from ..errors import MediaError
from ..media import DEFAULT_FRAME_RATE, Clip
from .streaming_video import StreamingVideo
from .tensors import clip_from_images


def open_clip(
    given: Any,
    *,
    temp_directory: Path,
    frame_rate: Fraction = DEFAULT_FRAME_RATE,
    for_encoding: bool = False,
) -> Clip:
    """Take an IMAGE, a VIDEO or the path of a video in. Raises MediaError.

    temp_directory: where files are made. frame_rate: of an IMAGE. for_encoding: it is read at once,
    so that a file stays open until then, and an IMAGE keeps its alpha and its depth.
    """
    if isinstance(given, Path):
        return open_video_file(given, stays_open=for_encoding)
    if hasattr(given, "shape"):
        return clip_from_images(given, frame_rate, as_floats=for_encoding)
    return open_video(given, temp_directory=temp_directory, stays_open=for_encoding)


def open_video(video: Any, *, temp_directory: Path, stays_open: bool = False) -> Clip:
    """Take a VIDEO in; files are made under ``temp_directory``. Raises MediaError."""
    if isinstance(video, StreamingVideo):
        identity = f"stream {video.identity}"
        # The frames of the object itself: what they are made from goes with it.
        return replace(video.clip, open_frames=video.frames, hash_of=lambda: identity, release=None)
    if not hasattr(video, "get_components"):
        raise MediaError(
            f"Expected a VIDEO, got {type(video).__name__}: link the output of a video node."
        )
    if _is_in_memory(video) and not _has_edits(video):
        components = video.get_components()
        rate = Fraction(components.frame_rate)
        return clip_from_images(components.images, rate, components.audio)
    return open_video_file(_path_of(video, temp_directory), stays_open=stays_open)


def _path_of(video: Any, temp_directory: Path) -> Path:
    if _has_edits(video):
        return _saved(video, temp_directory)
    source = video.get_stream_source()
    if isinstance(source, io.BytesIO):
        return _stored(source.getvalue(), temp_directory)
    return Path(source)


def _has_edits(video: Any) -> bool:
    window = getattr(video, "get_active_trim_window", None)
    edits = getattr(video, "has_pending_frame_edits", None)
    trimmed = window is not None and any(part for part in window() if part)
    return trimmed or (edits is not None and bool(edits()))


def _is_in_memory(video: Any) -> bool:
    # Asking such a video for its stream would encode it first, with loss.
    return type(video).__name__ in {"VideoFromComponents", "ComponentsVideo"}


def _saved(video: Any, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"avatar_edited_{secrets.token_hex(8)}.mp4"
    try:
        video.save_to(str(path))
    except BaseException:
        path.unlink(missing_ok=True)  # also when the user cancelled in the middle
        raise
    return path


def _stored(content: bytes, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"avatar_stream_{hashlib.sha256(content).hexdigest()[:16]}.mp4"
    path.write_bytes(content)
    return path
