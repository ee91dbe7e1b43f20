"""The priority of threads, which one encoder changes for the whole process."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Generator
from pathlib import Path


@contextlib.contextmanager
def kept_priority() -> Generator[None]:
    """Undo what opening an encoder in the block does to the scheduling of threads.

    Where it may (as root on Linux), SVT-AV1 makes the thread that opens it and its own threads
    real-time ones of the highest priority, and the first stays so for good. Whatever that thread
    starts then keeps every other program, the desktop included, from the processors. The calling
    thread gets back what it had, and threads that began in the block get the same.
    """
    if sys.platform != "linux":
        yield
        return
    policy, priority, before = os.sched_getscheduler(0), os.sched_getparam(0), _threads()
    try:
        yield
    finally:
        for thread in [0, *(_threads() - before)]:
            with contextlib.suppress(OSError):  # it ended, or may not be changed
                if os.sched_getscheduler(thread) != policy:
                    os.sched_setscheduler(thread, policy, priority)


def _threads() -> set[int]:
    try:
        return {int(one.name) for one in Path("/proc/self/task").iterdir()}
    except OSError:
        return set()
