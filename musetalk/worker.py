"""Long work beside the thread that asked for it, so that a wish to stop is heard at once.

The worker only counts. The asking thread polls, shows progress and decides; it alone talks to the
host, whose interruption would be swallowed in another thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from types import TracebackType
from typing import TypeVar

import numpy as np
import torch

Result = TypeVar("Result")


class Stopped(Exception):  # noqa: N818 - not an error: the work was given up on request
    """Ends work that was given up, inside the thread that does it; never reaches a user."""


class Work:
    """What the worker and the thread that waits for it share.

    done: steps finished so far. preview: the newest picture, uint8 RGB (H, W, 3), or None.
    """

    def __init__(self) -> None:
        self.done = 0
        self.preview: np.ndarray | None = None
        self._stop = threading.Event()

    def check(self) -> None:
        """End the work here if it is no longer wanted. Called between the blocks of a network."""
        if self._stop.is_set():
            raise Stopped

    def stop(self) -> None:
        """Ask the worker to end; safe from any thread."""
        self._stop.set()


class Worker:
    """One thread for all the work of one run; use it as a context manager.

    poll: called again and again by the asking thread while it waits. What it raises stops the
        work and goes to the caller, once the worker has ended.
    poll_seconds: at most so long between two calls.
    """

    def __init__(self, poll: Callable[[Work], None], *, poll_seconds: float) -> None:
        self._poll = poll
        self._poll_seconds = poll_seconds
        self.work = Work()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="avatarvideo")

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.work.stop()
        self._pool.shutdown(wait=True)

    def run(self, task: Callable[[], Result], *, inference: bool = True) -> Result:
        """Return what the task returns, or raise what it raises.

        inference: compute without any record for gradients; False where networks are made, whose
            weights must stay ordinary tensors.
        """
        future = self._pool.submit(_in_mode, task, inference)
        try:
            while not wait([future], self._poll_seconds).done:
                self._poll(self.work)
            self._poll(self.work)
        except BaseException:
            self.work.stop()
            wait([future])
            raise
        return future.result()


def _in_mode(task: Callable[[], Result], inference: bool) -> Result:
    # The mode belongs to a thread: set by the asking one it would not reach here.
    with torch.inference_mode(inference):
        return task()
