"""The sample voices: eSpeak NG says short sentences, made softer and level."""

from __future__ import annotations

import io
import subprocess
import wave
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

SENTENCES = ("Hello there!", "Give me a picture and a voice, and I will speak.")
VOICE = ("-v", "en-us+f4", "-s", "168", "-p", "46", "-a", "120")
REPLY = ("And give me another voice,", "then I will answer.")
SECOND_VOICE = ("-v", "en-us+f2", "-s", "160", "-p", "28", "-a", "120")
EDGE, PAUSE = 0.20, 0.34  # seconds of silence at both ends, and between the sentences
PEAK, KNEE = 10 ** (-3 / 20), 10 ** (-7 / 20)
LOUDNESS = 10 ** (-17 / 20)  # root mean square of the voiced samples; measures as -20 LUFS
CUTOFF, SLOPE = 6200.0, 3  # Hz; eSpeak's fricatives are harsh above


def spoken(sentence: str, voice: Sequence[str]) -> tuple[NDArray[np.float64], int]:
    """One sentence as samples in -1..1 without its own silence, and the rate in Hz."""
    command = ["espeak-ng", *voice, "--stdout", sentence]
    sound = subprocess.run(command, check=True, capture_output=True).stdout
    with wave.open(io.BytesIO(sound)) as file:
        rate = file.getframerate()
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
    loud = np.flatnonzero(np.abs(samples) > 0.004)
    return samples[loud[0] : loud[-1] + 1], rate


def mellow(samples: NDArray[np.float64], rate: int) -> NDArray[np.float64]:
    """Remove rumble and soften the treble (zero phase, so nothing moves in time)."""
    spectrum = np.fft.rfft(samples)
    frequency = np.fft.rfftfreq(len(samples), 1 / rate)
    treble = 1 / np.sqrt(1 + (frequency / CUTOFF) ** (2 * SLOPE))
    presence = 1 - 0.30 * np.exp(-(((frequency - 3300) / 1100) ** 2))
    rumble = 1 / np.sqrt(1 + (70 / np.maximum(frequency, 1)) ** 6)
    return np.asarray(np.fft.irfft(spectrum * treble * presence * rumble, len(samples)), np.float64)


def room(samples: NDArray[np.float64], rate: int) -> NDArray[np.float64]:
    """A hint of a small furnished room: a decaying noise tail, 24 dB down."""
    rng = np.random.default_rng(3)
    time = np.arange(int(0.16 * rate)) / rate
    tail = rng.standard_normal(len(time)) * np.exp(-time / 0.035) * (time > 0.006)
    tail *= 0.065 / np.sqrt((tail**2).sum())
    echo = np.convolve(samples, tail)[: len(samples)]
    return samples + np.asarray(echo, np.float64)


def level(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Speech to the wanted loudness, peaks bent smoothly to reach -3 dBFS."""
    voiced = samples[np.abs(samples) > 0.02 * np.abs(samples).max()]
    samples = samples * (LOUDNESS / np.sqrt((voiced**2).mean()))
    over = np.maximum(np.abs(samples) - KNEE, 0)
    room_above = np.abs(samples).max() - KNEE
    if room_above <= PEAK - KNEE:
        return samples
    # over / (1 + c over) has slope one at the knee and meets the wanted peak at the loudest sample.
    bend = 1 / (PEAK - KNEE) - 1 / room_above
    return np.sign(samples) * (np.minimum(np.abs(samples), KNEE) + over / (1 + bend * over))


def speech(sentences: Sequence[str], voice: Sequence[str]) -> tuple[NDArray[np.int16], int]:
    """A clip of sentences as 16-bit samples (N,) and its rate in Hz."""
    clips = [spoken(sentence, voice) for sentence in sentences]
    rate = clips[0][1]
    gap, edge = np.zeros(int(PAUSE * rate)), np.zeros(int(EDGE * rate))
    parts = [edge]
    for clip, _ in clips:
        fade = np.minimum(
            1, np.minimum(np.arange(len(clip)), np.arange(len(clip))[::-1]) / (0.004 * rate)
        )
        parts += [clip * fade, gap]
    samples = np.concatenate([*parts[:-1], edge])
    samples = level(room(mellow(samples, rate), rate))
    rng = np.random.default_rng(5)
    dither = rng.random(len(samples)) - rng.random(len(samples))
    return np.round(samples * 32767 + dither * (np.abs(samples) > 1e-4)).astype(np.int16), rate


def write_speech(path: Path) -> None:
    """Write the first voice's clip."""
    write_flac(path, *speech(SENTENCES, VOICE))


def write_reply(path: Path) -> None:
    """Write the second voice's clip: silence while the first one speaks, then what it answers."""
    first, rate = speech(SENTENCES, VOICE)
    reply, _ = speech(REPLY, SECOND_VOICE)
    write_flac(path, np.concatenate([np.zeros_like(first), reply]), rate)


def write_flac(path: Path, samples: NDArray[np.int16], rate: int) -> None:
    """Write mono samples as FLAC."""
    with av.open(str(path), "w", format="flac") as container:
        stream = container.add_stream("flac", rate=rate, options={"compression_level": "8"})
        stream.layout = "mono"
        stream.format = "s16"
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
