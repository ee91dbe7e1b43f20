"""MuseTalk's UNet: masked and reference face latents plus speech in, latents of the face out.

Architecture of Stable Diffusion 1's ``UNet2DConditionModel`` with 8 input channels and audio
features of width 384 as context, run once at time step 0: no noise, no schedule, no guidance.
State-dict keys are those of the published ``unet.pth`` (1.5) and ``pytorch_model.bin`` (1.0).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from .blocks import RepeatAndConvolve, ResidualConvs, Stoppable, attended

RESNET_EPSILON = 1e-5
TRANSFORMER_EPSILON = 1e-6  # only of the GroupNorm that opens a transformer
AUDIO_TOKENS = 50  # of one video frame: 10 moments x 5 hidden states


@dataclass(frozen=True)
class UNetConfig:
    """Sizes of the UNet; the defaults are those of both published models.

    The last level has no attention, on the way down as on the way up.
    """

    in_channels: int = 8
    out_channels: int = 4
    block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280)
    layers_per_block: int = 2
    attention_heads: int = 8  # the published config calls this number "attention_head_dim"
    cross_attention_dim: int = 384
    norm_num_groups: int = 32


def audio_positions(tokens: int = AUDIO_TOKENS, width: int = 384) -> Tensor:
    """Return the table (tokens, width) that is added to audio features before the UNet.

    float32, sine in even and cosine in odd columns (Vaswani et al. 2017). It is in no checkpoint.
    In half precision the reference rounds the table first and then adds.
    """
    places = torch.arange(tokens, dtype=torch.float32).unsqueeze(1)
    rates = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-math.log(10000) / width))
    return torch.stack([torch.sin(places * rates), torch.cos(places * rates)], dim=2).flatten(1)


class UNet(Stoppable):
    """One forward pass makes one batch of face latents."""

    def __init__(self, config: UNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or UNetConfig()
        widths = config.block_out_channels
        self.conv_in = nn.Conv2d(config.in_channels, widths[0], 3, padding=1)
        self.time_embedding = TimeEmbedding(widths[0])
        self.down_blocks = nn.ModuleList(DownBlock(config, level) for level in range(len(widths)))
        self.mid_block = MidBlock(config)
        self.up_blocks = nn.ModuleList(UpBlock(config, level) for level in range(len(widths)))
        self.conv_norm_out = nn.GroupNorm(config.norm_num_groups, widths[0], eps=RESNET_EPSILON)
        self.conv_act = nn.SiLU(inplace=True)
        self.conv_out = nn.Conv2d(widths[0], config.out_channels, 3, padding=1)

    def blocks(self) -> Iterator[nn.Module]:
        """Return the residual blocks."""
        return (module for module in self.modules() if isinstance(module, ResnetBlock))

    def forward(
        self, latents: Tensor, audio_features: Tensor, hears: Tensor | None = None
    ) -> Tensor:
        """Return face latents (B, 4, 32, 32), scaled by 0.18215.

        latents (B, 8, 32, 32): masked then reference latents, each scaled by 0.18215.
        audio_features (W, 50, 384): windows of speech, positions added.
        hears: int64 (B,), which window each frame hears, so that those heard by several are
            attended to with the same keys and values; None: its own, W equals B.
        Features and latents of the weights' dtype. ValueError when the shapes do not fit.
        """
        self._check(latents, audio_features, hears)
        heard = Heard(audio_features, hears)
        time = self.time_embedding()
        hidden = self.conv_in(latents)
        skips = [hidden]
        for block in self.down_blocks:
            hidden = block(hidden, time, heard, skips)
        hidden = self.mid_block(hidden, time, heard)
        for block in self.up_blocks:
            hidden = block(hidden, time, heard, skips)
        return self.conv_out(self.conv_act(self.conv_norm_out(hidden)))

    def _check(self, latents: Tensor, audio_features: Tensor, hears: Tensor | None) -> None:
        config = self.config
        multiple = 2 ** (len(config.block_out_channels) - 1)
        fits = latents.ndim == 4 and latents.shape[1] == config.in_channels
        if not fits or any(side % multiple for side in latents.shape[2:]):
            raise ValueError(
                f"Expected latents of shape (B, {config.in_channels}, H, W) with H and W multiples "
                f"of {multiple}, got {tuple(latents.shape)}."
            )
        frames = latents.shape[0]
        windows = frames if hears is None else len(audio_features)
        wanted = (windows, config.cross_attention_dim)
        if audio_features.ndim != 3 or audio_features.shape[::2] != wanted:
            raise ValueError(
                f"Expected audio features of shape ({windows}, tokens, "
                f"{config.cross_attention_dim}), got {tuple(audio_features.shape)}."
            )
        if hears is not None and hears.shape != (frames,):
            raise ValueError(
                f"Expected one window's number for each of {frames} frames, got the shape "
                f"{tuple(hears.shape)}."
            )


class Heard(NamedTuple):
    """What is attended to: features (W, L, D), and which of the W each sample takes, int64 (B,)."""

    features: Tensor
    hears: Tensor | None = None

    def by_frame(self, tokens: Tensor) -> Tensor:
        """Return one row of tokens (W, L, C) for each sample."""
        return tokens if self.hears is None else tokens[self.hears]


class TimeEmbedding(nn.Module):
    """The embedding of time step 0, the same for every sample and run."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(channels, 4 * channels)
        self.linear_2 = nn.Linear(4 * channels, 4 * channels)

    def forward(self) -> Tensor:
        """Return (1, 4 C), after the SiLU with which every residual block begins to use it."""
        weight = self.linear_1.weight
        sinusoid = weight.new_zeros(1, weight.shape[1])
        sinusoid[:, : weight.shape[1] // 2] = 1  # cosines of 0 come first, then its sines
        return functional.silu(self.linear_2(functional.silu(self.linear_1(sinusoid))))


class DownBlock(nn.Module):
    """Residual blocks of one level, each with attention but in the last level, then half size."""

    def __init__(self, config: UNetConfig, level: int) -> None:
        super().__init__()
        widths = config.block_out_channels
        is_last = level == len(widths) - 1
        width, layers = widths[level], config.layers_per_block
        channels = [widths[max(level - 1, 0)], *[width] * (layers - 1)]
        self.resnets = nn.ModuleList(ResnetBlock(config, each, width) for each in channels)
        attentions = 0 if is_last else layers
        self.attentions = nn.ModuleList(Transformer(config, width) for _ in range(attentions))
        self.downsamplers = nn.ModuleList([] if is_last else [Downsample(width)])

    def forward(self, hidden: Tensor, time: Tensor, heard: Heard, skips: list[Tensor]) -> Tensor:
        """Return the next level's input; everything made on the way is appended to ``skips``."""
        for index, resnet in enumerate(self.resnets):
            hidden = resnet(hidden, time)
            if self.attentions:
                hidden = self.attentions[index](hidden, heard)
            skips.append(hidden)
        for downsampler in self.downsamplers:
            hidden = downsampler(hidden)
            skips.append(hidden)
        return hidden


class MidBlock(nn.Module):
    """Residual block, attention, residual block at the smallest size."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        channels = config.block_out_channels[-1]
        self.resnets = nn.ModuleList(ResnetBlock(config, channels, channels) for _ in range(2))
        self.attentions = nn.ModuleList([Transformer(config, channels)])

    def forward(self, hidden: Tensor, time: Tensor, heard: Heard) -> Tensor:
        hidden = self.attentions[0](self.resnets[0](hidden, time), heard)
        return self.resnets[1](hidden, time)


class UpBlock(nn.Module):
    """Residual blocks that take one skip each, with attention but at the start, then twice size.

    level counts from the smallest size up.
    """

    def __init__(self, config: UNetConfig, level: int) -> None:
        super().__init__()
        widths = config.block_out_channels[::-1]
        layers = config.layers_per_block + 1
        self.resnets = nn.ModuleList()
        self.attentions = nn.ModuleList()
        channels = widths[max(level - 1, 0)]
        for layer in range(layers):
            # The last skip taken by a level was made by the level below it on the way down.
            is_deeper = layer < layers - 1
            skip = widths[level] if is_deeper else widths[min(level + 1, len(widths) - 1)]
            self.resnets.append(ResnetBlock(config, channels + skip, widths[level]))
            if level:
                self.attentions.append(Transformer(config, widths[level]))
            channels = widths[level]
        is_last = level == len(widths) - 1
        self.upsamplers = nn.ModuleList([] if is_last else [Upsample(channels)])

    def forward(self, hidden: Tensor, time: Tensor, heard: Heard, skips: list[Tensor]) -> Tensor:
        """Return the next level's input; ``skips`` is used up from its end."""
        for index, resnet in enumerate(self.resnets):
            hidden = resnet(torch.cat([hidden, skips.pop()], dim=1), time)
            if self.attentions:
                hidden = self.attentions[index](hidden, heard)
        for upsampler in self.upsamplers:
            hidden = upsampler(hidden)
        return hidden


class ResnetBlock(ResidualConvs):
    """Two normalised convolutions beside a skip; the time path is added between them."""

    def __init__(self, config: UNetConfig, channels: int, out_channels: int) -> None:
        super().__init__(channels, out_channels, config.norm_num_groups, RESNET_EPSILON)
        self.time_emb_proj = nn.Linear(4 * config.block_out_channels[0], out_channels)

    def forward(self, inputs: Tensor, time: Tensor) -> Tensor:
        return self.convolved(inputs, self.time_emb_proj(time)[:, :, None, None])


class Transformer(nn.Module):
    """One transformer block over the pixels of a feature map, beside a skip."""

    def __init__(self, config: UNetConfig, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(config.norm_num_groups, channels, eps=TRANSFORMER_EPSILON)
        self.proj_in = nn.Conv2d(channels, channels, 1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(config, channels)])
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, inputs: Tensor, heard: Heard) -> Tensor:
        projected = self.proj_in(self.norm(inputs))
        pixels = projected.flatten(2).transpose(1, 2)  # (B, HW, C)
        pixels = self.transformer_blocks[0](pixels, heard)
        return inputs + self.proj_out(pixels.transpose(1, 2).reshape(inputs.shape))


class TransformerBlock(nn.Module):
    """Attention among pixels, attention to the audio, feed-forward; each normalised first."""

    def __init__(self, config: UNetConfig, channels: int) -> None:
        super().__init__()
        heads = config.attention_heads
        self.norm1 = nn.LayerNorm(channels)
        self.attn1 = Attention(channels, channels, heads)
        self.norm2 = nn.LayerNorm(channels)
        self.attn2 = Attention(channels, config.cross_attention_dim, heads)
        self.norm3 = nn.LayerNorm(channels)
        self.ff = FeedForward(channels)

    def forward(self, pixels: Tensor, heard: Heard) -> Tensor:
        normalised = self.norm1(pixels)
        pixels = pixels + self.attn1(normalised, Heard(normalised))
        pixels = pixels + self.attn2(self.norm2(pixels), heard)
        return pixels + self.ff(self.norm3(pixels))


class Attention(nn.Module):
    """Multi-head attention from pixels to a context of another width."""

    def __init__(self, channels: int, context_channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(context_channels, channels, bias=False)
        self.to_v = nn.Linear(context_channels, channels, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, pixels: Tensor, heard: Heard) -> Tensor:
        key = heard.by_frame(self.to_k(heard.features))
        value = heard.by_frame(self.to_v(heard.features))
        return self.to_out[0](attended(self.to_q(pixels), key, value, self.heads))


class FeedForward(nn.Module):
    """A gated layer of four times the width, and back."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # The empty place in the middle is the training code's dropout: it keeps the keys' numbers.
        self.net = nn.Sequential(
            GatedGELU(channels, 4 * channels), nn.Identity(), nn.Linear(4 * channels, channels)
        )

    def forward(self, pixels: Tensor) -> Tensor:
        return self.net(pixels)


class GatedGELU(nn.Module):
    """A linear layer whose second half gates the first through an exact GELU."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.proj = nn.Linear(channels, 2 * out_channels)

    def forward(self, pixels: Tensor) -> Tensor:
        value, gate = self.proj(pixels).chunk(2, dim=-1)
        return value * functional.gelu(gate)


class Downsample(nn.Module):
    """Halve the size with a strided convolution, padded on all sides."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.conv(inputs)


class Upsample(RepeatAndConvolve):
    """Twice the size."""
