"""A flash and its beep stay together whatever is odd about a file: cause x container x door."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from support.av_sync import CAUSES, CONTAINERS, measure

# One of each cause, in containers that keep time in different ways; the others are slow.
QUICK = {("varying", "mp4"), ("cut", "ts")}
LEAST_EVENTS = 3  # five are made, of which up to two lie in what was cut off


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("cause", "container"),
    [
        pytest.param(*cell, marks=() if cell in QUICK else pytest.mark.slow)
        for cell in itertools.product(CAUSES, CONTAINERS)
    ],
)
def test_picture_and_audio_stay_within_a_frame(tmp_path: Path, cause: str, container: str) -> None:
    cells = measure(cause, container, tmp_path)

    assert [cell.door for cell in cells] == ["none", "lipsync", "encode", "add_audio"]
    for cell in cells:
        assert cell.events >= LEAST_EVENTS, cell
        assert cell.worst <= 1, cell
