"""A part of a video copied without encoding: it begins at a key frame, and the audio does too."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from avatarvideo.encoders import EncodingConfig, FFmpegEncoder
from support.av_sync import CAUSES, distances, flashes, make_clip

COPY = EncodingConfig(codec="copy")


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm", "ts"])
@pytest.mark.parametrize("cause", ["constant", "varying", "audio late", "cut"])
def test_a_copied_part_stays_in_sync(tmp_path: Path, suffix: str, cause: str) -> None:
    source = make_clip(tmp_path / f"in.{suffix}", CAUSES[cause])
    out = tmp_path / ("out.mkv" if suffix == "ts" else f"out.{suffix}")

    result = FFmpegEncoder().trim(source, out, Fraction(17, 10), Fraction(3), COPY)

    assert result.success, result.error
    assert abs(result.duration_seconds - 3) < 0.1
    found = distances(out)
    assert len(found) == 3
    assert max(map(abs, found)) < Fraction(1, 100)
    if cause != "cut":  # the key frame at 1 s; one event is under way, others come at 2 and 3.32 s
        seen = flashes(out)
        assert [round(float(flash - seen[0]), 2) for flash in seen] == [0, 1, 2.32]
