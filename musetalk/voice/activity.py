"""Where somebody speaks: Silero's network where it is installed, else by loudness alone.

The network tells voices from music and noise, 32 ms at a time; the loudness says within them where
a word begins and ends, and carries on through what sounds less like speech, such as laughter. Music
under the speech is told by its level too: there the network has to be surer, and where it is as
loud as soft speech the network alone says where a word ends. Singing it hardly hears, over busy
music only once the voice is brought out of it: there all that is loud is a voice.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch

from ..networks.silero_vad import CHUNK, CONTEXT, SileroVAD, State
from .alone import is_voice
from .ends import NEAR, goes_on, with_ends
from .foreground import foreground, pieces
from .levels import HOP, PADDING_DB, WINDOWS_PER_SECOND, levels, peak_level, spoken_by_level
from .singing import TRACE, is_hidden, is_said, is_sung, may_be_hidden
from .stretches import joined, stretches

CHUNKS = 64  # heard at a time: 2 s, so that memory does not follow the length
BYTES_A_CHUNK = 4 * (576 + 640 + 4 * 258 + 3 * 4 * 129 + 8 * 128)  # alive at once, with slack
SURE, LIKELY = 0.5, 0.3  # a stretch of likely chunks is speech where one of them is sure
# Far below the speech and near what sounds between the words, it may be music: how sure, then.
SOFT_DB, NEAR_NOISE_DB, SURE_IF_SOFT, LIKELY_IF_SOFT = 22.0, 6.0, 0.9, 0.8
CLEAR = 0.9  # so sure, it is no pause however quiet
SHORTEST_PAUSE = 0.24  # seconds; less is the closure of a consonant
_PAUSE = round(SHORTEST_PAUSE * WINDOWS_PER_SECOND)
OVER_NOISE_DB = 3.0
BURST_DB = 3.0  # over what is quiet, to count behind a break at the end of a stretch
BEYOND_DB = 3.0  # more than that, where the network hears nothing
# How far below its peak a stretch can be quiet: in silence, amid noise, and the latter beyond
# what the network hears.
MOST_BELOW_DB, LEAST_BELOW_DB, LEAST_BEYOND_DB = 40.0, 20.0, 24.0
LEAST_BELOW_IF_SOFT_DB = 10.0  # where the noise is far below the recording's peak and so is noise
MOST_BELOW_ALONE_DB = 30.0  # in a short sound, which may hold music too
STRETCH_PERCENT, NOISE_PERCENT, USUAL_PERCENT = 90, 95, 50
# Amid loud music the level tells no end: the network is that late at a word's beginning, and at an
# end it lags behind by more, but for notes that fade.
LATE = 6  # windows
SHORTEST_SUNG_PAUSE = 0.4  # seconds; music rises and falls within less
_SUNG_PAUSE = round(SHORTEST_SUNG_PAUSE * WINDOWS_PER_SECOND)
SOFTEST_SUNG_DB = 25.0  # below the peak, where the network has a trace
ANY_DB = 0.0  # by loudness alone, a pause is whatever is softer than the speech
SUNG = "silero-vad, for singing loudness"


@dataclass(frozen=True, eq=False)
class Activity:
    """spoken: bool (K,), for every 10 ms. detector: what heard it, for the report."""

    spoken: np.ndarray
    detector: str


class Between(NamedTuple):
    """What sounds between the words.

    noise: dBFS that little of it exceeds. usual: dBFS that half of it exceeds. least: dB below a
    stretch's peak that are quiet. late: for how many windows speech goes on before and beyond a
    stretch, amid loud music.
    """

    noise: float
    usual: float
    least: float
    late: tuple[int, int]


def activity_by_level(speech: np.ndarray) -> Activity:
    """Take everything for speech that is loud; music too."""
    return Activity(_by_level(levels(speech)), "loudness")


def _by_level(level: np.ndarray) -> np.ndarray:
    spoken = joined(spoken_by_level(level), _PAUSE)
    return joined(with_ends(spoken, level, silent_db=ANY_DB), _PAUSE)


def activity_by_network(
    network: SileroVAD,
    speech: np.ndarray,
    *,
    chunks: int = CHUNKS,
    check: Callable[[], None] = lambda: None,
    has_room: Callable[[], bool] = lambda: True,
) -> Activity:
    """Listen to mono speech, float32 (N,), 16 kHz. check: called before every ``chunks``.

    has_room: asked before a voice is brought out of music, which needs FOREGROUND_BYTES.
    """
    level = levels(speech)
    sounds = stretches(joined(spoken_by_level(level), _PAUSE))
    centers = _centers(speech.size)
    begins = {first * HOP // CHUNK for first, _ in sounds}
    heard, afresh = (_heard(network, speech, each, chunks, check)[centers] for each in ((), begins))
    noise = _noise(level, joined(heard >= LIKELY, _PAUSE))[0]
    may_be_music = peak_level(level) - SOFT_DB
    loud = [each for each in sounds if level[slice(*each)].max() > may_be_music]
    alone = _alone(loud, level, np.maximum(heard, afresh), speech, noise)
    soft = level <= min(may_be_music, noise + NEAR_NOISE_DB)
    likely = np.where(soft, heard >= LIKELY_IF_SOFT, heard >= LIKELY) | alone
    sure = np.where(soft, heard >= SURE_IF_SOFT, heard >= SURE) | alone
    together = joined(likely, _PAUSE)
    noise, usual = _noise(level, together)
    least = LEAST_BELOW_IF_SOFT_DB if noise < may_be_music else LEAST_BELOW_DB
    between = Between(noise, usual, least, (LATE, 0 if is_said(heard, level) else LATE))
    spoken = np.zeros(len(level), bool)
    for first, end in stretches(together):
        if sure[first:end].any():
            _add(spoken, first, end, level, heard, between)
    if is_sung(heard, level) or (
        may_be_hidden(heard, level)
        and has_room()
        and is_hidden(_brought_out(network, speech, chunks, check))
    ):
        traces = (heard >= TRACE) & (level > peak_level(level) - SOFTEST_SUNG_DB)
        return Activity(joined(spoken | _by_level(level) | traces, _SUNG_PAUSE), SUNG)
    return Activity(joined(with_ends(joined(spoken, _PAUSE), level), _PAUSE), "silero-vad")


def _heard(
    network: SileroVAD,
    speech: np.ndarray,
    begins: Collection[int],
    chunks: int,
    check: Callable[[], None],
) -> np.ndarray:
    """Return how likely each 32 ms hold speech, float32; begins: chunks that begin afresh.

    What the network remembers of one sound makes it deaf to laughter after other laughter.
    """
    count = max(1, -(-speech.size // CHUNK))
    found = np.empty(count, np.float32)  # kept apart from what is computed: the heap stays whole
    for begin, end in pairwise(sorted({0, *begins, count})):
        state: State | None = None
        for first in range(begin, end, chunks):
            check()
            here = min(chunks, end - first)
            # torch keeps what it compiled for each length, so there are few: powers of two.
            padded = min(chunks, 1 << (here - 1).bit_length())
            start, stop = first * CHUNK - CONTEXT, (first + here) * CHUNK
            part = np.zeros(CONTEXT + padded * CHUNK, np.float32)
            known = speech[max(start, 0) : stop]
            part[max(-start, 0) :][: known.size] = known
            with torch.inference_mode():
                likelihood, state = network(torch.as_tensor(part), state)
            found[first : first + here] = likelihood[:here].numpy()
    return found


def _alone(
    sounds: Iterable[tuple[int, int]],
    level: np.ndarray,
    heard: np.ndarray,
    speech: np.ndarray,
    noise: float,
) -> np.ndarray:
    """Return bool (K,): the loud parts of those sounds that stand alone and may be a voice."""
    alone = np.zeros(len(level), bool)
    for first, end in sounds:
        peak = float(level[first:end].max())
        if is_voice(first, end, level, heard, speech):
            quiet = _quiet(noise, peak, LEAST_BELOW_DB)
            least = max(_beyond(noise, peak, quiet), peak - MOST_BELOW_ALONE_DB)
            alone[first:end] = level[first:end] > least
    return alone


def _brought_out(
    network: SileroVAD, speech: np.ndarray, chunks: int, check: Callable[[], None]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield how likely pieces hold speech without their music, for every 10 ms, and these."""
    for piece in pieces(speech):
        check()
        sound = foreground(piece)
        heard = _heard(network, sound, (), chunks, check)
        yield heard[_centers(sound.size)], sound


def _centers(samples: int) -> np.ndarray:
    """Return the chunk that holds the middle of every window, int (K,)."""
    count = max(1, -(-samples // HOP))
    middles = np.arange(count, dtype=np.int32) * HOP + HOP // 2  # 2 ** 31 samples are 37 hours
    return np.minimum(middles, max(samples - 1, 0), out=middles) // CHUNK


def _noise(level: np.ndarray, spoken: np.ndarray) -> tuple[float, float]:
    """Return the levels, dBFS, that little and half of the sound between the words exceeds.

    Where hardly anything lies between them, the second is as low as can be.
    """
    near = np.convolve(spoken, np.ones(2 * NEAR + 1))[NEAR : NEAR + spoken.size] > 0.5
    audible = level > peak_level(level) - PADDING_DB
    between = level[audible & ~near]
    if between.size >= NEAR:
        noise, usual = np.percentile(between, [NOISE_PERCENT, USUAL_PERCENT]).tolist()
        return noise + OVER_NOISE_DB, usual
    floor = float(np.percentile(level[audible], 10)) + OVER_NOISE_DB if audible.any() else 0.0
    return floor, -np.inf


def _quiet(noise: float, peak: float, least: float) -> float:
    """Return the level, dBFS, up to which it is quiet where the network hears speech."""
    return min(max(noise, peak - MOST_BELOW_DB), peak - least)


def _beyond(noise: float, peak: float, quiet: float) -> float:
    """Return the level, dBFS, up to which it is quiet where the network hears none."""
    over = min(max(noise + BEYOND_DB, peak - MOST_BELOW_DB), peak - LEAST_BEYOND_DB)
    return max(over, quiet)


def _add(
    spoken: np.ndarray,
    first: int,
    end: int,
    level: np.ndarray,
    heard: np.ndarray,
    between: Between,
) -> None:
    """Set what is spoken of a stretch: neither its quiet ends nor its pauses.

    Where it is loud at an end, the loud sound beyond is speech too.
    """
    inner = level[first:end]  # of hours there are thousands: never look at the whole for one
    peak = float(np.percentile(inner, STRETCH_PERCENT))
    quiet = _quiet(between.noise, peak, between.least)
    loud, clear = inner > quiet, inner > quiet + BURST_DB
    inside = np.flatnonzero(clear if clear.any() else loud)
    if not inside.size:
        spoken[first:end] = True
        return
    before = int(inside[0]) - goes_on(loud[: inside[0]][::-1])
    after = int(inside[-1]) + 1 + goes_on(loud[inside[-1] + 1 :])
    middle = slice(first + before, first + after)
    spoken[middle] |= joined(loud[before:after] | (heard[middle] >= CLEAR), _PAUSE)
    beyond = _beyond(between.noise, peak, quiet)
    reach = (NEAR, NEAR) if between.usual < beyond else between.late
    if before == 0:
        near = level[max(first - reach[0], 0) : first]
        spoken[first - goes_on(near[::-1] > beyond) : first] = True
    if after == inner.size:
        spoken[end : end + goes_on(level[end : end + reach[1]] > beyond)] = True
