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
from typing import Generic, Protocol, TypeVar

import numpy as np

from ..errors import AvatarVideoError, Cancelled

FRAMES_AHEAD = 3  # composed before the encoder asks for them

AnyRun = TypeVar("AnyRun", bound="Run")
Encoded = TypeVar("Encoded")


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


class Run(Protocol):
    """What can be encoded: its frames, and the tags by which the file tells what it is."""

    @property
    def open_frames(self) -> Callable[[], Iterator[np.ndarray]]: ...

    def metadata(self) -> dict[str, str]: ...


class EarlyEncode(Generic[AnyRun, Encoded]):
    """At most one encode in a thread of its own; use it as a context manager.

    encode: writes the whole file of a run from its frames and returns what it became; calls its
        last argument with the count after each frame. It leaves nothing when frames or call raise.
    """

    def __init__(
        self, encode: Callable[[AnyRun, Iterator[np.ndarray], Callable[[int], None]], Encoded]
    ) -> None:
        self._encode = encode
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="avatarvideo-early")
        self._composing = ThreadPoolExecutor(1, thread_name_prefix="avatarvideo-frames")
        self._begun: tuple[dict[str, str], Future[Encoded]] | None = None
        self._decided, self._stopped = threading.Event(), threading.Event()
        self._count = 0

    def __enter__(self) -> EarlyEncode[AnyRun, Encoded]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def begin(self, run: AnyRun) -> Callable[[], None]:
        """Encode a run whose frames wait for what is still being made.

        Return what raises the encode's failure, once there is one that a user can mend: to be
        called while the frames are made, which nobody needs then.
        """
        tags = run.metadata()
        encoding = self._pool.submit(self._encode, run, self._frames(run), self._on_frame)
        self._begun = (tags, encoding)

        def check() -> None:
            failure = encoding.exception() if encoding.done() else None
            if isinstance(failure, AvatarVideoError):
                raise failure

        return check

    def result(
        self, run: AnyRun, poll: Callable[[int], None], *, poll_seconds: float
    ) -> Encoded | None:
        """Complete the file of what has become the run; return or raise as its encode does.

        None, and no file, where none was begun or where its tags would not be the run's.
        poll: called with the count of frames while it is waited for, at least every
            ``poll_seconds``; may raise. A Cancelled that finds the file complete comes too late.
        """
        if self._begun is None or self._begun[0] != run.metadata():
            self.stop()
            return None
        self._decided.set()
        encoding = self._begun[1]
        try:
            while not wait([encoding], poll_seconds).done:
                poll(self._count)
        except Cancelled:
            self.stop()
            if encoding.exception() is not None:  # so it left no file
                raise
        return encoding.result()

    def stop(self) -> None:
        """End an encode that is not complete, without a file, and wait for its threads."""
        self._stopped.set()
        self._decided.set()
        self._pool.shutdown(wait=True)
        self._composing.shutdown(wait=True)

    def _frames(self, run: AnyRun) -> Iterator[np.ndarray]:
        yield from read_ahead(iter(run.open_frames()), FRAMES_AHEAD, self._composing)
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
