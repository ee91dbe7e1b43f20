"""Threads that take parts of one computation, each as fast as its processor lets it.

PyTorch shares every single step out to its threads and waits for the last of them. A computation
of many small steps waits as often, and beside a busy program each wait is a turn of the system's
scheduler. Here a thread goes through all steps of a part by itself, takes the next part when it is
done, and all wait for one another once.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

import torch

MOST_WORKERS = 8  # Python starts the steps of all of them, one at a time

Part = TypeVar("Part")
_pools: dict[int, ThreadPoolExecutor] = {}  # by PyTorch's number of threads
_making = threading.Lock()


def worker_count() -> int:
    """Return how many parts are computed at a time by ``compute_parts``."""
    return min(torch.get_num_threads(), MOST_WORKERS)


def compute_parts(make: Callable[[], Callable[[Part], None]], parts: Sequence[Part]) -> None:
    """Let every thread make a worker and hand it parts until none is left.

    A part must not read what another writes. Raises what a worker raises, when all have stopped.
    """
    if min(len(parts), worker_count()) < 2:
        worker = make()
        for part in parts:
            worker(part)
        return
    left, taking = iter(parts), threading.Lock()
    inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def work() -> None:
        with torch.inference_mode(inference), torch.set_grad_enabled(gradients):
            worker = make()
            for part in _taken(left, taking):
                worker(part)

    pool = _pool()
    begun = [pool.submit(work) for _ in range(min(len(parts), worker_count()))]
    wait(begun)
    for one in begun:
        one.result()


def _taken(left: Iterator[Part], taking: threading.Lock) -> Iterator[Part]:
    """Yield what is left, shared with others that take from it."""
    while True:
        with taking:
            try:
                part = next(left)
            except StopIteration:
                return
        yield part


def _pool() -> ThreadPoolExecutor:
    """Return the threads for PyTorch's present number, made once."""
    threads, workers = torch.get_num_threads(), worker_count()
    with _making:
        if threads not in _pools:
            together = threading.Barrier(workers)
            pool = ThreadPoolExecutor(workers, thread_name_prefix="avatarvideo-parts")
            wait([pool.submit(_share, threads // workers, together) for _ in range(workers)])
            torch.set_num_threads(threads)  # threads that others start later take the last number
            _pools[threads] = pool
        return _pools[threads]


def _share(threads: int, together: threading.Barrier) -> None:
    """Let the steps of this thread use so many; every thread of a pool comes by once."""
    torch.get_num_threads()  # the first call in a thread sets what was set last anywhere
    torch.set_num_threads(threads)
    together.wait()


def _forget_pools() -> None:
    """Threads do not come along into a forked process."""
    global _making
    _pools.clear()
    _making = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pools)
