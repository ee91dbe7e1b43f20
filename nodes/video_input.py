"""An IMAGE, a VIDEO or a file, as a clip.

Our own VIDEO is read directly, a file-backed one from its file, one held in memory from its
tensors. One that newer hosts trimmed or cropped in memory is first written to a file.
"""

from __future__ import annotations

import hashlib
import io
import math
import secrets
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from ..encoders.read.file_clip import open_video_file
from ..errors import MediaError
from ..host.current import current_host
from ..host.reading import readable
from ..media import DEFAULT_FRAME_RATE, Clip, parse_frame_rate
from .streaming_video import StreamingVideo
from .tensors import clip_from_images

Video = Any  # a VIDEO of the host, whose methods grow from version to version


def open_clip(
    given: Any,  # Any: an IMAGE is told by its shape
    *,
    temp_directory: Path,
    frame_rate: Fraction = DEFAULT_FRAME_RATE,
    for_encoding: bool = False,
) -> Clip:
    """Return an IMAGE, a VIDEO or the path of a video as a clip. Raises MediaError.

    temp_directory: where files are made. frame_rate: of an IMAGE. for_encoding: a file stays open
    to be read at once, and an IMAGE keeps its alpha and its depth.
    """
    if isinstance(given, Path):
        return open_video_file(given, stays_open=for_encoding)
    if hasattr(given, "shape"):
        return clip_from_images(given, frame_rate, as_floats=for_encoding)
    return open_video(given, temp_directory=temp_directory, stays_open=for_encoding)


def open_video(video: Video, *, temp_directory: Path, stays_open: bool = False) -> Clip:
    """Return a VIDEO as a clip; files are made under ``temp_directory``. Raises MediaError."""
    if isinstance(video, StreamingVideo):
        identity = f"stream {video.identity}"
        # The clip keeps the object alive, and with it what its frames are made from.
        return replace(video.clip, open_frames=video.frames, hash_of=lambda: identity, release=None)
    if not hasattr(video, "get_components"):
        raise MediaError(
            f"Expected a VIDEO, got {type(video).__name__}: link the output of a video node."
        )
    source = None if _is_in_memory(video) else video.get_stream_source()
    if isinstance(source, (str, Path)):
        source = readable(current_host(), source)  # before anything looks at the file
    if source is None and not _has_edits(video):
        components = video.get_components()
        rate = parse_frame_rate(components.frame_rate, highest=math.inf)
        return clip_from_images(components.images, rate, components.audio)
    return open_video_file(_path_of(video, source, temp_directory), stays_open=stays_open)


def _path_of(video: Video, source: Path | io.BytesIO | None, temp_directory: Path) -> Path:
    edited = source is None or _has_edits(video)
    if not edited and isinstance(source, Path):
        return source
    temp_directory.mkdir(parents=True, exist_ok=True)
    if not edited and isinstance(source, io.BytesIO):
        content = source.getvalue()
        path = temp_directory / f"avatar_stream_{hashlib.sha256(content).hexdigest()[:16]}.mp4"
        path.write_bytes(content)
        return path
    path = temp_directory / f"avatar_edited_{secrets.token_hex(8)}.mp4"
    try:
        video.save_to(str(path))
    except BaseException:
        path.unlink(missing_ok=True)  # also when the user cancelled in the middle
        raise
    return path


def _has_edits(video: Video) -> bool:
    window = getattr(video, "get_active_trim_window", None)
    edits = getattr(video, "has_pending_frame_edits", None)
    trimmed = window is not None and any(part for part in window() if part)
    return trimmed or (edits is not None and bool(edits()))


def _is_in_memory(video: Video) -> bool:
    # Such a video would be encoded, with loss, to give its stream.
    return type(video).__name__ in {"VideoFromComponents", "ComponentsVideo"}
