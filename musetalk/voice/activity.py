"""Where somebody speaks: Silero's network where it is installed, else by loudness alone.

The network tells voices from music and noise, 32 ms at a time; the loudness says within them where
a word begins and ends, and carries on through what sounds less like speech, such as laughter. Music
under the speech is told by its level too: there the network has to be surer. Singing it hardly
hears: there all that is loud is a voice.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from ..networks.silero_vad import CHUNK, CONTEXT, SileroVAD, State
from .alone import is_voice
from .levels import HOP, PADDING_DB, WINDOWS_PER_SECOND, levels, peak_level, spoken_by_level
from .singing import is_sung
from .stretches import joined, stretches

CHUNKS = 64  # heard at a time: 2 s, so that memory does not follow the length
BYTES_A_CHUNK = 4 * (576 + 640 + 4 * 258 + 3 * 4 * 129 + 8 * 128)  # alive at once, with slack
SURE, LIKELY = 0.5, 0.3  # a stretch of likely chunks is speech where one of them is sure
# Far below the speech and near what sounds between the words, it may be music: how sure, then.
SOFT_DB, NEAR_NOISE_DB, SURE_IF_SOFT, LIKELY_IF_SOFT = 22.0, 6.0, 0.9, 0.8
CLEAR = 0.9  # so sure, it is no pause however quiet
SHORTEST_PAUSE = 0.24  # seconds; less is the closure of a consonant
_PAUSE = round(SHORTEST_PAUSE * WINDOWS_PER_SECOND)
REACH = 0.3  # seconds beyond what the network hears, where it stays loud
BREAK = 0.06  # seconds that may be quiet there
OVER_NOISE_DB = 3.0
BEYOND_DB = 3.0  # more than that, where the network hears nothing
# How far below its peak a stretch can be quiet: in silence, amid noise, and the latter beyond
# what the network hears.
MOST_BELOW_DB, LEAST_BELOW_DB, LEAST_BEYOND_DB = 40.0, 20.0, 24.0
STRETCH_PERCENT, NOISE_PERCENT = 90, 95


@dataclass(frozen=True, eq=False)
class Activity:
    """spoken: bool (K,), for every 10 ms. detector: what heard it, for the report."""

    spoken: np.ndarray
    detector: str


def activity_by_level(speech: np.ndarray) -> Activity:
    """Take everything for speech that is loud; music too."""
    return Activity(joined(spoken_by_level(levels(speech)), _PAUSE), "loudness")


def activity_by_network(
    network: SileroVAD,
    speech: np.ndarray,
    *,
    chunks: int = CHUNKS,
    check: Callable[[], None] = lambda: None,
) -> Activity:
    """Listen to mono speech, float32 (N,), 16 kHz. check: called before every ``chunks``."""
    level = levels(speech)
    sounds = stretches(joined(spoken_by_level(level), _PAUSE))
    centers = (np.arange(len(level)) * HOP + HOP // 2).clip(0, speech.size - 1) // CHUNK
    begins = {first * HOP // CHUNK for first, _ in sounds}
    heard, afresh = (
        np.concatenate(list(_heard(network, speech, each, chunks, check)))[centers]
        for each in ((), begins)
    )
    noise = _noise(level, joined(heard >= LIKELY, _PAUSE))
    may_be_music = peak_level(level) - SOFT_DB
    alone = np.zeros(len(level), bool)
    for first, end in sounds:
        peak = float(level[first:end].max())
        if peak > may_be_music and is_voice(first, end, level, np.maximum(heard, afresh), speech):
            alone[first:end] = level[first:end] > _beyond(noise, peak)
    soft = level <= min(may_be_music, noise + NEAR_NOISE_DB)
    likely = (heard >= np.where(soft, LIKELY_IF_SOFT, LIKELY)) | alone
    sure = (heard >= np.where(soft, SURE_IF_SOFT, SURE)) | alone
    together = joined(likely, _PAUSE)
    noise = _noise(level, together)
    spoken = np.zeros(len(level), bool)
    for first, end in stretches(together):
        if sure[first:end].any():
            _add(spoken, first, end, level, heard, noise)
    if is_sung(heard, level):
        spoken |= spoken_by_level(level)
        return Activity(joined(spoken, _PAUSE), "silero-vad, for singing loudness")
    return Activity(joined(spoken, _PAUSE), "silero-vad")


def _heard(
    network: SileroVAD,
    speech: np.ndarray,
    begins: Collection[int],
    chunks: int,
    check: Callable[[], None],
) -> Iterator[np.ndarray]:
    """Yield how likely each 32 ms hold speech, float32 (n,); begins: chunks that begin afresh.

    What the network remembers of one sound makes it deaf to laughter after other laughter.
    """
    state: State | None = None
    count = max(1, -(-speech.size // CHUNK))
    for first, last in pairwise(sorted({*range(0, count, chunks), *begins, count})):
        check()
        start, stop = first * CHUNK - CONTEXT, last * CHUNK
        part = np.pad(speech[max(start, 0) : stop], (max(-start, 0), 0))
        part = np.pad(part, (0, stop - start - part.size)).astype(np.float32)
        with torch.inference_mode():
            likelihood, state = network(torch.as_tensor(part), None if first in begins else state)
        yield likelihood.numpy()


def _noise(level: np.ndarray, spoken: np.ndarray) -> float:
    """Return the level, dBFS, over which something is more than the sound between the words."""
    reach = round(REACH * WINDOWS_PER_SECOND)
    near = np.convolve(spoken, np.ones(2 * reach + 1))[reach : reach + spoken.size] > 0.5
    audible = level > peak_level(level) - PADDING_DB
    between = level[audible & ~near]
    if between.size >= reach:
        return float(np.percentile(between, NOISE_PERCENT)) + OVER_NOISE_DB
    return float(np.percentile(level[audible], 10)) + OVER_NOISE_DB if audible.any() else 0.0


def _quiet(noise: float, peak: float) -> float:
    """Return the level, dBFS, up to which it is quiet where the network hears speech."""
    return min(max(noise, peak - MOST_BELOW_DB), peak - LEAST_BELOW_DB)


def _beyond(noise: float, peak: float) -> float:
    """Return the level, dBFS, up to which it is quiet where the network hears none."""
    over = min(max(noise + BEYOND_DB, peak - MOST_BELOW_DB), peak - LEAST_BEYOND_DB)
    return max(over, _quiet(noise, peak))


def _add(
    spoken: np.ndarray, first: int, end: int, level: np.ndarray, heard: np.ndarray, noise: float
) -> None:
    """Set what is spoken of a stretch: neither its quiet ends nor its pauses.

    Where it is loud at an end, the loud sound beyond is speech too.
    """
    peak = float(np.percentile(level[first:end], STRETCH_PERCENT))
    loud = level > _quiet(noise, peak)
    inside = first + np.flatnonzero(loud[first:end])
    if not inside.size:
        spoken[first:end] = True
        return
    before, after = int(inside[0]), int(inside[-1]) + 1
    middle = slice(before, after)
    spoken[middle] |= joined(loud[middle] | (heard[middle] >= CLEAR), _PAUSE)
    goes_on = level > _beyond(noise, peak)
    if before == first:
        spoken[first - _goes_on(goes_on[:first][::-1]) : first] = True
    if after == end:
        spoken[end : end + _goes_on(goes_on[end:])] = True


def _goes_on(loud: np.ndarray) -> int:
    """Return for how many windows, at most REACH, it stays loud from here on but for breaks."""
    near = loud[: round(REACH * WINDOWS_PER_SECOND)]
    places = np.flatnonzero(near)
    gaps = np.diff(places, prepend=-1) > round(BREAK * WINDOWS_PER_SECOND)
    kept = places[: int(gaps.argmax())] if gaps.any() else places
    return int(kept[-1]) + 1 if kept.size else 0
