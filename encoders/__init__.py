"""Decodes, probes and encodes media files."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .encoder import FFmpegEncoder, encode_frames
    from .interfaces import EncodingConfig, EncodingResult, VideoEncoderInterface
    from .read.probe import VideoInfo

__all__ = [
    "EncodingConfig",
    "EncodingResult",
    "FFmpegEncoder",
    "VideoEncoderInterface",
    "VideoInfo",
    "encode_frames",
]

_HOMES = {
    "EncodingConfig": "interfaces",
    "EncodingResult": "interfaces",
    "FFmpegEncoder": "encoder",
    "VideoEncoderInterface": "interfaces",
    "VideoInfo": "read.probe",
    "encode_frames": "encoder",
}


def __getattr__(name: str) -> Any:  # Any: a class or a function
    # Looked up when asked for: an option's name must not load FFmpeg's libraries.
    if name in _HOMES:
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
