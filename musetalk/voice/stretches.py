"""Runs of True in flags, one for every 10 ms or so."""

from __future__ import annotations

import numpy as np


def stretches(flags: np.ndarray) -> list[tuple[int, int]]:
    """Return the runs of True, ends exclusive."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(first), int(end)) for first, end in edges.reshape(-1, 2)]


def joined(flags: np.ndarray, shortest: int) -> np.ndarray:
    """Return the flags with every gap between two runs filled that is shorter than that."""
    filled = flags.copy()
    for first, end in stretches(~flags):
        if first > 0 and end < len(flags) and end - first < shortest:
            filled[first:end] = True
    return filled
