"""The encoder of this package: frames or files in, one finished file out."""

from __future__ import annotations

import contextlib
import itertools
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import AvatarVideoError, Cancelled, EncodeError
from ..media import AudioClip, FramesOfFiles
from .interfaces import EncodingConfig, EncodingResult, VideoEncoderInterface
from .read.audio import AudioTrack
from .read.probe import probe
from .read.video import VideoReader
from .write.operations import replace_audio, transcode
from .write.plan import Extras, OnFrame, PictureFacts
from .write.timing import WHOLE, Section
from .write.writer import VideoWriter

__all__ = ["FFmpegEncoder", "VideoWriter", "encode_frames"]

logger = logging.getLogger("avatarvideo.encoders.encoder")


def encode_frames(
    frames: Iterable[np.ndarray],
    path: str | Path,
    *,
    frame_rate: Fraction,
    config: EncodingConfig | None = None,
    audio: AudioClip | AudioTrack | None = None,
    metadata: dict[str, str] | None = None,
    container: str | None = None,
    sources: Iterable[Path] = (),
    on_frame: OnFrame | None = None,
) -> EncodingResult:
    """Encode frames, uint8 RGB (H, W, 3) or float32 0..1, as they come.

    sources: files the frames are made from, which the result may not replace; those of a reader,
        an avatar or a lip-sync run, and those of the sound, are known.
    on_frame: called with the count after each frame; what it raises ends the encode, leaves no
    file and passes through, as does what the frames raise. An iterator that can be closed is.
    Raises EncodeError.
    """
    started = time.perf_counter()
    seen = frames.sources if isinstance(frames, FramesOfFiles) else ()
    iterator = iter(frames)
    with contextlib.ExitStack() as stack:
        close = getattr(frames if seen else iterator, "close", None)
        if close is not None:
            stack.callback(close)
        first = next(iterator, None)
        if first is None:
            raise EncodeError(f"Expected at least one frame for {Path(path).name!r}, got none.")
        pictures = PictureFacts(_picture_size(first), frame_rate)
        extras = Extras(metadata or {}, (*sources, *seen), on_frame)
        writer = VideoWriter(path, pictures, config, audio, extras, container=container)

        def write(frame: np.ndarray, _held: bool) -> None:
            (writer.write if frame.dtype == np.uint8 else writer.write_float)(frame)

        with writer:
            writer.write_all(itertools.chain([first], iterator), write)
    return _result(writer, started)


def _picture_size(frame: np.ndarray) -> tuple[int, int]:
    if frame.ndim != 3 or frame.shape[2] not in (3, 4):
        raise EncodeError(f"Expected frames as RGB (H, W, 3), got {frame.dtype} {frame.shape}.")
    return frame.shape[1], frame.shape[0]


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
        duration_seconds=float(writer.duration),
        frame_count=writer.frame_count,
        resolution=(writer.width, writer.height),
        fps=float(writer.frame_rate),
        file_size_bytes=_size_of(writer.path),
        codec=plan.spec.name,
        processing_seconds=seconds,
        encoder=plan.encoder,
        notes=writer.notes,
    )


def _size_of(path: Path) -> int:
    if path.is_dir():
        return sum(entry.stat().st_size for entry in path.iterdir())
    return path.stat().st_size


class FFmpegEncoder(VideoEncoderInterface):
    """Encodes, resizes and re-sounds video files through FFmpeg's libraries.

    What the world does wrong (files, disks, formats) comes back as ``success=False`` with a
    sentence; a cancel raised by ``on_frame`` passes through.
    """

    def __init__(self, on_frame: OnFrame | None = None, sources: Iterable[Path] = ()) -> None:
        """on_frame: called with the number of frames written so far.

        sources: files that no result may replace, besides those of each call.
        """
        self._extras = Extras(sources=tuple(sources), on_frame=on_frame)

    def encode(
        self,
        input_video: str | Path,
        output_path: str | Path,
        config: EncodingConfig | None = None,
    ) -> EncodingResult:
        """Encode a video again, sound included; codec "copy" keeps the packets instead."""
        return self.trim(input_video, output_path, config=config)

    def resize(
        self,
        input_video: str | Path,
        output_path: str | Path,
        width: int,
        height: int,
        config: EncodingConfig | None = None,
    ) -> EncodingResult:
        """Encode a video at another size in pixels; nothing is encoded where it has that size.

        ``config.fit`` says how the picture meets it. A side of 0 follows from the other.
        """

        def work(started: float) -> EncodingResult:
            with contextlib.closing(VideoReader(input_video, stays_open=True)) as reader:
                wanted = (width or reader.width, height or reader.height)
                if config is None and wanted == (reader.width, reader.height):
                    return self._copied(input_video, None, output_path, EncodingConfig(), started)
                sized = replace(config or EncodingConfig(), width=width, height=height)
                writer = transcode(reader, output_path, sized, extras=self._extras)
            return _result(writer, started)

        return _reported(work)

    def trim(
        self,
        input_video: str | Path,
        output_path: str | Path,
        start: Fraction = Fraction(0),
        duration: Fraction = Fraction(0),
        config: EncodingConfig | None = None,
    ) -> EncodingResult:
        """Encode a part of a video; seconds, a duration of 0 goes to the end.

        With codec "copy" nothing is encoded and the part begins at the key frame before its start.
        """
        used = config or EncodingConfig()

        def work(started: float) -> EncodingResult:
            section = Section(Fraction(start), Fraction(duration))
            if used.codec == "copy":
                return self._copied(input_video, None, output_path, used, started, section=section)
            writer = transcode(input_video, output_path, used, section=section, extras=self._extras)
            return _result(writer, started)

        return _reported(work)

    def add_audio(
        self,
        input_video: str | Path,
        audio_file: str | Path,
        output_path: str | Path,
        config: EncodingConfig | None = None,
        mix: bool = False,
    ) -> EncodingResult:
        """Replace the sound, or add to it; the pictures are copied, not encoded again."""

        def work(started: float) -> EncodingResult:
            used = config or EncodingConfig()
            return self._copied(input_video, audio_file, output_path, used, started, mix=mix)

        return _reported(work)

    def _copied(
        self,
        video: str | Path,
        audio: str | Path | None,
        output: str | Path,
        config: EncodingConfig,
        started: float,
        *,
        mix: bool = False,
        section: Section = WHOLE,
    ) -> EncodingResult:
        copied = replace_audio(
            video,
            audio,
            output,
            config,
            mix=mix,
            section=section,
            extras=self._extras,
        )
        return EncodingResult(
            success=True,
            output_path=copied.path,
            duration_seconds=float(copied.duration),
            frame_count=copied.count,
            resolution=copied.size,
            fps=float(copied.frame_rate),
            file_size_bytes=copied.path.stat().st_size,
            codec=copied.codec,
            processing_seconds=time.perf_counter() - started,
            encoder="copy",
            notes=copied.notes,
        )

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
