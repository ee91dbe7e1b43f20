"""Integrated loudness after ITU-R BS.1770-4, read block by block in bounded memory.

The two filters' parameters are those of libebur128 (MIT), so that any sample rate can be used.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.polynomial.polynomial import polyval

from ...errors import MediaError
from .audio import decode_audio
from .open import has_codec, open_media

logger = logging.getLogger("avatarvideo.encoders.read.loudness")

SHELF = (1681.974450955533, 3.999843853973347, 0.7071752369554196)  # Hz, dB, Q
HIGH_PASS = (38.13547087602444, 0.5003270373238773)  # Hz, Q
HOPS_A_SECOND = 10
HOPS_A_BLOCK = 4  # 400 ms
ABSOLUTE_GATE = -70.0  # LUFS
RELATIVE_GATE = -10.0  # LU
OFFSET = -0.691
IMPULSE_SECONDS = 0.5  # by then the high-pass has rung out
SURROUND_WEIGHT = 1.41
LEAST_RATE = 8000  # Hz; below, the filters' frequencies are out of reach
BLOCK_SECONDS = 2  # long against the filters' impulse, which each transform repeats


def file_loudness(path: Path, number: int) -> float | None:
    """Return LUFS of a file's audio stream, counted from 0; None where it cannot be measured."""
    with open_media(path) as container:
        stream = container.streams.audio[number]
        if not has_codec(stream):
            return None
        try:
            track = decode_audio(container, path.name, stream=stream)
        except MediaError as error:
            logger.warning("audio %d is not measured: %s", number + 1, error)
            return None
        if track.sample_rate < LEAST_RATE:
            return None
        return integrated_loudness(track.blocks, track.sample_rate, track.channels)


def integrated_loudness(
    blocks: Iterable[np.ndarray], sample_rate: int, channels: int
) -> float | None:
    """Return LUFS of float32 blocks (channels, n); None for silence or under 400 ms."""
    weights = _channel_weights(channels)
    hop = sample_rate // HOPS_A_SECOND
    energies: list[float] = []
    rest = np.zeros((channels, 0))
    longer = _gathered(blocks, BLOCK_SECONDS * sample_rate)
    for block in _weighted(longer, sample_rate, channels):
        rest = np.concatenate([rest, block], axis=1)
        count = rest.shape[1] // hop
        hops = rest[:, : count * hop].reshape(channels, count, hop)
        energies += list(weights @ np.square(hops).mean(axis=2))
        rest = rest[:, count * hop :]
    return _gated(np.array(energies))


def _gathered(blocks: Iterable[np.ndarray], least: int) -> Iterator[np.ndarray]:
    held: list[np.ndarray] = []
    for block in blocks:
        held.append(block)
        if sum(part.shape[1] for part in held) >= least:
            yield np.concatenate(held, axis=1)
            held = []
    if held:
        yield np.concatenate(held, axis=1)


def _gated(energies: np.ndarray) -> float | None:
    if len(energies) < HOPS_A_BLOCK:
        return None
    blocks = np.convolve(energies, np.full(HOPS_A_BLOCK, 1 / HOPS_A_BLOCK), "valid")
    loud = blocks[blocks > _energy(ABSOLUTE_GATE)]
    if not len(loud):
        return None
    loud = loud[loud > _energy(_lufs(loud.mean()) + RELATIVE_GATE)]
    return _lufs(loud.mean())


def _lufs(energy: float) -> float:
    return OFFSET + 10 * math.log10(energy)


def _energy(lufs: float) -> float:
    return 10 ** ((lufs - OFFSET) / 10)


def _channel_weights(channels: int) -> np.ndarray:
    weights = np.ones(channels)
    if channels >= 5:
        weights[4 if channels >= 6 else 3 :] = SURROUND_WEIGHT
    if channels >= 6:
        weights[3] = 0  # the low-frequency channel does not count
    return weights


def _weighted(
    blocks: Iterable[np.ndarray], sample_rate: int, channels: int
) -> Iterator[np.ndarray]:
    """Yield the blocks through both filters, by overlapping convolution."""
    impulse = _impulse(sample_rate)
    tail = np.zeros((channels, len(impulse) - 1))
    for block in blocks:
        size = 1 << (block.shape[1] + len(impulse) - 1).bit_length()
        spectrum = np.fft.rfft(block, size) * np.fft.rfft(impulse, size)
        full = np.fft.irfft(spectrum, size)[:, : block.shape[1] + len(impulse) - 1]
        full[:, : tail.shape[1]] += tail[:, : full.shape[1]]
        yield full[:, : block.shape[1]]
        tail = full[:, block.shape[1] :]


def _impulse(rate: int) -> np.ndarray:
    """Return what both filters make of one sample, from their frequency responses."""
    count = round(IMPULSE_SECONDS * rate)
    delay = np.exp(-2j * np.pi * np.fft.rfftfreq(count))  # of one sample
    frequency, gain, quality = SHELF
    slope = math.tan(math.pi * frequency / rate)
    high, band = 10 ** (gain / 20), 10 ** (gain / 20 * 0.4996667741545416)
    step = band * slope / quality
    zeros = (high + step + slope**2, 2 * (slope**2 - high), high - step + slope**2)
    shelf = polyval(delay, zeros) / polyval(delay, _poles(slope, quality))
    frequency, quality = HIGH_PASS
    poles = _poles(math.tan(math.pi * frequency / rate), quality)
    high_pass = poles[0] * (1 - delay) ** 2 / polyval(delay, poles)
    return np.fft.irfft(shelf * high_pass, count)


def _poles(slope: float, quality: float) -> tuple[float, float, float]:
    return 1 + slope / quality + slope**2, 2 * (slope**2 - 1), 1 - slope / quality + slope**2
