"""Speech to features, against transformers' feature extractor, librosa and the formulas."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avatarvideo.errors import MediaError
from avatarvideo.media import AudioClip
from avatarvideo.musetalk import audio
from support.optional_library import library


def decode(path: Path) -> AudioClip:
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
        rate = container.streams.audio[0].rate
        layout = container.streams.audio[0].layout.nb_channels
    samples = np.concatenate([frame.reshape(-1, layout).T for frame in frames], axis=1)
    return AudioClip(samples.astype(np.float32) / 32768.0, rate)


@pytest.fixture(scope="module")
def speech(real_data: Path) -> np.ndarray:
    return audio.to_speech(decode(real_data / "jfk.flac"))


def reference_mel(part: np.ndarray) -> np.ndarray:
    extractor = library("transformers").WhisperFeatureExtractor()
    return extractor(part, sampling_rate=16000, return_tensors="np").input_features[0]


@pytest.mark.slow
def test_mel_equals_transformers_on_real_speech(speech: np.ndarray) -> None:
    assert speech.std() > 0.01
    np.testing.assert_allclose(audio.log_mel(speech), reference_mel(speech), atol=1e-5, rtol=0)


@pytest.mark.slow
def test_mel_equals_transformers_on_31_seconds(speech: np.ndarray) -> None:
    long = np.tile(speech, 3)[: 31 * 16000]

    mel = audio.log_mel(long)

    assert mel.shape == (80, 6000)
    np.testing.assert_allclose(mel[:, :3000], reference_mel(long[:480000]), atol=1e-5, rtol=0)
    np.testing.assert_allclose(mel[:, 3000:], reference_mel(long[480000:]), atol=1e-5, rtol=0)


@pytest.mark.slow
def test_mel_equals_transformers_on_a_tenth_of_a_second(speech: np.ndarray) -> None:
    part = speech[16000:17600]
    np.testing.assert_allclose(audio.log_mel(part), reference_mel(part), atol=1e-5, rtol=0)


@pytest.mark.slow
def test_mel_of_silence_is_the_constant_floor() -> None:
    silence = np.zeros(16000, np.float32)

    mel = audio.log_mel(silence)

    np.testing.assert_allclose(mel, -1.5, atol=1e-6)
    np.testing.assert_allclose(mel, reference_mel(silence), atol=1e-5, rtol=0)


@pytest.mark.slow
def test_filter_bank_equals_librosa() -> None:
    expected = library("librosa").filters.mel(sr=16000, n_fft=400, n_mels=80)
    np.testing.assert_allclose(audio.mel_filters().numpy(), expected, atol=1e-8, rtol=0)


def test_mel_v1_keeps_one_floor_and_fills_with_zero(speech: np.ndarray) -> None:
    quiet_then_loud = np.concatenate([speech[:160000] * 1e-3, np.zeros(480000, np.float32), speech])

    mel = audio.log_mel_v1(quiet_then_loud)
    frames = quiet_then_loud.size // 160

    assert mel.shape[1] % 3000 == 0
    assert mel[:, :frames].max() - mel[:, :frames].min() == pytest.approx(2.0)
    assert (mel[:, frames:] == 0).all()


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
def test_both_resamplers_give_the_same_features(rate: int) -> None:
    seconds = np.arange(2 * rate) / rate
    sweep = np.sin(2 * np.pi * (100 + 600 * seconds) * seconds) * 0.5
    clip = AudioClip(sweep[None].astype(np.float32), rate)

    first = audio.to_speech(clip, audio.resample_with_torchaudio)
    second = audio.to_speech(clip, audio.resample_with_pyav)

    assert first.shape == second.shape == (32000,)
    middle = slice(800, -800)
    assert np.abs(first[middle] - second[middle]).max() < 0.01
    mels = [audio.log_mel(part)[:, 20:180] for part in (first, second)]
    loud = mels[0] > mels[0].max() - 0.75  # 30 dB: below it the two low-pass slopes differ
    assert np.abs(mels[0] - mels[1])[loud].max() < 0.05


@pytest.mark.parametrize("resample", [audio.resample_with_torchaudio, audio.resample_with_pyav])
def test_parts_of_long_audio_meet_without_a_seam(
    resample: audio.Resampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = np.random.default_rng(3).normal(0, 0.1, (2, 44100 * 5 + 7)).astype(np.float32)
    clip = AudioClip(samples, 44100)
    whole = audio.to_speech(clip, resample)
    monkeypatch.setattr(audio, "PART_SECONDS", 2)
    assert np.abs(audio.to_speech(clip, resample) - whole).max() < 1e-6


@pytest.mark.slow
def test_resampling_real_speech_agrees_with_librosa(real_data: Path, speech: np.ndarray) -> None:
    librosa = library("librosa")
    clip = decode(real_data / "jfk.flac")
    reference = librosa.resample(clip.samples.mean(axis=0), orig_sr=44100, target_sr=16000)

    assert speech.size == math.ceil(clip.samples.shape[1] * 16000 / 44100) == reference.size
    assert np.corrcoef(speech, reference)[0, 1] > 0.9999


@pytest.mark.slow
def test_speech_is_made_without_torchaudio(tmp_path: Path) -> None:
    (tmp_path / "torchaudio.py").write_text("raise OSError('undefined symbol')")
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import conftest, logging, numpy as np;"
        "logging.basicConfig(level=logging.INFO);"
        "from avatarvideo.musetalk import audio; from avatarvideo.media import AudioClip;"
        "clip = AudioClip(np.zeros((2, 44100), np.float32), 44100);"
        "print(audio.to_speech(clip).size, audio.to_speech(clip).size)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}

    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )

    assert done.stdout.split() == ["16000", "16000"]
    assert done.stderr.count("PyAV resamples instead") == 1


def test_a_rate_without_common_divisor_is_resampled_in_bounded_memory() -> None:
    clip = AudioClip(np.zeros((1, 47999), np.float32), 47999)
    assert audio._resampler_for(47999) is audio.resample_with_pyav
    assert audio.to_speech(clip).shape == (16000,)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_refused(bad: float) -> None:
    clip = AudioClip(np.full((1, 1600), bad, np.float32), 16000)
    with pytest.raises(MediaError, match="finite audio samples"):
        audio.prepare_mel(clip)


def test_an_empty_clip_is_refused() -> None:
    with pytest.raises(MediaError, match="0 samples"):
        audio.prepare_mel(AudioClip(np.zeros((1, 0), np.float32), 16000))


def upstream_chunks(samples: int, fps: float) -> list[list[int]]:
    """MuseTalk's get_whisper_chunk on feature numbers; -1 stands for its zero padding."""
    rate = int(fps)
    step = 50 / rate
    count = math.floor((samples / 16000) * rate)
    length = math.floor((samples / 16000) * 50)
    lead = min(math.ceil(step) * 2, length)
    tail = min(math.ceil(step) * 3 * 2, length)
    sequence = [-1] * lead + list(range(length)) + [-1] * tail
    return [sequence[math.floor(i * step) :][:10] for i in range(count)]


def numbered(length: int) -> torch.Tensor:
    """Features that carry their own number plus one, so that zero means padding."""
    return (torch.arange(length) + 1.0)[:, None, None].expand(length, 5, 384)


def upstream_starts(count: int, fps: float) -> np.ndarray:
    """The features at which MuseTalk's own windows start: the rate cut to an integer."""
    step = 50 / int(fps)
    return np.array([math.floor(i * step) - math.ceil(step) * 2 for i in range(count)], np.int64)


@pytest.mark.parametrize("fps", [*range(10, 50), 23.976, 29.97])
@pytest.mark.parametrize("samples", [16000, 31999, 52800])
def test_upstream_windows_are_reproduced(fps: float, samples: int) -> None:
    expected = upstream_chunks(samples, fps)
    starts = upstream_starts(len(expected), fps)

    windows = audio.audio_windows(numbered(audio.feature_count(samples)), starts)

    got = windows.reshape(len(expected), 10, 5, 384)[:, :, 0, 0].long() - 1
    assert got.tolist() == expected


def test_windows_equal_upstream_at_25_fps() -> None:
    assert (audio.window_starts(3000, Fraction(25)) == upstream_starts(3000, 25)).all()


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(
    rate=st.fractions(min_value=5, max_value=120, max_denominator=1001),
    seconds=st.integers(1, 200),
)
def test_windows_follow_the_sound_at_any_rate(rate: Fraction, seconds: int) -> None:
    count = math.floor(seconds * rate + Fraction(1, 2))
    starts = audio.window_starts(count, rate)

    centres = (starts + audio.WINDOW_BEFORE) / audio.FEATURES_PER_SECOND
    times = np.array([float(i / rate) for i in range(count)])

    assert (times - centres >= -1e-9).all()
    assert (times - centres < 0.02 + 1e-9).all()


def test_window_tokens_are_ordered_time_then_layer() -> None:
    features = torch.arange(30 * 5, dtype=torch.float32).reshape(30, 5, 1).expand(30, 5, 384)
    windows = audio.audio_windows(features, np.array([3]))
    assert windows.shape == (1, 50, 384)
    assert windows[0, :, 0].tolist() == [float(3 * 5 + token) for token in range(50)]


def test_windows_of_v1_repeat_the_edges() -> None:
    starts = np.array([-4, 25])
    windows = audio.audio_windows(numbered(30), starts, repeat_edges=True)
    times = windows.reshape(2, 10, 5, 384)[:, :, 0, 0].tolist()
    assert times[0] == [1, 1, 1, 1, 1, 2, 3, 4, 5, 6]
    assert times[1] == [26, 27, 28, 29, 30, 30, 30, 30, 30, 30]
