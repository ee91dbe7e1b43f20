"""Blocks of samples become one array, without a second copy of them on the way."""

from __future__ import annotations

import numpy as np

PIECE = 1 << 20  # samples moved at a time
GROWTH = 5 / 4


class SampleBuffer:
    """Collects blocks, float32 (channels, n). expected: samples a channel, as far as known."""

    def __init__(self, expected: int) -> None:
        self._expected = expected
        self._array: np.ndarray | None = None
        self.count = 0  # samples a channel

    def add(self, block: np.ndarray) -> None:
        end = self.count + block.shape[1]
        if self._array is None:
            self._array = np.empty((len(block), max(end, self._expected)), np.float32)
        if end > self._array.shape[1]:
            larger = np.empty((len(block), max(end, round(end * GROWTH))), np.float32)
            larger[:, : self.count] = self._array[:, : self.count]
            self._array = larger
        self._array[:, self.count : end] = block
        self.count = end

    def samples(self) -> np.ndarray:
        """Return what was collected, contiguous (channels, count). Ends the collecting."""
        array, count = self._array, self.count
        assert array is not None
        channels, capacity = array.shape
        if 2 * count < capacity:  # a file that stated far too much
            return array[:, :count].copy()
        flat = array.reshape(-1)
        for channel in range(1, channels if count < capacity else 1):
            for first in range(0, count, PIECE):
                here = slice(first, min(first + PIECE, count))
                flat[channel * count :][here] = flat[channel * capacity :][here]
        return flat[: channels * count].reshape(channels, count)
