"""Speech is told from pauses, noise and music; PyTorch's threads stay as they were."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from avatarvideo.errors import Cancelled
from avatarvideo.musetalk.inputs import load_speech
from avatarvideo.musetalk.networks.silero_vad import CHUNK, CONTEXT, SileroVAD
from avatarvideo.musetalk.voice.activity import activity_by_level, activity_by_network
from avatarvideo.musetalk.weights.silero_file import find_silero, load_silero

# Marked by hand in jfk.flac: seconds in which somebody speaks.
MARKS = Path(__file__).resolve().parents[3] / "benchmarks" / "jfk_marks.json"


@pytest.fixture(scope="module")
def network() -> SileroVAD:
    path = find_silero()
    if path is None:
        pytest.skip("silero-vad is not installed")
    return load_silero(path)


def marked(stretches: list[list[float]], count: int) -> np.ndarray:
    flags = np.zeros(count, bool)
    for first, end in stretches:
        flags[round(first * 100) : round(end * 100)] = True
    return flags


def test_a_speech_marked_by_hand(network: SileroVAD, real_data: Path) -> None:
    threads = torch.get_num_threads()
    speech = load_speech(real_data / "jfk.flac").speech
    spoken = activity_by_network(network, speech).spoken
    voiced = marked(json.loads(MARKS.read_text())["spoken"], spoken.size)
    assert (voiced & ~spoken).sum() <= 0.005 * voiced.sum()
    pauses = ~voiced
    pauses[:32] = False  # under 400 ms
    assert (pauses & ~spoken).sum() >= 0.85 * pauses.sum()
    assert torch.get_num_threads() == threads
    assert "silero_vad" not in sys.modules


def test_what_is_heard_does_not_depend_on_the_pieces(network: SileroVAD, real_data: Path) -> None:
    speech = load_speech(real_data / "jfk.flac").speech[:64000]
    whole, bit = (activity_by_network(network, speech, chunks=count) for count in (1000, 7))
    assert np.array_equal(whole.spoken, bit.spoken)


def test_few_lengths_go_through_the_network(network: SileroVAD) -> None:
    """PyTorch keeps what it compiled for each: else memory grows with what was heard."""
    seconds = np.random.default_rng(8).uniform(0.3, 2.5, 16)
    beeps = [np.sin(np.arange(round(16000 * each)) / 12) for each in seconds]
    speech = np.concatenate([np.pad(each, (0, 8000)) for each in beeps]).astype(np.float32)
    lengths: set[int] = set()
    with network.register_forward_pre_hook(lambda _, given: lengths.add(given[0].numel())):
        activity_by_network(network, speech)
    chunks = {(length - CONTEXT) // CHUNK for length in lengths}
    assert chunks <= {1, 2, 4, 8, 16, 32, 64}


def test_music_and_noise_are_not_speech(network: SileroVAD) -> None:
    times = np.arange(16000 * 4) / 16000
    source = np.random.default_rng(4)
    chords = [261.6, 329.6, 392.0]
    music = sum(np.sin(2 * np.pi * pitch * times) * np.exp(-2 * (times % 0.5)) for pitch in chords)
    sounds = {
        "music": 0.1 * music,
        "noise": source.normal(0, 0.05, times.size),
        "bursts": source.normal(0, 0.1, times.size) * (times % 1 < 0.3),
        "hum": 0.1 * np.sin(2 * np.pi * 100 * times),
        "nothing": np.zeros(times.size),
    }
    for name, sound in sounds.items():
        assert not activity_by_network(network, sound.astype(np.float32)).spoken.any(), name


@pytest.mark.parametrize("length", [1, 160, 511, 512, 5000])
def test_any_length_has_a_flag_for_every_10_ms(network: SileroVAD, length: int) -> None:
    speech = np.full(length, 0.01, np.float32)
    assert activity_by_network(network, speech).spoken.size == -(-length // 160)
    assert activity_by_level(speech).spoken.size == -(-length // 160)


def test_it_can_be_stopped_between_pieces(network: SileroVAD) -> None:
    asked: list[int] = []

    def check() -> None:
        asked.append(1)
        if len(asked) == 3:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        activity_by_network(network, np.zeros(16000, np.float32), chunks=4, check=check)
    assert len(asked) == 3


def test_silence_before_a_held_note_is_no_speech() -> None:
    time = np.arange(16000) / 16000
    note = sum(np.sin(2 * np.pi * 150 * n * time) / n for n in range(1, 10))
    spoken = activity_by_level((0.2 * note * (time > 0.6)).astype(np.float32)).spoken
    assert not spoken[:58].any()
    assert spoken[62:].all()


def test_loudness_alone_shuts_pauses(clean_speech: np.ndarray) -> None:
    activity = activity_by_level(clean_speech)
    assert activity.detector == "loudness"
    assert activity.spoken[10:90].all()
    assert not activity.spoken[110:190].any()
    assert activity.spoken[210:290].all()


@pytest.fixture
def clean_speech() -> np.ndarray:
    """A second of a tone, one of silence, one of the tone."""
    times = np.arange(48000) / 16000
    tone = 0.2 * np.sin(2 * np.pi * 200 * times) * ((times < 1) | (times >= 2))
    return (tone + np.random.default_rng(1).normal(0, 1e-3, times.size)).astype(np.float32)
