"""A file encoded while its faces are still being made, where a GPU makes them.

One thread composes each frame as soon as it is final, another encodes it. They never touch the
host: the thread that asked for the file polls, shows progress and decides.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType

import numpy as np

from ..encoders.interfaces import EncodingResult
from ..errors import AvatarVideoError, Cancelled
from .interfaces import LipSyncRun

FRAMES_AHEAD = 3  # composed before the encoder asks for them


class Stopped(Exception):  # noqa: N818 - not an error: the encode was given up on request
    """Ends an encode that was given up, inside the thread that does it; never reaches a user."""


class FinalFrames:
    """How many frames of a clip are final, told by one thread and waited for by another."""

    def __init__(self) -> None:
        self._count = 0
        self._given_up = False
        self._changed = threading.Condition()

    def tell(self, count: int) -> None:
        """Say that the first ``count`` frames will not change any more."""
        with self._changed:
            self._count = count
            self._changed.notify_all()

    def give_up(self) -> None:
        """Say that no more frames will come."""
        with self._changed:
            self._given_up = True
            self._changed.notify_all()

    def wait_for(self, number: int) -> None:
        """Return when frame ``number``, counted from 0, is final; raise Stopped if it never is."""
        with self._changed:
            self._changed.wait_for(lambda: self._given_up or self._count > number)
            if self._count <= number:
                raise Stopped


class BackgroundEncode:
    """Writes a run's file in a second thread while a GPU is still making the run's faces.

    Use it as a context manager: leaving it stops an encode that was not finished. One file each.

    encode: writes the whole file of a run from its frames and returns what it became; calls its
        last argument with the count after each frame. It leaves nothing when frames or call raise.
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

    def __enter__(self) -> BackgroundEncode:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self, run: LipSyncRun) -> None:
        """Begin the file of a run; each of its frames is waited for until its face is made."""
        self._tags = run.metadata()
        self._file = self._encoder.submit(self._encode, run, self._frames(run), self._on_frame)

    def check(self) -> None:
        """Raise what ended the encode if a user can mend it, such as a full disk.

        To be called while the faces are made: without a file nobody needs them.
        """
        failure = self._file.exception() if self._file and self._file.done() else None
        if isinstance(failure, AvatarVideoError):
            raise failure

    def finish(
        self, run: LipSyncRun, poll: Callable[[int], None], *, poll_seconds: float
    ) -> EncodingResult:
        """Complete the file of the run as it has become; return or raise as its encode does.

        Where no file was started, or one whose tags the run does not have, it is written now, in
        this thread.
        poll: called with the count of frames while the file is waited for, at least every
            ``poll_seconds``; may raise. A Cancelled that finds the file complete comes too late.
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
        """End an encode that is not complete, without a file, and wait for its threads."""
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
) -> Iterator[np.ndarray]:
    """Iterate over frames that another thread makes, ``count`` of them in advance.

    What making one raises is raised in its place. When this is closed a frame may still be made;
    then a generator is closed too.
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
