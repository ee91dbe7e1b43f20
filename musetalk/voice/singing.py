"""Whether somebody sings: then the network often half hears a voice, and is hardly ever sure."""

from __future__ import annotations

import numpy as np

from .levels import peak_level

# Of a recording's loud windows. In speech, also under loud music, nine of ten that hold a trace of
# a voice are sure, in whispers and laughter three, in singing less than one. Music has no trace.
LOUD_DB = 20.0  # below the peak at most
SURE, HALF_SURE, TRACE = 0.9, 0.5, 0.1
LEAST_TRACES, LEAST_HALF_SURE, MOST_SURE = 0.05, 0.002, 0.15  # the last one: of the traces


def is_sung(heard: np.ndarray, level: np.ndarray) -> bool:
    """Say so by how likely the network hears speech and dBFS, both (K,), for every 10 ms."""
    loud = heard[level > peak_level(level) - LOUD_DB]
    if not loud.size:
        return False
    sure, half_sure, traces = (float((loud >= each).mean()) for each in (SURE, HALF_SURE, TRACE))
    return traces >= LEAST_TRACES and half_sure >= LEAST_HALF_SURE and sure < MOST_SURE * traces
