"""Any VIDEO a graph may hand us, as frames that can be read again and again.

Ours are read directly. A host's file-backed video is read from its file. One held in memory gives
its tensors. One that newer hosts trimmed or cropped without a new file is first written to one.
"""

from __future__ import annotations

import hashlib
import io
import secrets
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ..encoders.read.video import open_video_file
from ..errors import MediaError
from ..media import Clip
from .streaming_video import StreamingVideo
from .tensors import audio_clip, image_frames, images_hash


def open_video(video: Any, *, temp_directory: Path) -> Clip:
    """Take a VIDEO in; files are made under ``temp_directory``. Raises MediaError."""
    if isinstance(video, StreamingVideo):
        return _from_stream(video)
    if not hasattr(video, "get_components"):
        raise MediaError(
            f"Expected a VIDEO, got {type(video).__name__}: link the output of a video node."
        )
    if _has_edits(video):
        return open_video_file(_saved(video, temp_directory))
    if _is_in_memory(video):
        return _from_components(video.get_components())
    source = video.get_stream_source()
    if isinstance(source, io.BytesIO):
        return open_video_file(_stored(source.getvalue(), temp_directory))
    return open_video_file(Path(source))


def _from_stream(video: StreamingVideo) -> Clip:
    def open_frames(start: int) -> Iterator[np.ndarray]:
        frames = video.frames()
        for _ in range(start):
            next(frames, None)
        return frames

    return Clip(
        open_frames=open_frames,
        read_sound=lambda: video.audio,
        width=video.width,
        height=video.height,
        frame_rate=video.frame_rate,
        frame_count=video.frame_count,
        content_hash=f"stream {video.identity}",
        sources=video.sources,
    )


def _has_edits(video: Any) -> bool:
    window = getattr(video, "get_active_trim_window", None)
    edits = getattr(video, "has_pending_frame_edits", None)
    trimmed = window is not None and any(part for part in window() if part)
    return trimmed or (edits is not None and bool(edits()))


def _is_in_memory(video: Any) -> bool:
    # Asking such a video for its stream would encode it first, with loss.
    return type(video).__name__ in {"VideoFromComponents", "ComponentsVideo"}


def _from_components(components: Any) -> Clip:
    images = components.images
    return Clip(
        open_frames=lambda start: image_frames(images, start),
        read_sound=lambda: audio_clip(components.audio),
        width=int(images.shape[2]),
        height=int(images.shape[1]),
        frame_rate=Fraction(components.frame_rate),
        frame_count=int(images.shape[0]),
        content_hash=images_hash(images),
    )


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
