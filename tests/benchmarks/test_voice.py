"""The benchmark of the resting mouth: its sounds can be made again, its truth and counts hold."""

from __future__ import annotations

import json
import subprocess
import sys
import wave
from ctypes.util import find_library
from pathlib import Path

import numpy as np
import pytest

from avatarvideo.musetalk.voice.activity import Activity
from avatarvideo.musetalk.weights.silero_file import find_silero

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
pytestmark = pytest.mark.usefixtures("benchmarks_can_be_imported")
needs_espeak = pytest.mark.skipif(find_library("espeak-ng") is None, reason="needs espeak-ng")


def test_the_same_seed_makes_the_same_music() -> None:
    from voice_sounds import music

    first, again, other = (music("band", 2, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert first.size == 2 * 16000
    assert not np.array_equal(first, other)


def test_a_voice_is_as_far_over_its_background_as_asked() -> None:
    from voice_sounds import over

    times = np.arange(16000) / 16000
    voice, under = (np.sin(2 * np.pi * pitch * times).astype(np.float32) for pitch in (200, 900))
    heights = np.abs(np.fft.rfft(over(voice, 0.1 * under, 12)))
    assert 20 * np.log10(heights[200] / heights[900]) == pytest.approx(12, abs=0.1)


def test_shut_frames_open_pauses_and_late_frames_are_counted() -> None:
    from voice import Row, clip_of
    from voice_sounds import Voice

    sound = np.zeros(32000, np.float32)
    sound[:16000] = 0.1  # a second of voice, then a pause of one
    clip = clip_of("tone", Voice(sound, [(0, 16000)]))
    assert clip.voiced.tolist() == [True] * 25 + [False] * 25
    assert clip.pauses == [(100, 200)]
    spoken = np.zeros(200, bool)
    spoken[50:150] = True  # half of the voice, half of the pause
    row = Row()
    row.add(clip, Activity(spoken, "planted"))
    shares = row.shares()
    assert shares["voiced_frames"] == 25
    assert shares["shut"] == 100 * 10 / 25  # of 12 frames two cross from rest
    assert shares["pauses_shut"] == 50
    assert shares["late_open"] == pytest.approx(100 * 12 / 19, abs=0.01)


def test_a_song_pauses_where_its_voice_does(tmp_path: Path) -> None:
    from voice import songs

    times = np.arange(3 * 16000) / 16000
    tracks = {"voice": np.sin(2 * np.pi * 200 * times) * (np.abs(times - 1.5) > 0.5)}
    tracks["music"] = np.sin(2 * np.pi * 900 * times)
    for name, track in tracks.items():
        write_wav(tmp_path / f"{name}.wav", 0.3 * track)
    whole, alone, music = songs([tmp_path / "voice.wav", tmp_path / "music.wav"])
    assert whole.voiced.tolist() == [True] * 25 + [False] * 25 + [True] * 25
    assert np.allclose(np.array(whole.pauses), [[100, 200]], atol=3)
    assert np.abs(whole.sound - alone.sound - music.sound).max() < 1e-6
    assert not music.voiced.any()


def write_wav(path: Path, sound: np.ndarray) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes((sound * 32767).astype("<i2").tobytes())


@pytest.mark.slow
@needs_espeak
@pytest.mark.skipif(find_silero() is None, reason="silero-vad is not installed")
def test_it_measures_a_recording_and_one_kind(real_data: Path) -> None:
    rows = {}
    for only in ("jfk", "laughter"):
        command = [sys.executable, str(BENCHMARKS / "voice.py"), "--jfk"]
        command += [str(real_data / "jfk.flac"), "--seeds", "1", "--only", only, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        rows |= {row["kind"]: row["silero-vad"] for row in json.loads(done.stdout)}
    assert list(rows) == ["jfk.flac, marked by hand", "laughter"]
    for row in rows.values():
        assert row["shut"] <= 0.5
        assert row["pauses_shut"] >= 85
