"""A minute with constructed pauses: the mouth rests within 120 ms, under noise and music too."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from avatarvideo.musetalk.inputs import load_speech
from avatarvideo.musetalk.networks.silero_vad import SileroVAD
from avatarvideo.musetalk.voice.activity import activity_by_network
from avatarvideo.musetalk.voice.gate import gate_of
from avatarvideo.musetalk.weights.silero_file import find_silero, load_silero

SAMPLE = Path(__file__).resolve().parents[3] / "web" / "samples" / "speech.flac"
RATE = 16000
LATE = Fraction(12, 100)


@pytest.fixture(scope="module")
def network() -> SileroVAD:
    path = find_silero()
    if path is None:
        pytest.skip("silero-vad is not installed")
    return load_silero(path)


def minute() -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Return speech with pauses of 0.5 to 2 s, and where they lie, in samples."""
    speech = load_speech(SAMPLE).speech
    loud = np.flatnonzero(np.abs(speech) > 0.006)
    speech = speech[loud[0] : loud[-1] + 1]
    source, parts, pauses, place = np.random.default_rng(0), list[np.ndarray](), [], 0
    while place < 60 * RATE:
        pause = int(source.uniform(0.5, 2) * RATE)
        pauses.append((place + speech.size, place + speech.size + pause))
        parts += [speech, np.zeros(pause, np.float32)]
        place = pauses[-1][1]
    return np.concatenate(parts), pauses


def background(kind: str, speech: np.ndarray) -> np.ndarray:
    """Return noise, struck chords or drummed ones 30 dB below the speech, or nothing."""
    times = np.arange(speech.size) / RATE
    sound = np.zeros(speech.size)
    if kind == "noise":
        sound = np.random.default_rng(1).normal(0, 1, speech.size)
    elif kind == "music":
        for number, pitch in enumerate((220.0, 277.2, 329.6, 440.0)):
            struck = np.exp(-3 * ((times + number / 8) % 0.5))
            sound += struck * sum(np.sin(2 * np.pi * pitch * n * times) / n for n in (1, 2, 3))
    elif kind == "drums":
        for number, pitch in enumerate((98.0, 146.8, 233.1)):
            sound += 0.3 * sum(
                np.sin(2 * np.pi * pitch * n * times + number) / n for n in (1, 2, 3)
            )
        beaten = np.exp(-15 * ((times + 0.2) % 0.65))
        sound += beaten * (np.random.default_rng(2).normal(0, 1.5, speech.size))
        sound += 5 * beaten * np.sin(2 * np.pi * 180 * times)
    level = np.sqrt((speech[speech != 0] ** 2).mean()) * 10 ** (-30 / 20)
    return (sound * level / max(np.sqrt((sound**2).mean()), 1e-9)).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["clean", "noise", "music", "drums"])
def test_it_rests_within_120_ms_and_never_in_speech(network: SileroVAD, kind: str) -> None:
    speech, pauses = minute()
    heard = activity_by_network(network, speech + background(kind, speech))
    for rate in (Fraction(25), Fraction(30000, 1001)):
        count = int(Fraction(speech.size, RATE) * rate)
        gate = gate_of(heard.spoken, rate, count)
        begins = np.array([float(number / rate) for number in range(count)])
        late = np.zeros(count, bool)
        for first, end in pauses:
            late |= (begins > first / RATE + float(LATE)) & (
                begins + float(1 / rate) <= end / RATE - float(LATE)
            )
        # The speech has pauses of its own: what is voiced is loud.
        parts = np.array_split(np.abs(speech[: round(count / float(rate) * RATE)]), count)
        voiced = np.array([part.max() > 0.03 for part in parts])
        assert late.sum() > 300
        assert not (late & ~gate.at_rest).any()
        assert voiced.sum() > 400
        assert (voiced & gate.at_rest).sum() <= 0.005 * voiced.sum()


@pytest.mark.slow
def test_it_mostly_rests_under_music_10_db_below(network: SileroVAD) -> None:
    speech, pauses = minute()
    sound = speech + 10 * background("music", speech)
    spoken = activity_by_network(network, sound.astype(np.float32)).spoken
    late = np.zeros(spoken.size, bool)
    for first, end in pauses:
        late[first // 160 + 12 : end // 160 - 12] = True
    loud = np.abs(speech[: speech.size // 160 * 160]).reshape(-1, 160).max(1) > 0.03
    assert (spoken & late).sum() <= 0.25 * late.sum()
    assert (loud & ~spoken[: loud.size]).sum() <= 0.005 * loud.sum()
