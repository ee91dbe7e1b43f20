"""The machine's memory and CPUs: how much this process may use, and how busy others keep it.

psutil does not look at the limits of a container: those are read from its control groups.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import math
import os
import sys
from pathlib import Path
from typing import NamedTuple

logger = logging.getLogger("avatarvideo.host.machine")

CONTROL_GROUPS = Path("/sys/fs/cgroup")
PROC = Path("/proc")
UNKNOWN_FREE = 4 << 30  # bytes; a cautious guess where neither psutil nor the system says


class Memory(NamedTuple):
    """Bytes of the whole machine."""

    available: int
    total: int


class CPUTimes(NamedTuple):
    """Seconds of all CPUs since the machine started. busy: neither idle nor waiting for a disk."""

    busy: float
    all: float


class System:
    """What the standard library and Linux's /proc say. proc: where that lies."""

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc

    def memory(self) -> Memory:
        available = _system_bytes("SC_AVPHYS_PAGES")
        for line in _lines(self._proc / "meminfo"):
            if line.startswith("MemAvailable:"):
                available = int(line.split()[1]) * 1024
        return Memory(available or UNKNOWN_FREE, _system_bytes("SC_PHYS_PAGES"))

    def cpu_times(self) -> CPUTimes | None:
        """Return None where it is not known."""
        try:
            fields = _lines(self._proc / "stat")[0].split()
            user, nice, system, idle, waiting, irq, soft_irq, steal = map(int, fields[1:9])
        except (IndexError, ValueError):
            return None
        busy = user + nice + system + irq + soft_irq + steal
        tick = os.sysconf("SC_CLK_TCK")
        return CPUTimes(busy / tick, (busy + idle + waiting) / tick)

    def cpu_count(self) -> int:
        return os.cpu_count() or 1

    def allowed_cpu_count(self) -> int:
        """Return on how many of the CPUs this process may run."""
        if hasattr(os, "sched_getaffinity"):  # not on Windows, nor on macOS
            return len(os.sched_getaffinity(0))
        return self.cpu_count()


class PsutilSystem(System):
    """What psutil says. Raises what importing it does, and OSError where it cannot read."""

    def __init__(self) -> None:
        super().__init__()
        import psutil

        self._psutil = psutil
        psutil.virtual_memory()  # on Linux it reads /proc, which a sandbox may hide

    def memory(self) -> Memory:
        found = self._psutil.virtual_memory()
        return Memory(int(found.available), int(found.total))

    def cpu_times(self) -> CPUTimes | None:
        times = self._psutil.cpu_times()._asdict()
        # Linux counts the interrupts apart; elsewhere they are part of "system". "steal" is what
        # other virtual machines took.
        names = ("user", "nice", "system", "irq", "softirq", "steal")
        busy = sum(times.get(name, 0.0) for name in names)
        return CPUTimes(busy, busy + times["idle"] + times.get("iowait", 0.0))

    def cpu_count(self) -> int:
        return self._psutil.cpu_count() or super().cpu_count()

    def allowed_cpu_count(self) -> int:
        process = self._psutil.Process()
        if hasattr(process, "cpu_affinity"):  # not on macOS
            return len(process.cpu_affinity())
        return self.cpu_count()


@functools.cache
def this_system() -> System:
    """Return psutil's answers where it works; warn once where it does not."""
    try:
        return PsutilSystem()
    except (ImportError, OSError, AttributeError, NotImplementedError) as error:
        logger.warning(
            "Expected psutil, which tells how much memory is free, got %s: pip install psutil.",
            error,
        )
        return System()


class Machine:
    """What this process may use. system, control_groups: default to this machine's."""

    def __init__(self, system: System | None = None, control_groups: Path = CONTROL_GROUPS) -> None:
        self.system = system or this_system()
        self._control_groups = control_groups

    def available_memory(self) -> int:
        """Return the bytes of memory this process may still take, container limits respected."""
        left = _left_in_container(self._control_groups)
        return max(0, min([self.system.memory().available, *left]))

    def usable_cpus(self) -> int:
        """Return how many CPUs this process may use; container limits are respected."""
        return int(min(self.system.allowed_cpu_count(), _container_cpus(self._control_groups)))

    def free_cpus(self, busy: float | None) -> int:
        """Return how many CPUs are ours and not busy, at least 1.

        busy: how many of the machine's CPUs others use; None where that is not known. They are
            taken to be spread evenly; a container's quota is time on any of them.
        """
        every, allowed = self.system.cpu_count(), self.system.allowed_cpu_count()
        free = allowed - round((busy or 0.0) * allowed / every)
        return max(1, min(free, self.usable_cpus()))


def available_memory() -> int:
    """Return ``Machine.available_memory`` of this machine."""
    return Machine().available_memory()


def total_memory() -> int:
    """Return the bytes of memory this machine has; 0 where unknown."""
    return this_system().memory().total


def peak_memory() -> int:
    """Return the largest resident size of this process so far, bytes; 0 where unknown."""
    try:
        import resource
    except ImportError:  # Windows has no such module
        return _peak_on_windows()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # kilobytes elsewhere


def return_memory() -> None:
    """Give the system what was freed but is held back for later by the C library, as glibc does.

    Of MuseTalk's networks it held back 1.5 GB, which nobody else could use.
    """
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(ctypes.c_size_t(0))


def usable_cpus() -> int:
    """Return ``Machine.usable_cpus`` of this machine."""
    return Machine().usable_cpus()


class WorkOfOthers:
    """What other processes, and other virtual machines of the host, compute from now on.

    Unlike the system's load average it knows nothing of what ended before.
    """

    def __init__(self, machine: Machine | None = None) -> None:
        self.machine = machine or Machine()
        self._times, self._ours = self.machine.system.cpu_times(), own_seconds()

    def seconds(self) -> float | None:
        """Return their CPU seconds so far; None where the system does not say."""
        seen = self._seen()
        return None if seen is None else seen.busy

    def cpus(self) -> float | None:
        """Return how many CPUs they kept busy so far, on average; None where unknown."""
        seen = self._seen()
        if seen is None or seen.all <= 0:
            return None
        return seen.busy / seen.all * self.machine.system.cpu_count()

    def _seen(self) -> CPUTimes | None:
        now, before = self.machine.system.cpu_times(), self._times
        if now is None or before is None:
            return None
        busy = now.busy - before.busy - (own_seconds() - self._ours)
        return CPUTimes(max(0.0, busy), now.all - before.all)


def own_seconds() -> float:
    """Return the CPU seconds of this process and of its children that ended."""
    usage = os.times()
    return usage.user + usage.system + usage.children_user + usage.children_system


def _left_in_container(folder: Path) -> list[int]:
    """Return what the control groups leave, bytes; nothing where they set no limit."""
    left: list[int] = []
    for limit, used, statistics, reclaimable in (
        ("memory.max", "memory.current", "memory.stat", "inactive_file"),
        (
            "memory/memory.limit_in_bytes",
            "memory/memory.usage_in_bytes",
            "memory/memory.stat",
            "total_inactive_file",
        ),
    ):
        bounds = [*_lines(folder / limit), *_lines(folder / used)]
        if len(bounds) == 2 and all(text.isdigit() for text in bounds):
            # Files that were read count as used, such as the weights, but give way when asked.
            counts = dict(line.split(maxsplit=1) for line in _lines(folder / statistics))
            left.append(int(bounds[0]) - int(bounds[1]) + int(counts.get(reclaimable, 0)))
    return left


def _container_cpus(folder: Path) -> float:
    try:
        quota, period = " ".join(_lines(folder / "cpu.max")).split()
    except ValueError:
        return math.inf
    return math.inf if quota == "max" else max(1, int(quota) // int(period))


def _peak_on_windows() -> int:
    try:
        import psutil
    except ImportError:
        return 0
    return int(getattr(psutil.Process().memory_info(), "peak_wset", 0))


def _system_bytes(pages: str) -> int:
    """Return the bytes of a number of pages that the system names; 0 where it does not."""
    if not hasattr(os, "sysconf") or pages not in os.sysconf_names:
        return 0
    return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().split("\n")[:-1]
    except OSError:
        return []
