"""A video file as a clip."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...media import Clip
from ..metadata import kept_tags
from .audio import read_audio
from .video import VideoReader


@dataclass(frozen=True, eq=False, kw_only=True)
class FileClip(Clip):
    """A video file as a clip. reader: what it is read with."""

    reader: VideoReader


def open_video_file(
    path: Path, *, check: Callable[[], None] = lambda: None, stays_open: bool = False
) -> FileClip:
    """Take a video file in, left open until ``release`` with ``stays_open``. Raises MediaError."""
    reader = VideoReader(path, counts=True, stays_open=stays_open)
    check()
    return FileClip(
        open_frames=reader.frames,
        width=reader.width,
        height=reader.height,
        frame_rate=reader.frame_rate,
        frame_count=reader.frame_count,
        read_audio=lambda: read_audio(path, zero=reader.begins) if reader.has_audio else None,
        hash_of=functools.cache(lambda: file_hash(path, check=check)),
        read_times=lambda: reader.frame_times if reader.is_variable_rate else (),
        begins=reader.begins,
        notes=lambda: reader.notes,
        name=path.stem,
        path=path,
        has_alpha=reader.has_alpha,
        tags=kept_tags(reader.metadata),
        sources=(path,),
        release=reader.close,
        reader=reader,
    )


def file_hash(path: Path, *, check: Callable[[], None] = lambda: None) -> str:
    """Return a digest of a file's bytes; ``check`` is called for each MiB and may raise."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            check()
            digest.update(block)
    return digest.hexdigest()
