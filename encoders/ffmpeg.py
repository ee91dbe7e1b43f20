"""The encoder of this package: frames or files in, one finished file out."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import AvatarVideoError, Cancelled, EncodeError
from ..media import AudioClip
from .interfaces import EncodingConfig, EncodingResult, VideoEncoderInterface
from .operations import OnFrame, replace_audio, transcode
from .probe import VideoInfo, probe
from .sound import AudioTrack
from .writer import VideoWriter

__all__ = ["FFmpegEncoder", "VideoWriter", "encode_frames"]

logger = logging.getLogger("avatarvideo.encoders.ffmpeg")


def encode_frames(
    frames: Iterable[np.ndarray],
    path: str | Path,
    *,
    frame_rate: Fraction,
    config: EncodingConfig | None = None,
    audio: AudioClip | AudioTrack | None = None,
    metadata: dict[str, str] | None = None,
    container: str | None = None,
    on_frame: OnFrame | None = None,
) -> EncodingResult:
    """Encode frames, uint8 RGB (H, W, 3) or float32 0..1, as they come.

    on_frame: called with the count after each frame; what it raises ends the encode, leaves no
    file and passes through, as does what the frames raise. An iterator that can be closed is.
    Raises EncodeError.
    """
    started = time.perf_counter()
    iterator = iter(frames)
    with contextlib.ExitStack() as stack:
        close = getattr(iterator, "close", None)
        if close is not None:
            stack.callback(close)
        first = next(iterator, None)
        if first is None:
            raise EncodeError(f"Expected at least one frame for {Path(path).name!r}, got none.")
        height, width = _picture_size(first)
        writer = VideoWriter(
            path,
            width=width,
            height=height,
            frame_rate=frame_rate,
            config=config,
            audio=audio,
            metadata=metadata,
            container=container,
        )
        with writer:
            frame: np.ndarray | None = first
            while frame is not None:
                add = writer.write if frame.dtype == np.uint8 else writer.write_float
                add(frame)
                if on_frame is not None:
                    on_frame(writer.frame_count)
                frame = next(iterator, None)
    return _result(writer, started)


def _picture_size(frame: np.ndarray) -> tuple[int, int]:
    if frame.ndim != 3 or frame.shape[2] not in (3, 4):
        raise EncodeError(f"Expected frames as RGB (H, W, 3), got {frame.dtype} {frame.shape}.")
    return frame.shape[0], frame.shape[1]


def _result(writer: VideoWriter, started: float) -> EncodingResult:
    seconds = time.perf_counter() - started
    plan = writer.plan
    logger.info(
        "%s: %d frames of %dx%d in %.1f s (%s, %s)",
        writer.path.name,
        writer.frame_count,
        writer.width,
        writer.height,
        seconds,
        plan.encoder,
        plan.pixel_format,
    )
    return EncodingResult(
        success=True,
        output_path=writer.path,
        duration_seconds=float(writer.frame_count / writer.frame_rate),
        frame_count=writer.frame_count,
        resolution=(writer.width, writer.height),
        fps=float(writer.frame_rate),
        file_size_bytes=writer.path.stat().st_size,
        codec=plan.spec.name,
        processing_seconds=seconds,
        encoder=plan.encoder,
        notes=plan.notes,
    )


class FFmpegEncoder(VideoEncoderInterface):
    """Encodes, resizes and re-sounds video files through FFmpeg's libraries.

    What the world does wrong (files, disks, formats) comes back as ``success=False`` with a
    sentence; a cancel raised by ``on_frame`` passes through.
    """

    def __init__(self, on_frame: OnFrame | None = None) -> None:
        """on_frame: called with the number of frames written so far."""
        self._on_frame = on_frame

    def encode(
        self,
        input_video: str | Path,
        output_path: str | Path,
        config: EncodingConfig | None = None,
    ) -> EncodingResult:
        """Encode a video again, sound included."""
        return self._transcoded(input_video, output_path, config, None)

    def resize(
        self,
        input_video: str | Path,
        output_path: str | Path,
        width: int,
        height: int,
        config: EncodingConfig | None = None,
    ) -> EncodingResult:
        """Encode a video at another size in pixels."""
        return self._transcoded(input_video, output_path, config, (width, height))

    def _transcoded(
        self,
        source: str | Path,
        output: str | Path,
        config: EncodingConfig | None,
        size: tuple[int, int] | None,
    ) -> EncodingResult:
        def work(started: float) -> EncodingResult:
            used = config or EncodingConfig()
            writer = transcode(source, output, used, size=size, on_frame=self._on_frame)
            return _result(writer, started)

        return _reported(work)

    def add_audio(
        self,
        input_video: str | Path,
        audio_file: str | Path,
        output_path: str | Path,
        config: EncodingConfig | None = None,
    ) -> EncodingResult:
        """Replace the sound; the pictures are copied, not encoded again."""

        def work(started: float) -> EncodingResult:
            replace_audio(input_video, audio_file, output_path, config or EncodingConfig())
            return _copied(probe(output_path), started)

        return _reported(work)

    def get_video_info(self, path: str | Path) -> dict[str, Any]:
        """Return what is known of a video file. Raises MediaError when it is none."""
        return probe(path).as_dict()


def _reported(work: Callable[[float], EncodingResult]) -> EncodingResult:
    started = time.perf_counter()
    try:
        return work(started)
    except Cancelled:
        raise
    except AvatarVideoError as error:
        return EncodingResult(
            success=False, error=str(error), processing_seconds=time.perf_counter() - started
        )


def _copied(info: VideoInfo, started: float) -> EncodingResult:
    return EncodingResult(
        success=True,
        output_path=Path(info.path),
        duration_seconds=info.duration_seconds,
        frame_count=info.frame_count,
        resolution=(info.width, info.height),
        fps=info.fps,
        file_size_bytes=info.file_size_bytes,
        codec=info.video_codec,
        processing_seconds=time.perf_counter() - started,
    )
