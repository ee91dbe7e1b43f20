"""The values that travel: rates, counts, clips, boxes."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from avatarvideo.errors import MediaError
from avatarvideo.media import (
    NTSC_NOMINAL,
    NTSC_REACH,
    AudioClip,
    check_fps,
    frame_count_for,
    is_own_rate,
    parse_frame_rate,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (25, Fraction(25)),
        (25.0, Fraction(25)),
        ("25", Fraction(25)),
        (23.976, Fraction(24000, 1001)),
        ("29.97", Fraction(30000, 1001)),
        (59.94, Fraction(60000, 1001)),
        ("30000/1001", Fraction(30000, 1001)),
        (12.5, Fraction(25, 2)),
        (Fraction(100, 7), Fraction(100, 7)),
        (33.33, Fraction(3333, 100)),
        (23.98, Fraction(24000, 1001)),
        (119.88, Fraction(120000, 1001)),
        (203.8, Fraction(1019, 5)),
        (49.95, Fraction(999, 20)),
        (1 / 3, Fraction(1, 3)),
        (np.float32(29.97), Fraction(30000, 1001)),
        (np.float32(12.5), Fraction(25, 2)),
        (np.int64(24), Fraction(24)),
        (Decimal("59.94"), Fraction(60000, 1001)),
        (torch.tensor(29.97), Fraction(30000, 1001)),
        (Fraction(29.97), Fraction(30000, 1001)),
        (Fraction(33.33), Fraction(3333, 100)),
        (Fraction(23.976), Fraction(24000, 1001)),
        (Fraction(10**12, 4 * 10**10 + 1), Fraction(25)),
    ],
)
def test_rates_are_exact(value: float | str | Fraction, expected: Fraction) -> None:
    assert parse_frame_rate(value) == expected


@pytest.mark.slow
@given(
    st.fractions(min_value=1, max_value=240, max_denominator=100)
    | st.sampled_from([24, 30, 48, 60, 120]).map(lambda rate: Fraction(1000 * rate, 1001))
)
def test_a_rate_survives_a_float_on_its_way(rate: Fraction) -> None:
    ntsc = [Fraction(1000 * nominal, 1001) for nominal in NTSC_NOMINAL]
    assume(rate in ntsc or all(abs(rate - each) >= NTSC_REACH for each in ntsc))  # 29.97 is one
    assert parse_frame_rate(float(rate)) == rate
    assert parse_frame_rate(Fraction(float(rate))) == rate


@pytest.mark.parametrize(
    "value",
    [0, -1, 241, "x", "1/0", float("nan"), float("inf"), None, [], "1e99999999", "9" * 5000, ""],
)
def test_impossible_rates_are_refused(value: float | str) -> None:
    with pytest.raises(MediaError, match="frame rate"):
        parse_frame_rate(value)


@pytest.mark.parametrize("seconds", [2, 7, 1000, 1428.5, 3600, 86400])
def test_how_long_a_picture_stays_is_exact_in_slow_rates(seconds: float) -> None:
    assert parse_frame_rate(1 / seconds) == 1 / Fraction(seconds)


@pytest.mark.parametrize("value", [1e-6, "1e-300", Fraction(1, 10**12)])
def test_less_than_a_picture_a_day_is_said(value: float | str | Fraction) -> None:
    with pytest.raises(MediaError, match=r"at least one picture a day \(1/86400\), got"):
        parse_frame_rate(value)


@given(
    samples=st.integers(1600, 10_000_000),
    rate=st.sampled_from([8000, 16000, 22050, 44100, 48000]),
    fps=st.fractions(min_value=1, max_value=120, max_denominator=1001),
)
def test_the_video_is_within_half_a_frame_of_the_sound(
    samples: int, rate: int, fps: Fraction
) -> None:
    count = frame_count_for(samples, rate, fps)
    off = abs(count / fps - Fraction(samples, rate))
    assert off <= 1 / (2 * fps) or count == 1


@pytest.mark.parametrize(
    ("samples", "expected"), [(16000, 25), (16319, 25), (16320, 26), (320, 1), (480, 1), (960, 2)]
)
def test_half_a_frame_rounds_up(samples: int, expected: int) -> None:
    assert frame_count_for(samples, 16000, Fraction(25)) == expected


def test_speech_under_20_ms_is_refused() -> None:
    with pytest.raises(MediaError, match=r"at least 20 ms of speech, got 10\.0 ms"):
        frame_count_for(160, 16000, Fraction(25))


def test_a_clip_is_trimmed_to_the_sample() -> None:
    clip = AudioClip(np.arange(100, dtype=np.float32)[None], 10)

    part = clip.trimmed(Fraction(2), Fraction(3))

    assert part.samples[0].tolist() == list(range(20, 50))
    assert clip.trimmed(Fraction(9), Fraction(0)).samples.shape == (1, 10)


def test_a_start_past_the_end_is_refused() -> None:
    clip = AudioClip(np.zeros((1, 100), np.float32), 10)
    with pytest.raises(MediaError, match=r"inside the 10\.00 s"):
        clip.trimmed(Fraction(10), Fraction(0))


@pytest.mark.parametrize(
    "samples", [np.zeros(4, np.float32), np.zeros((1, 4)), np.zeros((0, 4), np.float32)]
)
def test_a_clip_of_another_shape_is_refused(samples: np.ndarray) -> None:
    with pytest.raises(MediaError, match="Expected audio"):
        AudioClip(samples, 16000)


@pytest.mark.parametrize("rate", [0, 0.0, "0", " 0.0 ", "0/1", Fraction(0)])
def test_a_rate_of_0_in_any_form_is_the_sources_own(rate: float | str | Fraction) -> None:
    check_fps(rate)
    assert is_own_rate(rate)


@pytest.mark.parametrize("rate", [25, "25", False, "", "none", "1/0", "nan", -0.5, b"0"])
def test_what_is_no_rate_of_0_is_not_the_sources_own(rate: object) -> None:
    assert not is_own_rate(rate)  # type: ignore[arg-type]
