"""The encoder of this package: frames or files in, one finished file out."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from fractions import Fraction
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import numpy as np

from ..errors import AvatarVideoError, Cancelled, EncodeError, SourceEndsEarlyError
from ..media import AudioClip, FramesOfFiles
from .interfaces import EncodingConfig, EncodingResult, VideoEncoderInterface
from .read.audio import AudioTrack
from .read.probe import probe
from .read.video import VideoReader
from .write.audio_track import track_of
from .write.make_plan import checked_target
from .write.operations import replace_audio, transcode
from .write.partial import concluded, lacking_sound, may_lack_sound, working_target
from .write.plan import Extras, MakePicture, OnFrame, PictureFacts
from .write.timing import Section
from .write.writer import VideoWriter

Given = ParamSpec("Given")


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
    on_picture: Callable[[MakePicture], None] | None = None,
) -> EncodingResult:
    """Encode frames, uint8 RGB (H, W, 3) or float32 0..1, as they come; then close their iterator.

    sources: more files that the result may not replace; those of the audio, and of frames from a
        reader, an avatar or a lip-sync run, are known.
    on_frame: called with the count after each frame. An exception in it or in the frames ends the
        encode, leaves no file and is raised again.
    on_picture: called before it with what makes a small uint8 RGB picture of the frame.
    Raises EncodeError; where the end of the audio is missing, SourceEndsEarlyError.
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
        heard = audio.sources if isinstance(audio, AudioClip) else ()
        track = track_of(audio) if isinstance(audio, AudioClip) else audio
        extras = Extras(metadata or {}, (*sources, *seen, *heard), on_frame, on_picture)
        config = config or EncodingConfig()
        named = path = Path(path)
        if may_lack_sound(track):
            sources = extras.sources
            container, named = checked_target(path, config, sources=sources, container=container)
            path = working_target(named, config, extras, container)
        writer = VideoWriter(path, pictures, config, track, extras, container=container)
        with writer:
            all_frames = itertools.chain([first], iterator)
            writer.write_all(all_frames, lambda frame, _held: writer.write(frame))
    done = writer.written
    if path != named:
        done = concluded(done, named, config, extras, lacking_sound(track))
    return replace(done, processing_seconds=time.perf_counter() - started)


def _picture_size(frame: np.ndarray) -> tuple[int, int]:
    if frame.ndim != 3 or frame.shape[2] not in (3, 4):
        raise EncodeError(f"Expected frames as RGB (H, W, 3), got {frame.dtype} {frame.shape}.")
    return frame.shape[1], frame.shape[0]


def _reported(method: Callable[Given, EncodingResult]) -> Callable[Given, EncodingResult]:
    """Make an AvatarVideoError of a method, except a cancel, a result; note the time it took."""

    @wraps(method)
    def called(*args: Given.args, **kwargs: Given.kwargs) -> EncodingResult:
        started = time.perf_counter()
        try:
            result = method(*args, **kwargs)
        except Cancelled:
            raise
        except AvatarVideoError as error:
            kept = error.kept if isinstance(error, SourceEndsEarlyError) else None
            result = EncodingResult(success=False, error=str(error), output_path=kept)
        return replace(result, processing_seconds=time.perf_counter() - started)

    return called


class FFmpegEncoder(VideoEncoderInterface):
    """Encodes, trims and resizes video files and changes their audio with FFmpeg's libraries.

    A failure (files, disks, formats) comes back as ``success=False`` with a sentence; a cancel
    raised by ``on_frame`` is raised again.
    on_frame: called with the number of frames written so far.
    sources: files that no result may replace, besides those of each call.
    """

    def __init__(self, on_frame: OnFrame | None = None, sources: Iterable[Path] = ()) -> None:
        self._extras = Extras(sources=tuple(sources), on_frame=on_frame)

    def encode(
        self,
        input_video: str | Path,
        output_path: str | Path,
        config: EncodingConfig | None = None,
    ) -> EncodingResult:
        return self.trim(input_video, output_path, config=config)

    @_reported
    def resize(
        self,
        input_video: str | Path,
        output_path: str | Path,
        width: int,
        height: int,
        config: EncodingConfig | None = None,
    ) -> EncodingResult:
        with contextlib.closing(VideoReader(input_video, stays_open=True)) as reader:
            wanted = (width or reader.width, height or reader.height)
            if config is None and wanted == (reader.width, reader.height):
                plain = EncodingConfig()
                return replace_audio(input_video, None, output_path, plain, extras=self._extras)
            sized = replace(config or EncodingConfig(), width=width, height=height)
            return transcode(reader, output_path, sized, extras=self._extras)

    @_reported
    def trim(
        self,
        input_video: str | Path,
        output_path: str | Path,
        start: Fraction = Fraction(0),
        duration: Fraction = Fraction(0),
        config: EncodingConfig | None = None,
    ) -> EncodingResult:
        used, extras = config or EncodingConfig(), self._extras
        part = Section(Fraction(start), Fraction(duration))
        if used.codec != "copy":
            return transcode(input_video, output_path, used, section=part, extras=extras)
        return replace_audio(input_video, None, output_path, used, section=part, extras=extras)

    @_reported
    def add_audio(
        self,
        input_video: str | Path,
        audio_file: str | Path,
        output_path: str | Path,
        config: EncodingConfig | None = None,
        mix: bool = False,
    ) -> EncodingResult:
        used, extras = config or EncodingConfig(), self._extras
        return replace_audio(input_video, audio_file, output_path, used, mix=mix, extras=extras)

    def get_video_info(self, path: str | Path) -> dict[str, Any]:  # Any: whatever JSON holds
        return probe(path).as_dict()
