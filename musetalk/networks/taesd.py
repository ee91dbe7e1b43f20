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
    layers: list[nn.Module] = [_conv3(config.latent_channels, width), nn.ReLU(inplace=True)]
    for level, count in enumerate(config.blocks):
        layers += [_Block(width) for _ in range(count)]
        if level < len(config.blocks) - 1:
            convolution = ConvOfRepeated(width, width, 3, padding=1, bias=False)
            layers += [Repeat(scale_factor=2.0), convolution]
    return nn.Sequential(*layers, _conv3(width, config.image_channels))


class Repeat(nn.Upsample):
    """Twice the size, every pixel repeated: before a ConvOfRepeated."""


class ConvOfRepeated(nn.Conv2d):
    """The convolution of such a map."""


class _Block(nn.Module):
    """Three convolutions beside a skip."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first, second, third = (_conv3(channels, channels) for _ in range(3))
        relus = nn.ReLU(inplace=True), nn.ReLU(inplace=True)
        self.conv = nn.Sequential(first, relus[0], second, relus[1], third)

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.relu_(self.conv(inputs).add_(inputs))


def _conv3(channels: int, out_channels: int, *, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(channels, out_channels, 3, padding=1, bias=bias)


class ComparedDecoder(nn.Module):
    """The small decoder, which keeps the first picture's latents to be decoded by the full one too.

    mean_difference: of that picture's colour values, in levels of 0..255; None before ``compare``.
    psnr: the same as peak signal to noise ratio, dB.
    """

    def __init__(self, small: TAESDDecoder, full: AutoencoderKL | TAESDDecoder) -> None:
        super().__init__()
        self.small = small
        self.full = full
        self.mean_difference: float | None = None
        self.psnr: float | None = None
        self._first: tuple[Tensor, Tensor] | None = None  # latents, and the picture made of them

    def decode(self, values: Tensor) -> Tensor:
        """Return pictures (B, 3, 8 h, 8 w): RGB, about -1..1, by the small decoder."""
        images = self.small.decode(values)
        # Nothing can be looked at while a GPU only records what is to be done.
        recorded = values.is_cuda and torch.cuda.is_current_stream_capturing()
        # What is not finite is computed again in full precision.
        if self._first is None and not recorded and torch.isfinite(images[:1]).all():
            self._first = values[:1].clone(), images[:1].clone()
        return images

    def compare(self) -> None:
        """Decode the first picture by the full decoder: last, so that no face waits for it."""
        if self._first is None or self.mean_difference is not None:
            return
        latents, small = self._first
        full = self.full.decode(latents.to(next(self.full.parameters()).dtype))
        difference = (_levels(small) - _levels(full)).double()
        if torch.isfinite(difference).all():
            self.mean_difference = float(difference.abs().mean())
            error = max(float(difference.square().mean()), 1e-12)
            self.psnr = 10 * torch.log10(torch.tensor(255.0**2 / error)).item()


def _levels(images: Tensor) -> Tensor:
    return (images.float() / 2 + 0.5).clamp(0, 1) * 255
