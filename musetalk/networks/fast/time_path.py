"""The UNet's time path folded into its convolutions, for it is the same in every pass."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..unet import ResnetBlock, TimeEmbedding, UNet
from .fused import fuses, residual


class FoldedTimeEmbedding(TimeEmbedding):
    """Nothing is left to embed."""

    def forward(self) -> Tensor:
        """Return an empty tensor, which the folded residual blocks leave alone."""
        return torch.empty(0)


class FoldedResnetBlock(ResnetBlock):
    """A residual block whose first convolution's bias holds the time path."""

    def forward(self, inputs: Tensor, time: Tensor) -> Tensor:
        return residual(self, inputs) if fuses(inputs) else self.convolved(inputs)


@torch.no_grad()
def fold_time_path(unet: UNet) -> None:
    """Add the constant time path to the convolutions' biases and drop its weights.

    Exact up to rounding. Call it after loading: the keys ``time_embedding.*`` and
    ``*.time_emb_proj.*`` are gone from then on.
    """
    embedding = unet.time_embedding
    if isinstance(embedding, FoldedTimeEmbedding):
        return
    # Half precision would round the sum of the two biases twice.
    time = embedding.to(torch.promote_types(embedding.linear_1.weight.dtype, torch.float32))()
    for module in unet.modules():
        if isinstance(module, ResnetBlock):
            _fold(module, time)
    del embedding.linear_1, embedding.linear_2
    embedding.__class__ = FoldedTimeEmbedding


def _fold(block: ResnetBlock, time: Tensor) -> None:
    bias = block.conv1.bias
    assert bias is not None  # every residual block's convolution has one
    added = block.time_emb_proj.to(time.dtype)(time).squeeze(0)
    folded = (bias.to(time.dtype) + added).to(bias.dtype)
    block.conv1.bias = nn.Parameter(folded, requires_grad=bias.requires_grad)
    del block.time_emb_proj
    block.__class__ = FoldedResnetBlock
