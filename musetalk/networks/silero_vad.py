"""Silero's voice activity network for 16 kHz: sound in, one probability of speech every 32 ms out.

State-dict keys are those of ``silero_vad.jit`` below ``_model``, but for the recurrent cell's.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

CHUNK = 512  # samples that one probability is of
CONTEXT = 64  # samples heard before them
FILTER, HOP = 256, 128  # of the short-time spectrum
BINS = FILTER // 2 + 1
WIDTH = 128  # of the recurrent cell
_LAYERS = ((BINS, 128, 1), (128, 64, 2), (64, 64, 2), (64, WIDTH, 1))  # in, out, stride


class State(NamedTuple):
    """What the cell remembers, (1, 1, 128) each."""

    hidden: Tensor
    cell: Tensor


class SileroVAD(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.empty(2 * BINS, 1, FILTER))
        self.encoder = nn.ModuleList(
            nn.Conv1d(inside, out, 3, stride, padding=1) for inside, out, stride in _LAYERS
        )
        self.rnn = nn.LSTM(WIDTH, WIDTH)
        self.out = nn.Conv1d(WIDTH, 1, 1)

    def forward(self, samples: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Return float32 (N,), 0..1 for each chunk, and what to pass on to the chunks after them.

        samples: float32 (64 + 512 N,), the chunks behind the last 64 samples before them (zeros at
            the beginning). state: what the call for the chunks before returned.
        """
        chunks = samples.unfold(0, CONTEXT + CHUNK, CHUNK).unsqueeze(1)
        padded = functional.pad(chunks, (0, CONTEXT), "reflect")
        real, imaginary = functional.conv1d(padded, self.basis, stride=HOP).chunk(2, dim=1)
        maps = torch.sqrt(real**2 + imaginary**2)
        for convolution in self.encoder:
            maps = functional.relu(convolution(maps))
        hidden, state_after = self.rnn(maps.squeeze(2).unsqueeze(1), state)
        logits = self.out(functional.relu(hidden).transpose(1, 2))
        return torch.sigmoid(logits).flatten(), State(*state_after)
