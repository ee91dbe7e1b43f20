"""Make a loaded network faster: the same weights and keys, other ways to compute them.

A module takes a fast subclass by ``__class__``, so it keeps its parameters and its place.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .. import taesd, unet, vae
from ..blocks import RepeatAndConvolve, ResidualConvs
from .fused import fuses, gated_gelu, normalised, residual, sum_with_bias, upsampled
from .products import FastLinear
from .winograd import Conv3x3, StridedConv, UpsamplingConv3x3


def accelerate(network: nn.Module) -> None:
    """Swap in the fast modules, in place; a second time changes nothing.

    Call it when the weights are there. In half precision they come to lie channels last, as what
    multiplies them fast wants, the small decoder's in every precision. ``winograd.set_tiled`` sets
    the tiles.
    """
    half = next(network.parameters()).dtype.itemsize == 2
    if half or isinstance(network, taesd.TAESDDecoder):
        network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - not in torch's types
    for module in network.modules():
        for kind, part, fast in FAST_MODULES:
            if isinstance(module, kind):
                module.get_submodule(part).__class__ = fast


class FusedGroupNorm(nn.GroupNorm):
    """GroupNorm by a kernel."""

    def forward(self, input: Tensor) -> Tensor:
        return normalised(input, self)


class FusedGroupNormSiLU(nn.GroupNorm):
    """GroupNorm and the SiLU that follows it by one kernel."""

    def forward(self, input: Tensor) -> Tensor:
        return normalised(input, self, silu=True)


class FusedResnetBlock(vae.ResnetBlock):
    """The autoencoder's residual block, its small steps fused."""

    def forward(self, inputs: Tensor) -> Tensor:
        return residual(self, inputs) if fuses(inputs) else super().forward(inputs)


class FusedTransformer(unet.Transformer):
    """The UNet's transformer over maps whose channels lie together: nothing is reordered."""

    def forward(self, inputs: Tensor, heard: unet.Heard) -> Tensor:
        if not fuses(inputs):
            return super().forward(inputs, heard)
        maps = normalised(inputs, self.norm).permute(0, 2, 3, 1)  # (B, H, W, C) as they lie
        # A 1 x 1 convolution is a matrix product, and that adds the bias by itself.
        pixels = functional.linear(maps, self.proj_in.weight.flatten(1), self.proj_in.bias)
        pixels = self.transformer_blocks[0](pixels.flatten(1, 2), heard)
        projected = functional.linear(pixels, self.proj_out.weight.flatten(1)).view(maps.shape)
        return sum_with_bias(projected.permute(0, 3, 1, 2), inputs, self.proj_out.bias)


class FusedGatedGELU(unet.GatedGELU):
    """The gate by one kernel."""

    def forward(self, pixels: Tensor) -> Tensor:
        return gated_gelu(self.proj(pixels))


class DecoderUpsamplingConv3x3(UpsamplingConv3x3):
    """The decoder's upsampling: in half precision each output pixel sees 2 x 2 source pixels."""

    def forward(self, input: Tensor) -> Tensor:
        half = input.dtype in (torch.bfloat16, torch.float16)
        if half and input.device.type == "cpu":
            return self.upsampled_in_phases(input)
        if half and input.is_cuda and torch.version.hip is None:
            return upsampled(self, input)
        return super().forward(input)


class SmallDecoderUpsampling(DecoderUpsamplingConv3x3):
    """The small decoder's: of so few channels tiles are slower on a CPU, in every precision."""

    def forward(self, input: Tensor) -> Tensor:
        if input.device.type == "cpu":
            return self.upsampled_in_phases(input)
        return super().forward(input)


# Whose part, which (none is itself), and what it becomes. What a fast part does too is left out.
FAST_MODULES: tuple[tuple[type[nn.Module], str, type[nn.Module]], ...] = (
    (unet.UNet, "conv_norm_out", FusedGroupNormSiLU),
    (unet.UNet, "conv_act", nn.Identity),
    (ResidualConvs, "conv1", Conv3x3),
    (ResidualConvs, "conv2", Conv3x3),
    (nn.Linear, "", FastLinear),
    (unet.Transformer, "", FusedTransformer),
    (unet.GatedGELU, "", FusedGatedGELU),
    (unet.Downsample, "conv", StridedConv),
    (RepeatAndConvolve, "repeat", nn.Identity),
    (unet.Upsample, "conv", UpsamplingConv3x3),
    (vae.Encoder, "conv_norm_out", FusedGroupNormSiLU),
    (vae.Encoder, "conv_act", nn.Identity),
    (vae.Decoder, "conv_norm_out", FusedGroupNormSiLU),
    (vae.Decoder, "conv_act", nn.Identity),
    (vae.ResnetBlock, "", FusedResnetBlock),
    (vae.Attention, "group_norm", FusedGroupNorm),
    (vae.Upsample, "conv", DecoderUpsamplingConv3x3),
    (taesd.Repeat, "", nn.Identity),
    (taesd.ConvOfRepeated, "", SmallDecoderUpsampling),
)
