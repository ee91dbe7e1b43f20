"""A UNet that tells a test of every pass before it is made."""

from __future__ import annotations

import torch
from torch import Tensor

from avatarvideo.musetalk.networks.unet import UNet


class WatchedUNet(UNet):
    """Calls ``before`` for every pass; what that raises ends it."""

    def before(self, latents: Tensor) -> None:
        """See a pass about to be made."""
        raise NotImplementedError

    def forward(
        self, latents: Tensor, audio_features: Tensor, hears: Tensor | None = None
    ) -> Tensor:
        self.before(latents)
        return super().forward(latents, audio_features, hears)


class NothingFits(WatchedUNet):
    """Finds no memory for any batch."""

    def before(self, latents: Tensor) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB.")
