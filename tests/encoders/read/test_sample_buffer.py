"""Blocks become one array, whatever length the file stated."""

from __future__ import annotations

import numpy as np
import pytest

from avatarvideo.encoders.read import sample_buffer
from avatarvideo.encoders.read.sample_buffer import SampleBuffer


@pytest.mark.parametrize("expected", [0, 50, 100, 103, 1000])
@pytest.mark.parametrize("channels", [1, 3])
def test_blocks_become_one_array(
    monkeypatch: pytest.MonkeyPatch, expected: int, channels: int
) -> None:
    monkeypatch.setattr(sample_buffer, "PIECE", 30)
    samples = np.random.default_rng(0).normal(size=(channels, 100)).astype(np.float32)
    buffer = SampleBuffer(expected)
    for first in range(0, 100, 7):
        buffer.add(samples[:, first : first + 7])
    found = buffer.samples()
    assert np.array_equal(found, samples)
    assert found.flags.c_contiguous
