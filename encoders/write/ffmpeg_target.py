"""Write through the user's own ffmpeg: pictures go down a pipe, the audio is added after."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np

from ...errors import EncodeError
from ..read.audio import AudioTrack
from ..read.open import open_media
from .audio_feed import AudioWriter
from .audio_packets import AudioPackets
from .audio_track import SampleQueue
from .ffmpeg_command import ERROR_CHARACTERS, NO_WINDOW, command, find_ffmpeg, said, why_not_own
from .output_file import PendingFile
from .plan import EncodePlan, Extras
from .remux import copy_pictures
from .section_packets import SectionPackets

logger = logging.getLogger("avatarvideo.encoders.write.ffmpeg_target")

STUCK_SECONDS = 120.0  # without taking a picture or writing a byte


class WaitingAudio:
    """Audio that is written when the pictures are done."""

    notes: tuple[str, ...] = ()

    def __init__(self, track: AudioTrack) -> None:
        self._track = track
        self._queue = SampleQueue(track)

    def reaches(self, seconds: Fraction) -> bool:
        """Tell whether there is audio after that time."""
        return self._queue.reaches(int(seconds * self._track.sample_rate))

    def advance(self, seconds: Fraction) -> None:
        """Nothing: it waits."""

    def finish(self, end: Fraction | None = None) -> None:
        """Nothing: the target takes it by ``until``."""

    def until(self, end: Fraction | None) -> AudioTrack:
        """Return the track, to its end or to that time in seconds."""
        last = sys.maxsize if end is None else round(end * self._track.sample_rate)

        def blocks() -> Iterator[np.ndarray]:
            while (block := self._queue.take(last - self._queue.taken)) is not None:
                yield block

        return replace(self._track, blocks=blocks())


class ExecutableTarget:
    """Encodes through the user's ffmpeg. Raises EncodeError."""

    def __init__(
        self,
        plan: EncodePlan,
        track: AudioTrack | AudioPackets | None,
        *,
        stuck_seconds: float = STUCK_SECONDS,
    ) -> None:
        if plan.time_base != 1 / plan.frame_rate:
            raise EncodeError(
                "Expected a constant rate for the user's own ffmpeg, which gets its pictures "
                "without time stamps: set variable rate to constant, or use the built-in encoder."
            )
        self._executable = find_ffmpeg(plan.config.ffmpeg)
        reason = why_not_own(self._executable, plan)
        if reason is not None:
            raise EncodeError(
                f"Expected {plan.encoder} to work in {str(self._executable)!r}, but ffmpeg "
                f"says: {reason}"
            )
        self._plan = plan
        self._packets = track if isinstance(track, AudioPackets) else None
        self._waiting = WaitingAudio(track) if isinstance(track, AudioTrack) else None
        self.audio: AudioWriter | None = self._waiting
        self._pending = PendingFile(plan.path, sources=plan.sources)
        self._process: subprocess.Popen[bytes] | None = None
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - closed in _end
        self._last_step = time.monotonic()
        self._stop = threading.Event()
        self._watch = threading.Thread(target=self._kill_when_stuck, daemon=True)
        self._was_stuck = False
        self._stuck_seconds = stuck_seconds

    def add(self, picture: np.ndarray, tick: int) -> None:
        """Hand over a picture, uint8 or uint16 (H, W, C)."""
        with self._pending.explaining(self.abort):
            if self._process is None:
                self._start(picture.dtype)
            process = self._process
            if process is None or process.stdin is None:
                raise EncodeError("Expected a running ffmpeg: use the writer in a with statement.")
            try:
                process.stdin.write(np.ascontiguousarray(picture))
            except OSError as error:  # a broken pipe says nothing, its standard error does
                raise self._failure() from error
            self._last_step = time.monotonic()

    def finish(self, audio_end: Fraction | None, check: Callable[[], None]) -> None:
        """Let it end, add the audio, and give the file its name."""
        with self._pending.explaining(self.abort):
            self._wait(check)
            self._join(audio_end, check)
        self.abort()  # the result has its own name

    def abort(self) -> None:
        """Kill it and leave nothing; may be called more than once."""
        self._end()
        self._pending.remove()

    def _start(self, dtype: np.dtype) -> None:
        arguments = command(
            self._executable, self._plan, self._pending.temporary, deep=dtype == np.uint16
        )
        logger.debug("%s", arguments)
        self._process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._words,
            creationflags=NO_WINDOW,
        )
        self._last_step = time.monotonic()
        self._watch.start()

    def _wait(self, check: Callable[[], None]) -> None:
        process = self._process
        if process is None or process.stdin is None:
            raise EncodeError(f"Expected at least one frame for {self._plan.path.name!r}.")
        with contextlib.suppress(OSError):  # it may have ended before the last picture
            process.stdin.close()
        size = -1
        while True:
            check()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.2)
                break
            with contextlib.suppress(OSError):
                now = self._pending.temporary.stat().st_size
                if now != size:
                    size, self._last_step = now, time.monotonic()
        if process.returncode:
            raise self._failure()

    def _join(self, audio_end: Fraction | None, check: Callable[[], None]) -> None:
        audio = self._packets if self._waiting is None else self._waiting.until(audio_end)
        # The length was settled while the pictures came.
        config = replace(self._plan.config, length="keep")
        with open_media(self._pending.temporary) as pictures:
            copy_pictures(
                SectionPackets(pictures),
                audio,
                output=self._plan.path,
                holder=self._plan.container,
                config=config,
                extras=Extras(self._plan.metadata, self._plan.sources, lambda _count: check()),
            )

    def _failure(self) -> EncodeError:
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=5)  # its last words come before its end
        if self._was_stuck:
            reason = f"it did nothing for {self._stuck_seconds:.0f} s and was stopped"
        else:
            # A broken input may fill it with the same line over and over.
            length = self._words.seek(0, os.SEEK_END)
            self._words.seek(max(0, length - 4 * ERROR_CHARACTERS))
            reason = said(self._words.read())
        return EncodeError(f"Could not write {self._plan.path.name!r}, ffmpeg says: {reason}")

    def _end(self) -> None:
        self._stop.set()
        process, self._process = self._process, None
        if process is not None:
            if process.poll() is None:
                process.kill()
            if process.stdin is not None:
                with contextlib.suppress(OSError):
                    process.stdin.close()
            process.wait()
        if self._watch.is_alive():
            self._watch.join()
        self._words.close()

    def _kill_when_stuck(self) -> None:
        while not self._stop.wait(0.5):
            process = self._process
            if process is not None and time.monotonic() - self._last_step > self._stuck_seconds:
                self._was_stuck = True
                process.kill()
                return
