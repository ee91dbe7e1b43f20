"""What a process that is all ours may be told; a host's process never is."""

from __future__ import annotations

import ctypes
import os
import sys

from ..system_processors import our_processors

THREADS_VARIABLE = "OMP_NUM_THREADS"
# glibc's names for them, from malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -2, -3, -8
KEPT_BYTES = (1 << 31) - 1  # the largest value that mallopt takes
PAD_BYTES = 64 << 20


def settle() -> None:
    """Keep freed memory for the next picture, and leave other programs their processors."""
    keep_heap()
    if THREADS_VARIABLE not in os.environ:
        os.environ[THREADS_VARIABLE] = str(free_processors())


def keep_heap() -> bool:
    """Have glibc keep what is freed; False where another library manages memory.

    Networks free and take the same large blocks for every frame. Given back to the system in
    between, each comes back page by page. Exact; the process holds on to its peak.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has none
        return False
    settings = {
        M_MMAP_THRESHOLD: KEPT_BYTES,
        M_TRIM_THRESHOLD: KEPT_BYTES,
        M_TOP_PAD: PAD_BYTES,
        M_ARENA_MAX: 1,  # the others are too small for such blocks
    }
    done = [mallopt(name, value) == 1 for name, value in settings.items()]
    return all(done)  # every one is set, whatever comes of the others


def free_processors() -> int:
    """Return how many processors are ours and not busy, at least 1.

    One thread more than that makes the others wait for it in every step: two on one free
    processor take three to six times as long as one.
    """
    every, ours = os.cpu_count() or 1, our_processors()
    try:
        busy = os.getloadavg()[0]
    except (OSError, AttributeError):  # not known, as on Windows
        busy = 0.0
    return max(1, ours - round(busy * ours / every))
