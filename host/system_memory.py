"""How much of this machine's memory the process may still take, and how much it took."""

from __future__ import annotations

import os
import sys
from pathlib import Path

CONTROL_GROUPS = Path("/sys/fs/cgroup")
UNKNOWN_FREE = 4 << 30  # bytes; a cautious guess where the system does not say


def available_memory() -> int:
    """Return the bytes of memory this process may still take, container limits respected."""
    free = []
    for line in _lines(Path("/proc/meminfo")):
        if line.startswith("MemAvailable:"):
            free.append(int(line.split()[1]) * 1024)
    free += _left_in_container(CONTROL_GROUPS)
    if free:
        return max(0, min(free))
    if hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return UNKNOWN_FREE


def _left_in_container(folder: Path) -> list[int]:
    """Return what the control groups leave, bytes; nothing where they set no limit."""
    left = []
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
            cached = [
                line.split()[1]
                for line in _lines(folder / statistics)
                if line.startswith(f"{reclaimable} ")
            ]
            left.append(int(bounds[0]) - int(bounds[1]) + sum(map(int, cached)))
    return left


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().split("\n")[:-1]
    except OSError:
        return []


def total_memory() -> int:
    """Return the bytes of memory this machine has; 0 where unknown."""
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 0


def peak_memory() -> int:
    """Return the largest resident size of this process so far, bytes; 0 where unknown."""
    try:
        import resource
    except ImportError:  # Windows has no such module
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # kilobytes elsewhere
