"""Whisper's encoder: log-mel in, the five hidden states MuseTalk listens to out.

Architecture of the ``tiny`` model's encoder (Radford et al. 2022). State-dict keys are those of
the Hugging Face files, ``model.encoder.`` included.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .blocks import Stoppable, attended


@dataclass(frozen=True)
class WhisperConfig:
    """Sizes of the encoder; the defaults are those of ``tiny``.

    positions: output moments of one 30 s segment, 50 a second; the mel has twice as many frames.
    """

    mel_bins: int = 80
    positions: int = 1500
    width: int = 384
    heads: int = 6
    layers: int = 4


class WhisperEncoder(Stoppable):
    """The encoder, without any of the decoder."""

    def __init__(self, config: WhisperConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or WhisperConfig()
        self.model = nn.ModuleDict({"encoder": _Encoder(config)})

    def blocks(self) -> Iterable[nn.Module]:
        """Return the transformer blocks."""
        return self.model["encoder"].get_submodule("layers").children()

    def forward(self, log_mel: Tensor, *, normalise_last: bool = True) -> Tensor:
        """Return the hidden states stacked: (B, 1500, 5, 384), from the first block's input on.

        log_mel (B, 80, 3000): one 30 s segment each, of the weights' dtype.
        normalise_last: the last state goes through the final LayerNorm, as MuseTalk 1.5 has it;
            False leaves it raw, as the release of MuseTalk 1.0 had it.
        ValueError when the shape does not fit.
        """
        wanted = (self.config.mel_bins, 2 * self.config.positions)
        if log_mel.ndim != 3 or log_mel.shape[1:] != wanted:
            raise ValueError(
                f"Expected a log-mel of shape (B, {wanted[0]}, {wanted[1]}), "
                f"got {tuple(log_mel.shape)}."
            )
        states = self.model["encoder"](log_mel, normalise_last)
        return torch.stack(states, dim=2)


class _Encoder(nn.Module):
    """What lies under the prefix ``model.encoder.``."""

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(config.mel_bins, config.width, 3, padding=1)
        self.conv2 = nn.Conv1d(config.width, config.width, 3, stride=2, padding=1)
        # Not drawn: on the meta device torch imports its compiler for that, which takes seconds.
        positions = torch.zeros(config.positions, config.width)
        self.embed_positions = nn.Embedding(config.positions, config.width, _weight=positions)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.layer_norm = nn.LayerNorm(config.width)

    def forward(self, log_mel: Tensor, normalise_last: bool) -> list[Tensor]:
        hidden = functional.gelu(self.conv2(functional.gelu(self.conv1(log_mel))))
        hidden = hidden.transpose(1, 2) + self.embed_positions.weight
        states = [hidden]
        for block in self.layers:
            hidden = block(hidden)
            states.append(hidden)
        if normalise_last:
            states[-1] = self.layer_norm(hidden)
        return states


class Block(nn.Module):
    """Self-attention and feed-forward, each normalised first."""

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__()
        self.self_attn = Attention(config.width, config.heads)
        self.self_attn_layer_norm = nn.LayerNorm(config.width)
        self.fc1 = nn.Linear(config.width, 4 * config.width)
        self.fc2 = nn.Linear(4 * config.width, config.width)
        self.final_layer_norm = nn.LayerNorm(config.width)

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = hidden + self.self_attn(self.self_attn_layer_norm(hidden))
        inner = functional.gelu(self.fc1(self.final_layer_norm(hidden)))
        hidden = hidden + self.fc2(inner)
        if hidden.dtype == torch.float16:  # loud segments can leave float16's range here
            limit = torch.finfo(torch.float16).max - 1000
            hidden = hidden.clamp(-limit, limit)
        return hidden


class Attention(nn.Module):
    """Multi-head self-attention without a mask; keys have no bias."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        query, key, value = self.q_proj(hidden), self.k_proj(hidden), self.v_proj(hidden)
        return self.out_proj(attended(query, key, value, self.heads))
