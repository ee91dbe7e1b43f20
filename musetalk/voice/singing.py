"""Whether somebody sings: then the network often half hears a voice, and is hardly ever sure.

Over busy music it hears less than that, until the voice is brought out of it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .levels import levels, peak_level
from .melody import clear_tones

# Of a recording's loud windows. In speech, also under loud music, nine of ten that hold a trace of
# a voice are sure, in whispers six, in laughter and singing over music fewer. Music has no trace.
LOUD_DB = 20.0  # below the peak at most
SURE, HALF_SURE, TRACE = 0.9, 0.5, 0.1
LEAST_TRACES, LEAST_HALF_SURE = 0.05, 0.002
MOST_SURE, MOST_SURE_IN_SILENCE, LEAST_SURE_SAID = 0.35, 0.7, 0.85  # of the traces
SILENT_DB, SILENT_SHARE = 45.0, 0.05  # so much of it so far below the peak: no music goes on
# Of what is brought out of the music, a fifth is faintly a voice and a tenth holds a trace, or a
# little less and some of it is likely, where one sings 6 dB over it; music alone is so at times.
FAINT, LIKELY, FEW, LEAST_FAINT, MOST_SURE_HIDDEN = 0.03, 0.3, 0.005, 0.18, 0.03
LEAST_HIDDEN, LEAST_IF_LIKELY, LEAST_LIKELY = 0.1, 0.07, 0.01
LEAST_FAINT_IF_CLEAR = 0.2  # without such a trace, where a tone is mostly clear


def is_sung(heard: np.ndarray, level: np.ndarray) -> bool:
    """Say so by how likely the network hears speech and dBFS, both (K,), for every 10 ms.

    Also of whispers and laughter amid silence: of these it is not sure either.
    """
    loud = _loud(heard, level)
    sure, half_sure, traces = (_share(loud, each) for each in (SURE, HALF_SURE, TRACE))
    silent = float((level < peak_level(level) - SILENT_DB).mean())
    most_sure = MOST_SURE_IN_SILENCE if silent >= SILENT_SHARE else MOST_SURE
    return traces >= LEAST_TRACES and half_sure >= LEAST_HALF_SURE and sure < most_sure * traces


def is_said(heard: np.ndarray, level: np.ndarray) -> bool:
    """Say whether the network is as sure as of speech, whose words do not fade as notes do."""
    loud = _loud(heard, level)
    return _share(loud, SURE) >= LEAST_SURE_SAID * _share(loud, TRACE)


def may_be_hidden(heard: np.ndarray, level: np.ndarray) -> bool:
    """Say whether the network hears a shadow of a voice somewhere and is hardly ever sure."""
    loud = _loud(heard, level)
    return bool(loud.size) and _share(loud, FAINT) >= FEW and _share(loud, SURE) < MOST_SURE_HIDDEN


def is_hidden(parts: Iterable[tuple[np.ndarray, np.ndarray]]) -> bool:
    """Say whether a voice was hidden, by what the network hears in what was brought out.

    Music alone may leave as many traces, but hardly a clear tone; of a melody without consonants
    the network hears little, and there the tone says so by itself.

    parts: how likely, float32 (K,), for every 10 ms, and that sound, float32 (N,), 16 kHz.
    """
    heard, sounds = zip(*parts, strict=True)
    loudness = [levels(sound) for sound in sounds]
    at_times, mostly, melody = clear_tones(sounds, loudness)
    loud = np.concatenate([_loud(*each) for each in zip(heard, loudness, strict=True)])
    faint, traces, likely = (_share(loud, each) for each in (FAINT, TRACE, LIKELY))
    least = LEAST_IF_LIKELY if likely >= LEAST_LIKELY else LEAST_HIDDEN
    if faint >= LEAST_FAINT and traces >= least:
        return at_times
    return melody or (mostly and faint >= LEAST_FAINT_IF_CLEAR)


def _loud(heard: np.ndarray, level: np.ndarray) -> np.ndarray:
    return heard[level > peak_level(level) - LOUD_DB]


def _share(heard: np.ndarray, least: float) -> float:
    return float((heard >= least).mean()) if heard.size else 0.0
