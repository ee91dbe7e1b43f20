"""What a process that is all ours may be told; a host's process never is."""

from __future__ import annotations

import atexit
import codecs
import contextlib
import ctypes
import io
import logging
import os
import signal
import sys

from ..host.machine import WorkOfOthers

log = logging.getLogger("avatarvideo.cli.own_process")

THREADS_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
# glibc's names for them, from malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -2, -3, -8
KEPT_BYTES = (1 << 31) - 1  # the largest value that mallopt takes
PAD_BYTES = 64 << 20


class Ending:
    """Ends the process without taking libraries apart, once all that was to happen at its end has.

    Python would free every object of PyTorch's first, which takes about a second.
    """

    def __init__(self) -> None:
        self.code: int | None = None  # None: an error that nobody caught takes the usual way

    def __call__(self) -> None:
        if self.code is not None:
            end_streams()
            os._exit(self.code)


ENDING = Ending()


def settle() -> WorkOfOthers:
    """Keep freed memory for the next picture; return a gauge for ``leave_busy_cpus``."""
    open_streams()
    keep_heap()
    atexit.register(ENDING)  # the first one is called last
    return WorkOfOthers()


def open_streams() -> None:
    """Stand in for streams that were closed: the next file opened would get what is said there."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison]  # as Python has it then
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - for the rest of the process
    if sys.stderr is None:  # pyright: ignore[reportUnnecessaryComparison]  # the same
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            # A name of any bytes is told as these, or somehow: the work is done by then.
            is_utf8 = codecs.lookup(stream.encoding).name == "utf-8"
            stream.reconfigure(errors="surrogateescape" if is_utf8 else "backslashreplace")


def end_streams() -> None:
    """Let nothing be left to say at the end, when nobody could hear that it failed."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def end_by_signal() -> None:
    """Let Ctrl-C end the process without a word while libraries clean up after its work."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else a shell ignores it
        signal.signal(signal.SIGINT, signal.SIG_DFL)


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


def leave_busy_cpus(others: WorkOfOthers | None) -> None:
    """Let PyTorch compute with as many threads as CPUs are free, unless the environment says.

    One thread more makes the others wait for it in every step: two on one free CPU take three to
    six times as long as one. Others are expected to go on as while PyTorch was imported, which
    takes seconds. others: None leaves a process alone that is not ours.
    """
    if others is None or any(os.environ.get(name) for name in THREADS_VARIABLES):
        return
    import torch

    busy = others.cpus()
    threads = others.machine.free_cpus(busy)
    # PyTorch takes a thread for each core, which are fewer where a core counts as two CPUs.
    if threads < torch.get_num_threads():
        log.info(
            "other programs keep %.1f CPUs busy: computing with %d threads", busy or 0, threads
        )
        torch.set_num_threads(threads)
