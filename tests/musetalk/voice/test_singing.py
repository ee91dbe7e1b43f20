"""Whoever sings over music is followed by loudness; speech, and music alone, are not."""

from __future__ import annotations

import numpy as np
import pytest

from avatarvideo.musetalk.networks.silero_vad import SileroVAD
from avatarvideo.musetalk.voice.activity import activity_by_network
from avatarvideo.musetalk.voice.foreground import MOST_PIECES, PIECE, foreground, pieces
from avatarvideo.musetalk.voice.singing import (
    is_hidden,
    is_said,
    is_sung,
    may_be_hidden,
)
from avatarvideo.musetalk.voice.stretches import stretches
from avatarvideo.musetalk.weights.silero_file import find_silero, load_silero

RATE = 16000
# Formants of a, i, o, e: Hz, width, height.
VOWELS = [
    ((750, 90, 1), (1200, 110, 0.5), (2600, 160, 0.2)),
    ((300, 60, 1), (2200, 120, 0.3), (3000, 160, 0.2)),
    ((450, 70, 1), (850, 90, 0.5), (2600, 160, 0.1)),
    ((500, 70, 1), (1800, 110, 0.4), (2500, 160, 0.2)),
]


@pytest.fixture(scope="module")
def network() -> SileroVAD:
    path = find_silero()
    if path is None:
        pytest.skip("silero-vad is not installed")
    return load_silero(path)


def note(pitch: float, seconds: float, vowel: int) -> np.ndarray:
    """Return a vowel held with vibrato."""
    times = np.arange(round(seconds * RATE)) / RATE
    vibrato = 2 ** (0.35 / 12 * np.sin(2 * np.pi * 5.5 * times) * np.clip(times * 3, 0, 1))
    phase = 2 * np.pi * np.cumsum(pitch * vibrato) / RATE
    wave = np.zeros(times.size)
    for harmonic in range(1, int(7500 / pitch)):
        heights = (a / (1 + ((harmonic * pitch - c) / b) ** 2) for c, b, a in VOWELS[vowel])
        wave += sum(heights) * np.sin(harmonic * phase)
    return wave * np.clip(np.minimum(times * 20, (seconds - times) * 12), 0, 1)


def song() -> tuple[np.ndarray, np.ndarray]:
    """Return four phrases of six notes with pauses of 0.8 s, and bool (N,), where it is sung."""
    source, parts = np.random.default_rng(0), list[np.ndarray]()
    pause = np.zeros(round(0.8 * RATE))
    for _ in range(4):
        pitches = source.choice([196, 220, 247, 262, 294, 330], 6)
        lengths, vowels = source.uniform(0.25, 0.6, 6), source.integers(0, 4, 6)
        parts += [note(*each) for each in zip(pitches, lengths, vowels, strict=True)]
        parts.append(pause)
    voice = np.concatenate(parts)
    return (0.4 * voice / np.abs(voice).max()).astype(np.float32), voice != 0


def chords(count: int, level: float) -> np.ndarray:
    """Return struck chords of that root mean square."""
    times = np.arange(count) / RATE
    struck = np.exp(-4 * (times % 0.625))
    wave = np.zeros_like(times)
    for pitch in (220.0, 277.2, 329.6):
        for n in (1, 2, 3, 4):
            wave += struck * np.sin(2 * np.pi * pitch * n * times) / n
    return (wave * level / np.sqrt((wave**2).mean())).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("music_db", [None, -12, -20])
def test_at_most_a_hundredth_of_a_song_is_shut(network: SileroVAD, music_db: float | None) -> None:
    voice, sung = song()
    sound = voice
    if music_db is not None:
        rms = np.sqrt((voice[sung] ** 2).mean())
        sound = voice + chords(voice.size, rms * 10 ** (music_db / 20))
    activity = activity_by_network(network, sound)
    assert activity.detector == "silero-vad, for singing loudness"
    singing = sung[80::160][: activity.spoken.size]
    heard = activity.spoken[: singing.size]
    assert (singing & ~heard).sum() <= 0.01 * singing.sum()
    if music_db is None:
        assert not heard[~singing].any()


def test_the_music_alone_has_no_voice(network: SileroVAD) -> None:
    activity = activity_by_network(network, chords(8 * RATE, 0.1))
    assert activity.detector == "silero-vad"
    assert not activity.spoken.any()


def test_sure_speech_and_loud_music_are_not_sung() -> None:
    level = np.full(1000, -20.0)
    likely = np.zeros(1000)
    assert not is_sung(likely, level)
    likely[:600] = 0.99  # speech over loud music
    likely[600:700] = 0.2
    assert not is_sung(likely, level)
    likely[:600] = 0.15
    likely[:5] = 0.6  # hardly ever half sure
    assert is_sung(likely, level)
    likely[:5] = 0.15
    assert not is_sung(likely, level)


def test_a_wavering_voice_comes_out_of_steady_notes() -> None:
    times = np.arange(3 * RATE) / RATE
    voice = 0.3 * note(220, 3, 0)
    organ = sum(0.3 * np.sin(2 * np.pi * pitch * times) for pitch in (130.8, 164.8, 392.0))
    mixed = (voice + organ).astype(np.float32)
    middle = slice(RATE, -RATE)
    left = foreground(mixed)[middle]
    before, after = (np.corrcoef(voice[middle], each)[0, 1] for each in (mixed[middle], left))
    assert before < 0.5
    assert after > 0.65


def test_a_long_recording_is_judged_by_a_minute_of_it() -> None:
    long = np.arange(20 * PIECE, dtype=np.float32)
    parts = pieces(long)
    assert [part.size for part in parts] == [PIECE] * MOST_PIECES
    assert (parts[0][0], parts[-1][-1]) == (0, long[-1])
    assert [part.size for part in pieces(long[:100])] == [100]


def test_a_shadow_of_a_voice_is_looked_for_where_nothing_is_sure() -> None:
    level = np.full(1000, -20.0)
    heard = np.zeros(1000)
    assert not may_be_hidden(heard, level)
    heard[:10] = 0.05
    assert may_be_hidden(heard, level)
    heard[100:200] = 0.95
    assert not may_be_hidden(heard, level)


def test_what_is_brought_out_is_a_voice_where_it_holds_traces() -> None:
    sound = note(220, 10, 0).astype(np.float32)
    heard = np.zeros(1000)
    heard[:190] = 0.05
    assert not is_hidden([(heard, sound)])
    heard[:80] = 0.15
    assert not is_hidden([(heard, sound)])
    heard[:20] = 0.4
    assert is_hidden([(heard, sound)])
    heard[:120] = 0.15
    assert is_hidden([(heard, sound)])
    heard[150:] = 0
    assert not is_hidden([(heard, sound)])


def test_traces_without_a_clear_tone_are_no_voice() -> None:
    heard = np.full(1000, 0.2)
    noise = np.random.default_rng(0).normal(0, 0.1, 10 * RATE).astype(np.float32)
    assert is_hidden([(heard, note(220, 10, 0).astype(np.float32))])
    assert not is_hidden([(heard, noise)])


@pytest.mark.parametrize("loud", [1.0, 0.001])
def test_a_melody_needs_no_traces(loud: float) -> None:
    voice, _ = song()
    parts = [(np.zeros(-(-part.size // 160)), loud * part) for part in pieces(voice)]
    assert is_hidden(parts)
    steady = chords(voice.size, 0.1 * loud)
    assert not is_hidden([(np.zeros(-(-part.size // 160)), part) for part in pieces(steady)])


@pytest.mark.slow
def test_a_melody_over_chords_needs_no_traces() -> None:
    voice, sung = song()
    rms = np.sqrt((voice[sung] ** 2).mean())
    mixed = voice + chords(voice.size, rms * 10 ** (-12 / 20))
    left = [foreground(part) for part in pieces(mixed)]
    assert is_hidden([(np.zeros(-(-part.size // 160)), part) for part in left])


def test_amid_silence_more_is_followed_by_loudness() -> None:
    level = np.full(1000, -20.0)
    half = np.where(np.arange(1000) % 2, 0.95, 0.15)  # as of whispers
    assert not is_sung(half, level)
    level[:100] = -80
    assert is_sung(half, level)
    assert not is_sung(np.full(1000, 0.95), level)


def test_notes_fade_and_words_do_not() -> None:
    level = np.full(1000, -20.0)
    heard = np.full(1000, 0.95)
    heard[:100] = 0.2
    assert is_said(heard, level)
    heard[:300] = 0.2
    assert not is_said(heard, level)


@pytest.mark.slow
def test_a_song_has_no_short_pauses(network: SileroVAD) -> None:
    voice, sung = song()
    rms = np.sqrt((voice[sung] ** 2).mean())
    activity = activity_by_network(network, voice + chords(voice.size, rms * 10 ** (-6 / 20)))
    assert all(end - first >= 40 for first, end in stretches(~activity.spoken)[1:-1])
