"""Small upscaling models as spandrel describes them; this needs spandrel."""

from __future__ import annotations

from typing import Any

import spandrel
import torch
from spandrel.architectures.Compact import Compact
from spandrel.architectures.ESRGAN import ESRGAN, ESRGANArch
from spandrel.architectures.GFPGAN import GFPGAN, GFPGANArch
from torch import Tensor, nn

from support.random_weights import fill_randomly


class Nearest(nn.Module):
    """Makes each pixel one of scale x scale equal ones."""

    def __init__(self, scale: int = 2) -> None:
        super().__init__()
        self.scale = scale
        self.gain = nn.Parameter(torch.ones(()), requires_grad=False)
        self.asked = 0

    def forward(self, image: Tensor) -> Tensor:
        self.asked += 1
        self.before(image)
        return nn.functional.interpolate(image * self.gain, scale_factor=self.scale)

    def before(self, image: Tensor) -> None:
        """Called with each picture."""


def described(model: nn.Module, scale: int = 2, **other: Any) -> Any:
    """Return a network as a model for three colours; ``other`` replaces what is said of it."""
    facts: dict[str, Any] = {
        "architecture": ESRGANArch(),
        "purpose": "SR",
        "tags": [],
        "supports_half": True,
        "supports_bfloat16": True,
        "scale": scale,
        "input_channels": 3,
        "output_channels": 3,
    }
    kind = spandrel.ImageModelDescriptor
    return kind(model, state_dict=model.state_dict(), **{**facts, **other})


def nearest(scale: int = 2, kind: type[Nearest] = Nearest, **other: Any) -> Any:
    return described(kind(scale), scale, **other)


def small_esrgan(scale: int = 2, seed: int = 0) -> Any:
    """Return an ESRGAN of one block with random weights, as its file would be opened."""
    network = fill_randomly(ESRGAN(num_filters=4, num_blocks=1, scale=scale), seed)
    return spandrel.ModelLoader().load_from_state_dict(network.state_dict())


def small_compact(scale: int = 2, layers: int = 2) -> Any:
    """Return a small compact ESRGAN with random weights; it looks layers + 2 pixels far."""
    network = fill_randomly(Compact(num_feat=8, num_conv=layers, upscale=scale), gain=0.3)
    return spandrel.ModelLoader().load_from_state_dict(network.state_dict())


def small_gfpgan(seed: int = 0) -> Any:
    """Return a GFPGAN of few channels with random weights; its noise is drawn anew in each call."""
    network = GFPGAN(num_style_feat=8, num_mlp=1, narrow=1 / 16)  # pyright: ignore[reportArgumentType] - a share
    fill_randomly(network, seed)
    return described(
        network,
        1,
        architecture=GFPGANArch(),
        purpose="FaceSR",
        supports_half=False,
        size_requirements=spandrel.SizeRequirements(minimum=512),
        call_fn=lambda model, image: model(image)[0],
    )
