"""Voices, music and noise made for benchmarks/voice.py, whose voiced times are known.

Speech, whispers, shouts, a child and sung words are espeak-ng's, laughter and sung vowels are made
of formants, music of struck, plucked, held and bowed notes, basses and drums. All of it is mono,
float32, 16 kHz, and the same seed makes the same sound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from espeak import SAMPLE_RATE, spoken
from score_sentences import SPOKEN

PAUSE = 0.8  # seconds between what is said
ROOM_DB = -60.0  # of the noise under every voice, below its level
PHRASES = 4
# Formants of a, i, o, e: Hz, width, height.
VOWELS = (
    ((750, 90, 1.0), (1200, 110, 0.5), (2600, 160, 0.2)),
    ((300, 60, 1.0), (2200, 120, 0.3), (3000, 160, 0.2)),
    ((450, 70, 1.0), (850, 90, 0.5), (2600, 160, 0.1)),
    ((500, 70, 1.0), (1800, 110, 0.4), (2500, 160, 0.2)),
)
SCALE = (0, 2, 4, 5, 7, 9, 11)  # semitones of a major key
WORDS = ("morning light", "over the river", "we are going home", "never alone", "sing it again")
PROGRESSION = (0, 5, 3, 4)  # steps of the scale whose chords follow each other


class Voice(NamedTuple):
    """sound: float32 (N,). parts: what of it is said or sung, in samples."""

    sound: np.ndarray
    parts: list[tuple[int, int]]


def level(sound: np.ndarray) -> float:
    """Return the root mean square of what sounds."""
    heard = sound[np.abs(sound) > 0.01 * np.abs(sound).max()]
    return float(np.sqrt((heard.astype(np.float64) ** 2).mean()))


def over(voice: np.ndarray, background: np.ndarray, decibels: float) -> np.ndarray:
    """Return the voice so many dB over a background of its length or longer."""
    under = background[: voice.size]
    mixed = voice + under * (level(voice) / level(under) * 10 ** (-decibels / 20))
    return (0.5 * mixed / np.abs(mixed).max()).astype(np.float32)


def in_a_row(sounds: list[np.ndarray], source: np.random.Generator) -> Voice:
    """Return them with pauses, over the noise of a room."""
    quiet = np.zeros(round(PAUSE * SAMPLE_RATE), np.float32)
    joined, parts = [quiet], list[tuple[int, int]]()
    place = quiet.size
    for sound in sounds:
        parts.append((place, place + sound.size))
        joined += [sound, quiet]
        place += sound.size + quiet.size
    whole = np.concatenate(joined)
    room = source.normal(0, level(whole) * 10 ** (ROOM_DB / 20), whole.size)
    return Voice((0.5 * whole / np.abs(whole).max() + room).astype(np.float32), parts)


def _trimmed(sound: np.ndarray) -> np.ndarray:
    loud = np.flatnonzero(np.abs(sound) > 0.003)
    return sound[loud[0] : loud[-1] + 1]


def _said(voice: str, source: np.random.Generator, *, pitch: int = 50) -> list[np.ndarray]:
    texts = SPOKEN[voice.split("+")[0]]
    chosen = source.choice(len(texts), PHRASES, replace=False).tolist()
    rate = int(source.integers(150, 190))
    return [
        _trimmed(spoken(texts[number], voice, words_per_minute=rate, pitch=pitch)[0])
        for number in chosen
    ]


def speech(language: str) -> Callable[[np.random.Generator], Voice]:
    def make(source: np.random.Generator) -> Voice:
        variant = str(source.choice(["", "+f3", "+m3", "+f2"]))
        return in_a_row(_said(language + variant, source), source)

    return make


def whisper(source: np.random.Generator) -> Voice:
    variant = str(source.choice(["whisper", "whisperf"]))
    return in_a_row(_said(f"en-us+{variant}", source), source)


def shouting(source: np.random.Generator) -> Voice:
    """High, with a strained voice's strong overtones, and beyond what a microphone takes."""
    said = _said("en-us+m3", source, pitch=85)
    bright = [np.append(each[:1], each[1:] - 0.6 * each[:-1]) for each in said]
    return in_a_row([np.tanh(8 * each / np.abs(each).max()) for each in bright], source)


def child(source: np.random.Generator) -> Voice:
    """A high voice from a throat five sixths as long."""
    said = _said("en-us+f5", source, pitch=90)
    return in_a_row([_faster(each, 1.2) for each in said], source)


def _faster(sound: np.ndarray, by: float) -> np.ndarray:
    places = np.arange(0, sound.size - 1, by)
    return np.interp(places, np.arange(sound.size), sound).astype(np.float32)


def _vowel(pitch: np.ndarray, vowel: int) -> np.ndarray:
    """Return a vowel that follows a pitch, Hz (N,)."""
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    wave = np.zeros(pitch.size)
    for harmonic in range(1, int(7500 / pitch.max()) + 1):
        at = harmonic * pitch.mean()
        heights = (height / (1 + ((at - hz) / width) ** 2) for hz, width, height in VOWELS[vowel])
        wave += sum(heights) * np.sin(harmonic * phase)
    return wave


def laughter(source: np.random.Generator) -> Voice:
    """Four bouts of four to nine breathy "ha", each lower and softer than the one before."""
    return in_a_row([_bout(source) for _ in range(PHRASES)], source)


def _bout(source: np.random.Generator) -> np.ndarray:
    pitch, vowel = source.uniform(180, 420), int(source.choice([0, 3]))
    parts = list[np.ndarray]()
    for number in range(int(source.integers(4, 10))):
        breath = source.normal(0, 1, round(source.uniform(0.06, 0.1) * SAMPLE_RATE))
        count = round(source.uniform(0.08, 0.13) * SAMPLE_RATE)
        voiced = _vowel(pitch * 0.96**number * np.linspace(1.08, 0.92, count), vowel)
        voiced *= np.sin(np.pi * (np.arange(count) + 0.5) / count) ** 0.5
        breath = np.convolve(breath, np.ones(4) / 4, "same") * 0.12 * np.abs(voiced).max()
        parts += [0.9**number * breath, 0.9**number * voiced]
    return np.concatenate(parts).astype(np.float32)


def sung_vowels(source: np.random.Generator) -> Voice:
    """Phrases of six notes with vibrato, joined to each other."""
    root = float(source.choice([110, 147, 196, 262]))
    return in_a_row([_melody(root, source) for _ in range(PHRASES)], source)


def _melody(root: float, source: np.random.Generator) -> np.ndarray:
    notes = list[np.ndarray]()
    for step in source.choice(SCALE, 6):
        seconds, vowel = source.uniform(0.25, 0.9), int(source.integers(len(VOWELS)))
        times = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
        vibrato = 0.35 * np.sin(2 * np.pi * 5.5 * times) * np.clip(times * 3, 0, 1)
        note = _vowel(root * 2 ** ((step + vibrato) / 12), vowel)
        notes.append(note * np.clip(np.minimum(times * 20, (seconds - times) * 12), 0, 1))
    return np.concatenate(notes).astype(np.float32)


def sung_words(source: np.random.Generator) -> Voice:
    """Words on one note each, slowly."""
    variant = str(source.choice(["+f2", "+m3", "+f4", "+m1"]))
    phrases = list[np.ndarray]()
    for text in source.choice(WORDS, PHRASES):
        notes = [
            spoken(word, f"en-us{variant}", words_per_minute=90, pitch=pitch, pitch_range=0)[0]
            for word, pitch in zip(text.split(), source.integers(35, 85, 9).tolist(), strict=False)
        ]
        phrases.append(np.concatenate([_trimmed(note) for note in notes]))
    return in_a_row(phrases, source)


def _tone(pitch: float, times: np.ndarray, *, overtones: int, falls: float) -> np.ndarray:
    highest = min(overtones, int(7500 / pitch))
    return sum(
        (np.sin(2 * np.pi * pitch * n * times) / n**falls for n in range(1, highest + 1)),
        np.zeros(times.size),
    )


def _struck(pitch: float, times: np.ndarray) -> np.ndarray:
    return _tone(pitch, times, overtones=8, falls=1.3) * np.exp(-3 * times)


def _plucked(pitch: float, times: np.ndarray) -> np.ndarray:
    return _tone(pitch, times, overtones=12, falls=1.0) * np.exp(-7 * times)


def _held(pitch: float, times: np.ndarray) -> np.ndarray:
    swell = np.clip(np.minimum(times * 25, (times[-1] - times) * 25), 0, 1)
    return 0.5 * _tone(pitch, times, overtones=6, falls=1.0) * swell


def _bowed(pitch: float, times: np.ndarray) -> np.ndarray:
    """A lead with vibrato, the likest to a voice."""
    wavering = times + 0.004 / 6 * np.sin(2 * np.pi * 6 * times)
    swell = np.clip(np.minimum(times * 8, (times[-1] - times) * 8), 0, 1)
    return 0.6 * _tone(pitch, wavering, overtones=14, falls=1.1) * swell


class Part(NamedTuple):
    """What one instrument plays: beats between its notes, its lowest note in Hz, how long."""

    instrument: Callable[[float, np.ndarray], np.ndarray]
    every: float
    lowest: float
    lasts: float  # beats
    chord: bool = False


STYLES: dict[str, tuple[tuple[Part, ...], bool]] = {
    "chords": ((Part(_struck, 1, 196, 2, chord=True),), False),
    "arpeggio": ((Part(_plucked, 0.5, 196, 1), Part(_struck, 4, 98, 4)), False),
    "organ": ((Part(_held, 2, 131, 2, chord=True), Part(_held, 2, 65, 2)), False),
    "drums": ((), True),
    "strings": ((Part(_bowed, 1, 392, 1), Part(_held, 4, 131, 4, chord=True)), False),
    "band": (
        (
            Part(_struck, 1, 196, 1, chord=True),
            Part(_plucked, 0.5, 65, 0.5),
            Part(_bowed, 1, 294, 1),
        ),
        True,
    ),
}


def music(style: str, seconds: float, source: np.random.Generator) -> np.ndarray:
    """Return a piece in that style, in a key and at a pace of its own."""
    parts, beaten = STYLES[style]
    beat = 60 / source.uniform(80, 140)
    key = 2 ** (source.integers(12) / 12)
    sound = np.zeros(round((seconds + 8 * beat) * SAMPLE_RATE))
    for part in parts:
        for place in np.arange(0, seconds / beat, part.every):
            base = PROGRESSION[int(place // 4) % len(PROGRESSION)]
            steps = [0, 2, 4] if part.chord else [int(source.choice([0, 2, 4, 7]))]
            times = np.arange(round(part.lasts * beat * SAMPLE_RATE)) / SAMPLE_RATE
            first = round(place * beat * SAMPLE_RATE)
            for step in steps:
                octave, degree = divmod(base + step, len(SCALE))
                pitch = part.lowest * key * 2 ** (octave + SCALE[degree] / 12)
                sound[first : first + times.size] += part.instrument(pitch, times)
    if beaten:
        sound += _drums(beat, sound.size, source)
    return sound[: round(seconds * SAMPLE_RATE)].astype(np.float32)


def _drums(beat: float, count: int, source: np.random.Generator) -> np.ndarray:
    times = np.arange(count) / SAMPLE_RATE
    kick, snare, hat = ((times + shift) % length for shift, length in (
        (0, 2 * beat), (beat, 2 * beat), (0, beat / 2)))  # fmt: skip
    noise = source.normal(0, 1, count)
    thump = np.sin(2 * np.pi * (50 * kick + 6 * (1 - np.exp(-30 * kick)))) * np.exp(-12 * kick)
    rattle = (noise + np.sin(2 * np.pi * 190 * snare)) * np.exp(-18 * snare)
    return 2 * thump + rattle + 0.3 * np.diff(noise, prepend=0) * np.exp(-60 * hat)


def _white(count: int, source: np.random.Generator) -> np.ndarray:
    return source.normal(0, 0.05, count)


def _rumble(count: int, source: np.random.Generator) -> np.ndarray:
    """Noise that falls by 3 dB an octave."""
    spectrum = np.fft.rfft(source.normal(0, 1, count))
    return np.fft.irfft(spectrum / np.sqrt(np.arange(1, spectrum.size + 1)), count) * 5


def _hum(count: int, source: np.random.Generator) -> np.ndarray:
    times = np.arange(count) / SAMPLE_RATE
    return 0.1 * _tone(50, times, overtones=9, falls=1.0) + source.normal(0, 0.003, count)


def _knocks(count: int, source: np.random.Generator) -> np.ndarray:
    """Keys, claps and steps: bursts that ring at a pitch of their own."""
    sound = source.normal(0, 0.001, count)
    for _ in range(3 * count // SAMPLE_RATE):
        first = int(source.integers(count - SAMPLE_RATE // 4))
        times = np.arange(SAMPLE_RATE // 4) / SAMPLE_RATE
        ring = source.normal(0, 1, times.size) + np.sin(
            2 * np.pi * source.uniform(200, 3000) * times
        )
        sound[first : first + times.size] += source.uniform(0.02, 0.3) * ring * np.exp(-40 * times)
    return sound


NOISES = {"white noise": _white, "rumble": _rumble, "hum": _hum, "knocks": _knocks}


def noise(kind: str, seconds: float, source: np.random.Generator) -> np.ndarray:
    return NOISES[kind](round(seconds * SAMPLE_RATE), source).astype(np.float32)
