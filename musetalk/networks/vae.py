"""The autoencoder between 256 x 256 face crops and the 32 x 32 latents the UNet works on.

Architecture of Stable Diffusion's ``AutoencoderKL`` (Rombach et al. 2022), written for the
published weights ``stabilityai/sd-vae-ft-mse``. State-dict keys are the renamed diffusers ones
(``mid_block.attentions.0.to_q``, ``to_out.0``).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .blocks import RepeatAndConvolve, ResidualConvs, Stoppable, attended

SCALING_FACTOR = 0.18215  # latents are the posterior times this; absent from the published config
NORM_EPSILON = 1e-6  # of every GroupNorm in this network; the UNet's residual blocks use 1e-5
LOG_VARIANCE_LIMITS = (-30.0, 20.0)


@dataclass(frozen=True)
class VAEConfig:
    """Sizes of the autoencoder; the defaults are those of the published weights."""

    block_out_channels: tuple[int, ...] = (128, 256, 512, 512)
    layers_per_block: int = 2
    latent_channels: int = 4
    image_channels: int = 3
    norm_num_groups: int = 32


class AutoencoderKL(Stoppable):
    """Picture to latents and back."""

    def __init__(self, config: VAEConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or VAEConfig()
        moments = 2 * config.latent_channels
        self.encoder = Encoder(config)
        self.quant_conv = nn.Conv2d(moments, moments, 1)
        self.post_quant_conv = nn.Conv2d(config.latent_channels, config.latent_channels, 1)
        self.decoder = Decoder(config)

    def blocks(self) -> Iterator[nn.Module]:
        """Return whatever convolves or attends, but for the first and last convolutions."""
        kinds = (ResnetBlock, Attention, Downsample, Upsample)
        yield from (module for module in self.modules() if isinstance(module, kinds))
        yield self.decoder.get_submodule("conv_norm_out")

    def encode_moments(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of the posterior, each (B, 4, H/8, W/8), unscaled.

        images (B, 3, H, W): RGB, -1..1, of the weights' dtype. The log-variance is clamped.
        """
        moments = self.quant_conv(self.encoder(images))
        mean, log_variance = moments.chunk(2, dim=1)
        return mean, log_variance.clamp(*LOG_VARIANCE_LIMITS)

    def decode(self, values: Tensor) -> Tensor:
        """Return pictures (B, 3, 8 h, 8 w): RGB, about -1..1, not clamped.

        values (B, 4, h, w): latents divided by ``SCALING_FACTOR``.
        """
        if values.device.type == "cpu" and values.shape[0] > 1:
            # Together they gain a CPU nothing, and one block would take seconds to end.
            return torch.cat([self.decode(one) for one in torch.split(values, 1)])
        return self.decoder(self.post_quant_conv(values))


def sample_posterior(
    mean: Tensor, log_variance: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """Draw from the posterior: mean + exp(log_variance / 2) * noise, unscaled.

    The noise is drawn in the mean's dtype on the generator's device (the mean's when None).
    """
    device = mean.device if generator is None else generator.device
    noise = torch.randn(mean.shape, generator=generator, device=device, dtype=mean.dtype)
    return mean + torch.exp(0.5 * log_variance) * noise.to(mean.device)


def to_pixels(images: Tensor) -> Tensor:
    """Return decoded pictures as uint8 RGB (B, H, W, 3), rounded half to even.

    images (B, 3, H, W): about -1..1.
    """
    unit = (images / 2 + 0.5).clamp(0, 1)
    return (unit.permute(0, 2, 3, 1).float() * 255).round().to(torch.uint8)


class Encoder(nn.Sequential):
    """Pictures to 2 x latent channels of moments, at an eighth of the size."""

    def __init__(self, config: VAEConfig) -> None:
        widths = config.block_out_channels
        groups = config.norm_num_groups
        levels: list[nn.Module] = []
        for level, width in enumerate(widths):
            resnets = _resnets(widths[max(level - 1, 0)], width, groups, config.layers_per_block)
            smaller = nn.Sequential(*([Downsample(width)] if level < len(widths) - 1 else []))
            levels.append(nn.Sequential(OrderedDict(resnets=resnets, downsamplers=smaller)))
        super().__init__(
            OrderedDict(
                conv_in=nn.Conv2d(config.image_channels, widths[0], 3, padding=1),
                down_blocks=nn.Sequential(*levels),
                mid_block=MidBlock(widths[-1], groups),
                conv_norm_out=nn.GroupNorm(groups, widths[-1], eps=NORM_EPSILON),
                conv_act=nn.SiLU(inplace=True),
                conv_out=nn.Conv2d(widths[-1], 2 * config.latent_channels, 3, padding=1),
            )
        )


class Decoder(nn.Sequential):
    """Unscaled latents to pictures, at eight times the size."""

    conv_out: nn.Conv2d

    def __init__(self, config: VAEConfig) -> None:
        widths = config.block_out_channels[::-1]
        groups = config.norm_num_groups
        levels: list[nn.Module] = []
        for level, width in enumerate(widths):
            layers = config.layers_per_block + 1
            resnets = _resnets(widths[max(level - 1, 0)], width, groups, layers)
            larger = nn.Sequential(*([Upsample(width)] if level < len(widths) - 1 else []))
            levels.append(nn.Sequential(OrderedDict(resnets=resnets, upsamplers=larger)))
        super().__init__(
            OrderedDict(
                conv_in=nn.Conv2d(config.latent_channels, widths[0], 3, padding=1),
                mid_block=MidBlock(widths[0], groups),
                up_blocks=nn.Sequential(*levels),
                conv_norm_out=nn.GroupNorm(groups, widths[-1], eps=NORM_EPSILON),
                conv_act=nn.SiLU(inplace=True),
                conv_out=nn.Conv2d(widths[-1], config.image_channels, 3, padding=1),
            )
        )


class MidBlock(nn.Module):
    """Residual block, attention, residual block at the smallest size."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(ResnetBlock(channels, channels, groups) for _ in range(2))
        self.attentions = nn.ModuleList([Attention(channels, groups)])

    def forward(self, hidden: Tensor) -> Tensor:
        return self.resnets[1](self.attentions[0](self.resnets[0](hidden)))


class ResnetBlock(ResidualConvs):
    """Two normalised convolutions beside a skip; no time embedding."""

    def __init__(self, channels: int, out_channels: int, groups: int) -> None:
        super().__init__(channels, out_channels, groups, NORM_EPSILON)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.convolved(inputs)


class Attention(nn.Module):
    """One head over all pixels, beside a skip."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.group_norm = nn.GroupNorm(groups, channels, eps=NORM_EPSILON)
        self.to_q = nn.Linear(channels, channels)
        self.to_k = nn.Linear(channels, channels)
        self.to_v = nn.Linear(channels, channels)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, inputs: Tensor) -> Tensor:
        pixels = self.group_norm(inputs).flatten(2).transpose(1, 2)  # (B, HW, C)
        mixed = attended(self.to_q(pixels), self.to_k(pixels), self.to_v(pixels), heads=1)
        return inputs + self.to_out[0](mixed).transpose(1, 2).reshape(inputs.shape)


class Downsample(nn.Module):
    """Halve the size with a strided convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, inputs: Tensor) -> Tensor:
        # The weights were trained with the border on the right and bottom only; the
        # convolution's own padding would put it on all four sides and shift the picture.
        return self.conv(functional.pad(inputs, (0, 1, 0, 1)))


class Upsample(RepeatAndConvolve):
    """Twice the size."""


def _resnets(channels: int, out_channels: int, groups: int, layers: int) -> nn.Sequential:
    first = ResnetBlock(channels, out_channels, groups)
    others = (ResnetBlock(out_channels, out_channels, groups) for _ in range(layers - 1))
    return nn.Sequential(first, *others)
