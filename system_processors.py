"""How many processors this process may use, and how many of them others keep busy."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

CONTAINER_LIMITS = Path("/sys/fs/cgroup/cpu.max")
STATISTICS = Path("/proc/stat")


def our_processors() -> int:
    """Return how many processors this process may use; container limits are respected."""
    ours = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # not on Windows, nor on macOS
        ours = len(os.sched_getaffinity(0))
    return min(ours, _container_processors(CONTAINER_LIMITS, ours))


def _container_processors(limits: Path, unlimited: int) -> int:
    try:
        quota, period = limits.read_text().split()
    except (OSError, ValueError):
        return unlimited
    return unlimited if quota == "max" else max(1, int(quota) // int(period))


class WorkOfOthers:
    """What other processes, and other virtual machines of the host, compute from now on.

    Unlike the system's load average it knows nothing of what ended before.
    """

    def __init__(self) -> None:
        self._machine, self._ours = _machine_seconds(), own_seconds()

    def seconds(self) -> float | None:
        """Return their processor seconds so far; None where the system does not say."""
        now = _machine_seconds()
        if now is None or self._machine is None:
            return None
        return max(0.0, now.busy - self._machine.busy - (own_seconds() - self._ours))

    def processors(self) -> float | None:
        """Return how many processors they kept busy so far, on average; None where unknown."""
        seconds, now = self.seconds(), _machine_seconds()
        if seconds is None or now is None or self._machine is None or now.all <= self._machine.all:
            return None
        return seconds / (now.all - self._machine.all) * (os.cpu_count() or 1)


def own_seconds() -> float:
    """Return the processor seconds of this process and of its children that ended."""
    usage = os.times()
    return usage.user + usage.system + usage.children_user + usage.children_system


class _Seconds(NamedTuple):
    """Of all processors since the machine's start. busy: not idle and not waiting for a disk."""

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
