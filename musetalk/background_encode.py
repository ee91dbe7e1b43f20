"""Encode a file while a GPU is still generating its faces.

One thread composes each frame as soon as it is final, another encodes it. They never touch the
host: the calling thread polls, shows progress and decides.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager

import numpy as np

from ..encoders.interfaces import EncodingResult
from ..errors import AvatarVideoError, Cancelled
from .interfaces import LipSyncRun

FRAMES_AHEAD = 3  # composed before the encoder asks for them


class Stopped(Exception):  # noqa: N818 - not an error: the encode was stopped on request
    """Ends a stopped encode inside its thread; never reaches a user."""


class FinalFrames:
    """How many frames of a clip are final, set by one thread and waited for by another."""

    def __init__(self) -> None:
        self._count = 0
        self._closed = False
        self._changed = threading.Condition()

    def advance(self, count: int) -> None:
        with self._changed:
            self._count = count
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def wait_for(self, number: int) -> None:
        """Return when frame ``number``, counted from 0, is final; raise Stopped if it never is."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._count > number)
            if self._count <= number:
                raise Stopped


class BackgroundEncode(AbstractContextManager["BackgroundEncode"]):
    """Writes a run's file in a second thread while a GPU is still generating the run's faces.

    A context manager: leaving it stops an encode that was not finished. For one file only.

    encode: writes the whole file of a run from its frames; calls its last argument with the count
        after each frame. It leaves no file when that or the frames raise.
    """

    def __init__(
        self,
        encode: Callable[[LipSyncRun, Iterator[np.ndarray], Callable[[int], None]], EncodingResult],
    ) -> None:
        self._encode = encode
        self._encoder = ThreadPoolExecutor(1, thread_name_prefix="avatarvideo-encode")
        self._composer = ThreadPoolExecutor(1, thread_name_prefix="avatarvideo-frames")
        self._tags: dict[str, str] | None = None
        self._file: Future[EncodingResult] | None = None
        self._decided, self._stopped = threading.Event(), threading.Event()
        self._count = 0

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, run: LipSyncRun) -> None:
        """Begin the file of a run, whose frames wait for their faces."""
        self._tags = run.metadata()
        self._file = self._encoder.submit(self._encode, run, self._frames(run), self._on_frame)

    def check(self) -> None:
        """Raise what ended the encode if the user can fix it, such as a full disk."""
        failure = self._file.exception() if self._file and self._file.done() else None
        if isinstance(failure, AvatarVideoError):
            raise failure

    def finish(
        self, run: LipSyncRun, poll: Callable[[int], None], *, poll_seconds: float
    ) -> EncodingResult:
        """Wait until the file of the finished run is complete; return or raise as its encode does.

        Without one, or with other tags than the run's, it is written now, in this thread.
        poll: called with the count of frames at least every ``poll_seconds``; may raise. A
            Cancelled that finds the file complete is ignored.
        """
        if self._file is None or self._tags != run.metadata():
            self.stop()
            return self._encode(run, run.open_frames(), poll)
        self._decided.set()
        try:
            while not wait([self._file], poll_seconds).done:
                poll(self._count)
        except Cancelled:
            self.stop()
            if self._file.exception() is not None:  # so it left no file
                raise
        return self._file.result()

    def stop(self) -> None:
        """Stop an encode that is not complete, without a file, and wait for its threads."""
        self._stopped.set()
        self._decided.set()
        self._encoder.shutdown(wait=True)
        self._composer.shutdown(wait=True)

    def _frames(self, run: LipSyncRun) -> Iterator[np.ndarray]:
        yield from read_ahead(iter(run.open_frames()), FRAMES_AHEAD, self._composer)
        self._decided.wait()  # the file gets its name after the last frame
        if self._stopped.is_set():
            raise Stopped

    def _on_frame(self, count: int) -> None:
        self._count = count
        if self._stopped.is_set():
            raise Stopped


def read_ahead(
    frames: Iterator[np.ndarray], count: int, thread: ThreadPoolExecutor
) -> Generator[np.ndarray, None, None]:
    """Iterate over frames that another thread makes, ``count`` of them in advance.

    Its exceptions are raised here. Closing this closes ``frames`` too, after the current frame.
    """
    begun = deque(thread.submit(next, frames, None) for _ in range(count))
    try:
        while (frame := begun.popleft().result()) is not None:
            begun.append(thread.submit(next, frames, None))
            yield frame
    finally:
        for waiting in begun:
            waiting.cancel()
        if isinstance(frames, Generator):
            thread.submit(frames.close)
