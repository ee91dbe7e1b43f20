"""Write frames and audio as one finished file, with the size, timing and lengths asked for."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import av
import cv2
import numpy as np

from ...errors import EncodeError
from ...media import AudioClip
from ..color import is_deep, on_white, to_integers
from ..interfaces import EncodingConfig, EncodingResult
from ..read.audio import AudioTrack
from .animation_target import GifTarget, WebpTarget
from .audio_feed import AudioWriter
from .audio_packets import AudioPackets
from .audio_track import track_of
from .back_again import BackAgain
from .ffmpeg_target import ExecutableTarget
from .fitting import Fitter
from .make_plan import make_plan
from .output_file import size_of
from .plan import EncodePlan, Extras, PictureFacts
from .png_target import PngTarget
from .small_picture import small_picture
from .stream_target import StreamTarget

logger = logging.getLogger("avatarvideo.encoders.write.writer")

Picture = TypeVar("Picture")


class Target(Protocol):
    """What pictures are written into: one of FFmpeg's containers, a GIF, a folder of PNGs."""

    audio: AudioWriter | None

    def add(self, picture: np.ndarray, tick: int) -> None:
        """Write a picture, uint8 (H, W, C), shown from that tick of the plan's time base."""

    def finish(self, audio_end: Fraction | None, check: Callable[[], None]) -> None:
        """Complete the file and give it its name.

        audio_end: seconds, None for all of it. check: called again and again meanwhile; may raise.
        """

    def abort(self) -> None:
        """Stop without flushing and leave nothing; may be called more than once."""


class VideoWriter:
    """Writes frames (and audio) to a file that gets its name when it is complete.

    Use it as a context manager. On an exception, cancel included, the encoder is closed without
    flushing and nothing is left. Without ``alpha`` in the configuration, transparency is composited
    on white. Odd sizes are padded by one pixel, repeating the edge, where the pixel format needs
    even ones. Raises EncodeError.
    """

    def __init__(
        self,
        path: str | Path,
        pictures: PictureFacts,
        config: EncodingConfig | None = None,
        audio: AudioClip | AudioTrack | AudioPackets | None = None,
        extras: Extras | None = None,
        *,
        container: str | None = None,
    ) -> None:
        """pictures: the frames given. container: None takes the file's suffix."""
        self.config = config or EncodingConfig()
        extras = extras or Extras()
        if isinstance(audio, AudioClip):
            extras = replace(extras, sources=(*extras.sources, *audio.sources))
        self.plan = make_plan(path, pictures, self.config, extras, container=container)
        self.frame_count = 0
        # Whether ``write`` takes uint16: for 10 bits, unless the picture has to be scaled.
        self.takes_deep = is_deep(self.plan.pixel_format) and self.plan.placement.is_identity
        self._source_size = pictures.size
        self._track = track_of(audio) if isinstance(audio, AudioClip) else audio
        self._target: Target | None = None
        self._tick = -1
        self._fit = Fitter(self.plan.placement, self.plan.channels)
        self._integers: np.ndarray | None = None
        self._lost_alpha = False
        self._notes: list[str] = []
        self._on_frame = extras.on_frame
        self._on_picture = extras.on_picture
        self._back: BackAgain | None = None

    @property
    def written(self) -> EncodingResult:
        """The finished result."""
        plan = self.plan
        form = f"{plan.spec.name} as {plan.pixel_format}"
        lost = (
            (f"Transparency was replaced with white: {form} cannot hold it.",)
            if self._lost_alpha
            else ()
        )
        return EncodingResult(
            success=True,
            output_path=plan.path,
            duration_seconds=float(self._duration),
            frame_count=self.frame_count,
            resolution=plan.size,
            fps=float(plan.frame_rate),
            file_size_bytes=size_of(plan.path),
            codec=plan.spec.name,
            encoder=plan.encoder,
            notes=(*plan.notes, *self._notes, *lost),
        )

    def note(self, text: str) -> None:
        """Add to the notes of the result."""
        self._notes.append(text)

    @property
    def _duration(self) -> Fraction:
        if not self.frame_count:
            return Fraction(0)
        return self._tick * self.plan.time_base + 1 / self.plan.frame_rate

    def __enter__(self) -> VideoWriter:
        self._started = time.perf_counter()
        if self.plan.plays_back:
            self._back = BackAgain(self.plan.path.parent)
        try:
            self._target = open_target(self.plan, self._track)
        except BaseException:
            self._forget_pictures()
            raise
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        target, self._target = self._target, None
        if target is None:
            return
        if error is not None:
            self._forget_pictures()
            target.abort()
            return
        try:
            if not self.frame_count:
                name = self.plan.path.name
                raise EncodeError(f"Expected at least one frame for {name!r}, got none.")
            self._play_back(target)
            target.finish(self._audio_end(target), self._report)
            for note in () if target.audio is None else target.audio.notes:
                self.note(note)
        except BaseException:
            target.abort()
            raise
        finally:
            self._forget_pictures()
        plan, seconds = self.plan, time.perf_counter() - self._started
        facts = (*plan.size, seconds, plan.encoder, plan.pixel_format)
        text = "%s: %d frames of %dx%d in %.1f s (%s, %s)"
        logger.info(text, plan.path.name, self.frame_count, *facts)

    def write(self, frame: np.ndarray, time: Fraction | None = None) -> None:
        """Add one frame, uint8 or float32 0..1 (H, W, 3 or 4). time: seconds, at a varying rate."""
        given = frame
        if frame.dtype == np.float32:
            frame = self._as_integers(frame)
        elif frame.dtype != np.uint8 and not (frame.dtype == np.uint16 and self.takes_deep):
            found = f"got {frame.dtype}"
            raise EncodeError(f"Expected frame {self.frame_count} as uint8 or float32, {found}.")
        picture, tick = self._prepared(frame), self._next_tick(time)
        self._open_target().add(picture, tick)
        if self._back is not None:
            self._back.keep(picture, tick)
        self._count(given)

    def _play_back(self, target: Target) -> None:
        if self._back is None:
            return
        end = self._tick + round(1 / (self.plan.frame_rate * self.plan.time_base))
        for picture, tick in self._back.backwards(end):
            target.add(picture, tick)
            self._tick = tick
            self._count(picture)

    def _forget_pictures(self) -> None:
        if self._back is not None:
            self._back.close()
            self._back = None

    def _as_integers(self, frame: np.ndarray) -> np.ndarray:
        # Deeper formats get what 8 bits would lose, unless the picture has to be scaled.
        depth = np.uint16 if self.takes_deep else np.uint8
        if self._integers is None or self._integers.shape != frame.shape:
            self._integers = np.empty(frame.shape, depth)
        to_integers(np.ascontiguousarray(frame), self._integers)
        return self._integers

    def takes_decoded(self, *, alpha: bool) -> bool:
        """Tell whether ``write_decoded`` can be used. alpha: the frames have transparency."""
        fitted = self.plan.placement.scaled == self.plan.placement.canvas
        same = self.plan.channels == (4 if alpha else 3)
        return fitted and same and isinstance(self._target, StreamTarget)

    def write_decoded(self, frame: av.VideoFrame, time: Fraction | None = None) -> None:
        """Add a decoded, upright frame of the source's size."""
        target = self._open_target()
        if not isinstance(target, StreamTarget):
            raise EncodeError(f"Expected pictures for {self.plan.container}, got a coded frame.")
        target.add_decoded(frame, self._next_tick(time))
        self._count(frame)

    def write_all(
        self, pictures: Iterable[Picture], write: Callable[[Picture, bool], None]
    ) -> None:
        """Write pictures; by ``length``, stop at the end of the audio or repeat the last one to it.

        write: takes a picture and whether it is a repeat, and writes it.
        """
        audio, length = self._open_target().audio, self.config.length

        def reaches_next() -> bool:
            # A frame counts when the audio covers half of it, so the error is at most half a frame.
            middle = (self.frame_count + Fraction(1, 2)) / self.plan.frame_rate
            return audio is not None and audio.reaches(middle)

        cuts = audio is not None and length in ("audio", "shortest")
        last = None
        for picture in pictures:
            if cuts and self.frame_count and not reaches_next():
                break
            write(picture, False)
            last = picture
        while last is not None and length in ("audio", "freeze") and reaches_next():
            write(last, True)

    def _audio_end(self, target: Target) -> Fraction | None:
        if self.config.length not in ("video", "shortest") or target.audio is None:
            return None
        end = self._duration
        # A difference below one frame is rounding of the frame count; cutting there would click.
        return end if target.audio.reaches(end + 1 / self.plan.frame_rate) else None

    def _open_target(self) -> Target:
        if self._target is None:
            raise EncodeError("Expected an open writer: use it in a with statement.")
        return self._target

    def _prepared(self, frame: np.ndarray) -> np.ndarray:
        width, height = self._source_size
        if frame.shape[:2] != (height, width) or frame.ndim != 3 or frame.shape[2] not in (3, 4):
            wanted = (height, width, self.plan.channels)
            raise EncodeError(
                f"Expected frame {self.frame_count} of shape {wanted}, got {frame.shape}."
            )
        if frame.shape[2] != self.plan.channels:
            opaque = frame.shape[2] == 3
            clear = not opaque and frame[..., 3].min() < np.iinfo(frame.dtype).max
            self._lost_alpha |= bool(clear)
            frame = cv2.cvtColor(frame, cv2.COLOR_RGB2RGBA) if opaque else on_white(frame)
        return np.ascontiguousarray(frame) if frame.dtype == np.uint16 else self._fit(frame)

    def _count(self, frame: np.ndarray | av.VideoFrame) -> None:
        self.frame_count += 1
        if self._on_picture is not None:
            self._on_picture(partial(small_picture, frame))
        self._report()

    def _report(self) -> None:
        if self._on_frame is not None:
            self._on_frame(self.frame_count)

    def _next_tick(self, time: Fraction | None) -> int:
        tick = self._tick + 1 if time is None else round(time / self.plan.time_base)
        self._tick = max(tick, self._tick + 1)  # encoders refuse equal times
        return self._tick


def open_target(plan: EncodePlan, track: AudioTrack | AudioPackets | None) -> Target:
    """Open what the plan's pictures are written into."""
    if plan.container == "png":
        return PngTarget(plan, None if isinstance(track, AudioPackets) else track)
    if plan.container in ("gif", "webp"):
        if track is not None:
            logger.warning("%s: a %s has no sound", plan.path.name, plan.container)
        return GifTarget(plan) if plan.container == "gif" else WebpTarget(plan)
    if plan.config.backend == "own ffmpeg":
        return ExecutableTarget(plan, track)
    return StreamTarget(plan, track)
