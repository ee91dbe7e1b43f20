"""The one rate that a file of varying rate is meant for."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from avatarvideo.encoders import FFmpegEncoder
from avatarvideo.encoders.interfaces import EncodingConfig
from avatarvideo.encoders.read.file_clip import open_video_file
from avatarvideo.encoders.read.stream_facts import nominal_rate, usual_rate
from avatarvideo.musetalk.source_frames import own_rate, time_notes

MILLISECOND = Fraction(1, 1000)


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(30), Fraction(60)])
@pytest.mark.parametrize("unit", [MILLISECOND, Fraction(1, 90000)])
def test_of_two_near_rates_the_frames_own_steps_choose(rate: Fraction, unit: Fraction) -> None:
    kept = [n for n in range(120) if n < 40 or (n < 80 and n % 3 == 0) or (n >= 80 and n % 5)]
    times = [round(number / rate / unit) * unit for number in kept]
    assert nominal_rate(times, Fraction(20)) == usual_rate(times, Fraction(20)) == rate


def test_steps_of_no_standard_rate_are_taken_as_they_are() -> None:
    tenths = [Fraction(time, 10) for time in (0, 1, 2, 3, 4, 20)]
    assert nominal_rate(tenths, Fraction(3)) == 10


def test_an_animation_has_one_rate_at_every_door(tmp_path: Path) -> None:
    path = tmp_path / "in.gif"
    first, *others = (
        Image.fromarray(np.full((48, 64, 3), 20 * number, np.uint8)) for number in range(5)
    )
    first.save(path, save_all=True, append_images=others, duration=[100] * 4 + [600])
    clip = open_video_file(path)

    made = FFmpegEncoder().encode(path, tmp_path / "out.mp4", EncodingConfig(quality="fast"))

    assert (made.fps, made.frame_count, own_rate(clip)) == (10, 10, 10)
    assert time_notes(clip, Fraction(0)) == (
        "The avatar's frame rate varies, 5.00 on average: its frames are chosen by their times, "
        "and fps 0 means 10.",
    )
