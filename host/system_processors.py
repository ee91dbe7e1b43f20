"""How many processors this process may use, and how many of them others keep busy."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import NamedTuple

CONTAINER_LIMITS = Path("/sys/fs/cgroup/cpu.max")
STATISTICS = Path("/proc/stat")


def our_processors() -> int:
    """Return how many processors this process may use; container limits are respected."""
    return int(min(allowed_processors(), _container_processors(CONTAINER_LIMITS)))


def free_processors(busy: float | None) -> int:
    """Return how many processors are ours and not busy, at least 1.

    busy: how many of the machine's processors others use; None where that is not known. They are
        taken to be spread evenly; a container's quota is time on any of them.
    """
    every, allowed = os.cpu_count() or 1, allowed_processors()
    free = allowed - round((busy or 0.0) * allowed / every)
    return max(1, min(free, our_processors()))


def allowed_processors() -> int:
    """Return on how many processors the system lets this process run."""
    if hasattr(os, "sched_getaffinity"):  # not on Windows, nor on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _container_processors(limits: Path) -> float:
    try:
        quota, period = limits.read_text().split()
    except (OSError, ValueError):
        return math.inf
    return math.inf if quota == "max" else max(1, int(quota) // int(period))


class WorkOfOthers:
    """What other processes, and other virtual machines of the host, compute from now on.

    Unlike the system's load average it knows nothing of what ended before.
    """

    def __init__(self) -> None:
        self._machine, self._ours = _machine_seconds(), own_seconds()

    def seconds(self) -> float | None:
        """Return their processor seconds so far; None where the system does not say."""
        seen = self._seen()
        return None if seen is None else seen.busy

    def processors(self) -> float | None:
        """Return how many processors they kept busy so far, on average; None where unknown."""
        seen = self._seen()
        if seen is None or seen.all <= 0:
            return None
        return seen.busy / seen.all * (os.cpu_count() or 1)

    def _seen(self) -> _Seconds | None:
        now, before = _machine_seconds(), self._machine
        if now is None or before is None:
            return None
        busy = now.busy - before.busy - (own_seconds() - self._ours)
        return _Seconds(max(0.0, busy), now.all - before.all)


def own_seconds() -> float:
    """Return the processor seconds of this process and of its children that ended."""
    usage = os.times()
    return usage.user + usage.system + usage.children_user + usage.children_system


class _Seconds(NamedTuple):
    """Of all processors. busy: not idle and not waiting for a disk."""

    busy: float
    all: float


def _machine_seconds() -> _Seconds | None:
    try:  # Linux only
        fields = STATISTICS.read_text().splitlines()[0].split()
        user, nice, system, idle, waiting, irq, soft_irq, steal = map(int, fields[1:9])
    except (OSError, IndexError, ValueError):
        return None
    # "steal" is what other virtual machines took.
    busy = user + nice + system + irq + soft_irq + steal
    tick = os.sysconf("SC_CLK_TCK")
    return _Seconds(busy / tick, (busy + idle + waiting) / tick)
