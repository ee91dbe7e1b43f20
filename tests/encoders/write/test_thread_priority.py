"""Encoding leaves the scheduling of this process's threads as it was."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from avatarvideo.encoders.encoder import encode_frames
from avatarvideo.encoders.interfaces import EncodingConfig
from avatarvideo.encoders.write.thread_priority import kept_priority


def _policies() -> list[int]:
    return [os.sched_getscheduler(int(one.name)) for one in Path("/proc/self/task").iterdir()]


@pytest.mark.skipif(sys.platform != "linux", reason="only there an encoder changes it")
def test_no_thread_becomes_a_real_time_one(tmp_path: Path) -> None:
    while_encoding: list[int] = []

    def pictures() -> Iterator[np.ndarray]:
        for index in range(4):
            if index == 3:
                while_encoding.extend(_policies())
            yield np.full((64, 64, 3), 60 * index, np.uint8)

    before = set(_policies())
    path = tmp_path / "a.mkv"
    config = EncodingConfig(codec="av1", quality="fast")
    encode_frames(pictures(), path, frame_rate=Fraction(25), config=config)

    assert len(while_encoding) > 4  # the encoder's own among them
    assert set(while_encoding) == before
    assert set(_policies()) == before


@pytest.mark.skipif(not hasattr(os, "sched_setscheduler"), reason="nothing to change there")
def test_what_was_set_before_is_given_back() -> None:
    before = os.sched_getscheduler(0)
    with kept_priority():
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    assert os.sched_getscheduler(0) == before
