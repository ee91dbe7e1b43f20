"""How many processors this process may use."""

from __future__ import annotations

import os
from pathlib import Path

CONTAINER_LIMITS = Path("/sys/fs/cgroup/cpu.max")


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
