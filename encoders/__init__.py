"""Reading, probing and writing media files."""

from __future__ import annotations

from .ffmpeg import FFmpegEncoder, encode_frames
from .interfaces import EncodingConfig, EncodingResult, VideoEncoderInterface
from .probe import VideoInfo, probe
from .reader import VideoReader, is_image, read_audio, read_image
from .writer import VideoWriter

__all__ = [
    "EncodingConfig",
    "EncodingResult",
    "FFmpegEncoder",
    "VideoEncoderInterface",
    "VideoInfo",
    "VideoReader",
    "VideoWriter",
    "encode_frames",
    "is_image",
    "probe",
    "read_audio",
    "read_image",
]
