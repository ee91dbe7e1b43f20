"""Where somebody speaks: Silero's network where it is installed, else by loudness alone.

The network tells voices from music and noise, 32 ms at a time; the loudness says within them where
a word begins and ends, and carries on through what sounds less like speech, such as laughter.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from ..networks.silero_vad import CHUNK, CONTEXT, SileroVAD, State
from .levels import (
    HOP,
    PADDING_DB,
    SAMPLE_RATE,
    WINDOWS_PER_SECOND,
    levels,
    peak_level,
    spoken_by_level,
)

CHUNKS = 64  # heard at a time: 2 s, so that memory does not follow the length
BYTES_A_CHUNK = 4 * (576 + 640 + 4 * 258 + 3 * 4 * 129 + 8 * 128)  # alive at once, with slack
SURE, LIKELY = 0.5, 0.3  # a stretch of likely chunks is speech where one of them is sure
# The network knows little of laughter: a loud sound no longer than that, between pauses, is a voice
# where it has a pitch and one chunk says so much. Music goes on for longer.
ALONE, ALONE_SECONDS = 0.03, 4
PITCHED, PITCHED_SHARE, PITCHED_WINDOW = 0.35, 0.15, 640  # likeness, of the windows; samples
SHORTEST_PAUSE = 0.24  # seconds; less is the closure of a consonant
REACH = 0.3  # seconds beyond what the network hears, where it stays loud
BREAK = 0.06  # seconds that may be quiet there
OVER_NOISE_DB = 3.0
MOST_BELOW_DB, LEAST_BELOW_DB = 40.0, 20.0  # a stretch's own peak: how quiet its ends can be
SOFT_DB, SURE_IF_SOFT = 22.0, 0.7  # so far below the rest it is music, unless likely throughout
STRETCH_PERCENT, NOISE_PERCENT = 90, 95


@dataclass(frozen=True, eq=False)
class Activity:
    """spoken: bool (K,), for every 10 ms. detector: what heard it, for the report."""

    spoken: np.ndarray
    detector: str


def activity_by_level(speech: np.ndarray) -> Activity:
    """Take everything for speech that is loud; music too."""
    spoken = _joined(spoken_by_level(levels(speech)), round(SHORTEST_PAUSE * WINDOWS_PER_SECOND))
    return Activity(spoken, "loudness")


def activity_by_network(
    network: SileroVAD,
    speech: np.ndarray,
    *,
    chunks: int = CHUNKS,
    check: Callable[[], None] = lambda: None,
) -> Activity:
    """Listen to mono speech, float32 (N,), 16 kHz. check: called before every ``chunks``."""
    level = levels(speech)
    shortest = round(SHORTEST_PAUSE * WINDOWS_PER_SECOND)
    sounds = _joined(spoken_by_level(level), shortest)
    centers = (np.arange(len(level)) * HOP + HOP // 2).clip(0, speech.size - 1) // CHUNK
    begins = {first * HOP // CHUNK for first, _ in _stretches(sounds)}
    heard, afresh = (
        np.concatenate(list(_heard(network, speech, each, chunks, check)))[centers]
        for each in ((), begins)
    )
    alone = _alone(sounds, level, np.maximum(heard, afresh), speech)
    likely, sure = (heard >= LIKELY) | alone, (heard >= SURE) | alone
    joined = _joined(likely, shortest)
    noise, loudest = _noise(level, joined), peak_level(level)
    spoken = np.zeros(len(level), bool)
    for first, end in _stretches(joined):
        peak = float(np.percentile(level[first:end], STRETCH_PERCENT))
        soft = peak < loudest - SOFT_DB and heard[first:end].mean() < SURE_IF_SOFT
        if sure[first:end].any() and not soft:
            quiet = min(max(noise, peak - MOST_BELOW_DB), peak - LEAST_BELOW_DB)
            spoken[slice(*_fitted(first, end, level > quiet))] = True
    return Activity(_joined(spoken, shortest), "silero-vad")


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


def _alone(
    sounds: np.ndarray, level: np.ndarray, heard: np.ndarray, speech: np.ndarray
) -> np.ndarray:
    """Return bool (K,): short loud sounds between still pauses that are a little like a voice."""
    found = np.zeros(len(level), bool)
    pause = round(SHORTEST_PAUSE * WINDOWS_PER_SECOND)
    for first, end in _stretches(sounds):
        beside = np.concatenate([level[max(first - pause, 0) : first], level[end : end + pause]])
        rises = level[first:end].max() - MOST_BELOW_DB > (
            np.median(beside) if beside.size else -np.inf
        )
        short = end - first <= ALONE_SECONDS * WINDOWS_PER_SECOND
        likely = rises and short and heard[first:end].max() >= ALONE
        found[first:end] = likely and _is_pitched(speech[first * HOP : end * HOP])
    return found


def _is_pitched(sound: np.ndarray) -> bool:
    """Say whether some of a sound, float32 (N,), repeats itself 80 to 600 times a second."""
    if sound.size < 2 * PITCHED_WINDOW:
        return False
    windows = np.lib.stride_tricks.sliding_window_view(sound, PITCHED_WINDOW)
    parts = windows[:: PITCHED_WINDOW // 2].astype(np.float64)
    power = np.abs(np.fft.rfft(parts, 2 * PITCHED_WINDOW, axis=1)) ** 2
    likeness = np.fft.irfft(power, axis=1)
    shortest, longest = SAMPLE_RATE // 600, SAMPLE_RATE // 80
    best = likeness[:, shortest:longest].max(axis=1) / (likeness[:, 0] + 1e-9)
    return float((best > PITCHED).mean()) >= PITCHED_SHARE


def _noise(level: np.ndarray, spoken: np.ndarray) -> float:
    """Return the level, dBFS, over which something is more than the sound between the words."""
    reach = round(REACH * WINDOWS_PER_SECOND)
    near = np.convolve(spoken, np.ones(2 * reach + 1))[reach : reach + spoken.size] > 0.5
    audible = level > peak_level(level) - PADDING_DB
    between = level[audible & ~near]
    if between.size >= reach:
        return float(np.percentile(between, NOISE_PERCENT)) + OVER_NOISE_DB
    return float(np.percentile(level[audible], 10)) + OVER_NOISE_DB if audible.any() else 0.0


def _fitted(first: int, end: int, loud: np.ndarray) -> tuple[int, int]:
    """Return a stretch without its quiet ends, or with the loud sound that goes on beyond them."""
    inside = first + np.flatnonzero(loud[first:end])
    if not inside.size:
        return first, end
    before, after = int(inside[0]), int(inside[-1]) + 1
    if before == first:
        before = first - _goes_on(loud[:first][::-1])
    if after == end:
        after = end + _goes_on(loud[end:])
    return before, after


def _goes_on(loud: np.ndarray) -> int:
    """Return for how many windows, at most REACH, it stays loud from here on but for breaks."""
    near = loud[: round(REACH * WINDOWS_PER_SECOND)]
    places = np.flatnonzero(near)
    gaps = np.diff(places, prepend=-1) > round(BREAK * WINDOWS_PER_SECOND)
    kept = places[: int(gaps.argmax())] if gaps.any() else places
    return int(kept[-1]) + 1 if kept.size else 0


def _stretches(flags: np.ndarray) -> list[tuple[int, int]]:
    """Return the runs of True, ends exclusive."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(first), int(end)) for first, end in edges.reshape(-1, 2)]


def _joined(flags: np.ndarray, shortest: int) -> np.ndarray:
    """Return the flags with every gap between two runs filled that is shorter than that."""
    filled = flags.copy()
    for first, end in _stretches(~flags):
        if first > 0 and end < len(flags) and end - first < shortest:
            filled[first:end] = True
    return filled
