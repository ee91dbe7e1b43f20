"""A singer brought out of the music: what neither rests on a pitch nor is struck.

Over half a second an instrument's partials stay where they are, a voice's waver; in 30 ms a voice
has a pitch and a drum has none. So the first look keeps what changes, the second what has a pitch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import pad

from .levels import SAMPLE_RATE

istft: Callable[..., torch.Tensor] = torch.istft  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - it has no types
PIECE, MOST_PIECES = 10 * SAMPLE_RATE, 6  # a longer recording is judged by that much of it
ROWS = 64  # medians taken at a time
PEAK = 0.5
FOREGROUND_BYTES = 40 * 1024 * 1024  # alive at once in a piece, with slack


class Look(NamedTuple):
    """window, hop: samples. along_time, along_pitch: places of the medians."""

    window: int
    hop: int
    along_time: int
    along_pitch: int
    keeps_pitched: bool


LOOKS = (Look(4096, 1024, 9, 25, keeps_pitched=False), Look(512, 128, 17, 17, keeps_pitched=True))


def pieces(speech: np.ndarray) -> list[np.ndarray]:
    """Return the recording, float32 (N,), in pieces; of a long one as many, evenly spread."""
    count = -(-speech.size // PIECE)
    firsts = np.linspace(0, max(speech.size - PIECE, 0), min(count, MOST_PIECES)).astype(int)
    return [speech[first : first + PIECE] for first in firsts.tolist()]


def foreground(piece: np.ndarray) -> np.ndarray:
    """Return what may be a voice in a piece, float32 (N,), as loud as a voice."""
    sound = torch.as_tensor(np.ascontiguousarray(piece, np.float32))
    for look in LOOKS:
        if sound.numel() <= look.window:
            return piece
        sound = _kept(sound, look)
    return (sound * (PEAK / sound.abs().max().clamp(min=1e-6))).numpy()


def _kept(sound: torch.Tensor, look: Look) -> torch.Tensor:
    window = torch.hann_window(look.window)
    spectrum = torch.stft(sound, look.window, look.hop, window=window, return_complex=True)
    heights = spectrum.abs()
    pitched = _median(heights, look.along_time) ** 2
    struck = _median(heights.T, look.along_pitch).T ** 2
    kept = pitched if look.keeps_pitched else struck
    share = kept / (pitched + struck + 1e-12)
    return istft(spectrum * share, look.window, look.hop, window=window, length=sound.numel())


def _median(heights: torch.Tensor, places: int) -> torch.Tensor:
    """Return the medians along the last axis."""
    reach = places // 2
    padded = pad(heights, (reach, reach), mode="replicate")
    parts = torch.split(padded.unfold(-1, places, 1), ROWS)
    return torch.cat([torch.median(part, -1).values for part in parts])
