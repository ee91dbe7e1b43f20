"""A small decoder from latents to pictures: seventeen times less work than the autoencoder's.

Architecture of madebyollin/taesd (MIT), for the published ``taesd_decoder`` files; state-dict keys
are those of diffusers' ``AutoencoderTiny``. It was not trained for faces: ``ComparedDecoder`` says
how much its pictures differ from the full decoder's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .blocks import Stoppable
from .vae import AutoencoderKL

LATENT_SCALE = 0.18215  # the published weights take latents in Stable Diffusion's scale
LATENT_LIMIT = 3.0  # larger values are bent towards it


@dataclass(frozen=True)
class TAESDConfig:
    """Sizes of the decoder; the defaults are those of the published weights.

    blocks: residual blocks on each level, from the smallest; the picture doubles in between.
    """

    channels: int = 64
    latent_channels: int = 4
    image_channels: int = 3
    blocks: tuple[int, ...] = (3, 3, 3, 1)


class TAESDDecoder(Stoppable):
    """Latents to pictures, in the place of the full autoencoder's decoder."""

    def __init__(self, config: TAESDConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or TAESDConfig()
        self.decoder = nn.ModuleDict({"layers": _layers(config)})

    def blocks(self) -> Iterable[nn.Module]:
        """Return the layers."""
        return self.decoder["layers"].children()

    def decode(self, values: Tensor) -> Tensor:
        """Return pictures (B, 3, 8 h, 8 w): RGB, about -1..1, not clamped.

        values (B, 4, h, w): latents divided by the scale, as the full decoder takes them.
        """
        hidden = torch.tanh(values * (LATENT_SCALE / LATENT_LIMIT)) * LATENT_LIMIT
        return self.decoder["layers"](hidden) * 2 - 1  # the weights make 0..1


def _layers(config: TAESDConfig) -> nn.Sequential:
    width = config.channels
    layers: list[nn.Module] = [_conv3(config.latent_channels, width), nn.ReLU()]
    for level, count in enumerate(config.blocks):
        layers += [_Block(width) for _ in range(count)]
        if level < len(config.blocks) - 1:
            layers += [nn.Upsample(scale_factor=2), _conv3(width, width, bias=False)]
    return nn.Sequential(*layers, _conv3(width, config.image_channels))


class _Block(nn.Module):
    """Three convolutions beside a skip."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first, second, third = (_conv3(channels, channels) for _ in range(3))
        self.conv = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.relu(self.conv(inputs) + inputs)


def _conv3(channels: int, out_channels: int, *, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(channels, out_channels, 3, padding=1, bias=bias)


class ComparedDecoder(nn.Module):
    """The small decoder; the first picture is decoded by the full one too, to know the difference.

    mean_difference: of that picture's colour values, in levels of 0..255; None before it.
    psnr: the same as peak signal to noise ratio, dB.
    """

    def __init__(self, small: TAESDDecoder, full: AutoencoderKL | TAESDDecoder) -> None:
        super().__init__()
        self.small = small
        self.full = full
        self.mean_difference: float | None = None
        self.psnr: float | None = None

    def decode(self, values: Tensor) -> Tensor:
        """Return pictures (B, 3, 8 h, 8 w): RGB, about -1..1, by the small decoder."""
        images = self.small.decode(values)
        # Nothing can be looked at while a GPU only records what is to be done.
        recorded = values.is_cuda and torch.cuda.is_current_stream_capturing()
        if self.mean_difference is None and not recorded:
            self._compare(images[:1], self.full.decode(values[:1]))
        return images

    def _compare(self, small: Tensor, full: Tensor) -> None:
        difference = (_levels(small) - _levels(full)).double()
        if torch.isfinite(difference).all():  # else the batch is computed again in full precision
            self.mean_difference = float(difference.abs().mean())
            error = max(float(difference.square().mean()), 1e-12)
            self.psnr = 10 * torch.log10(torch.tensor(255.0**2 / error)).item()


def _levels(images: Tensor) -> Tensor:
    return (images.float() / 2 + 0.5).clamp(0, 1) * 255
