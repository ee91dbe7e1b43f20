"""Networks that are there already, handed to the engine in the place of files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field

import torch
from torch import nn

from avatarvideo.musetalk.networks.bisenet import BiSeNet
from avatarvideo.musetalk.networks.rtmpose import RTMPose
from avatarvideo.musetalk.networks.s3fd import S3FD
from avatarvideo.musetalk.networks.taesd import TAESDDecoder
from avatarvideo.musetalk.networks.unet import UNet
from avatarvideo.musetalk.networks.vae import AutoencoderKL
from avatarvideo.musetalk.networks.whisper import WhisperEncoder
from avatarvideo.musetalk.weights.catalogue import Role


@dataclass(eq=False)
class MuseTalkModels:
    """Networks of any size.

    identities: changes when any weight changes; empty takes a hash of the weights.
    """

    unet: UNet
    vae: AutoencoderKL
    whisper: WhisperEncoder
    bisenet: BiSeNet
    s3fd: S3FD | None = None
    rtmpose: RTMPose | None = None
    taesd: TAESDDecoder | None = None
    identities: str = ""
    between_tensors: Callable[[], None] | None = field(default=None, repr=False)

    def has(self, role: Role) -> bool:
        """Say whether the network was given."""
        return getattr(self, role, None) is not None

    def identity(self, role: Role) -> str:
        """Return the given text, or a hash of the weights."""
        return self.identities or _weights_hash(getattr(self, role))

    def skeleton(self, role: Role) -> nn.Module:
        """Return the given network."""
        return getattr(self, role)

    def load(self, role: Role, dtype: torch.dtype) -> nn.Module:
        """Return a copy, so that what was given stays as it is."""
        return deepcopy(getattr(self, role)).to(dtype).eval().requires_grad_(False)


def _weights_hash(network: nn.Module) -> str:
    digest = hashlib.sha256()
    for key, tensor in sorted(network.state_dict().items()):
        digest.update(key.encode())
        digest.update(tensor.detach().cpu().double().numpy().tobytes())
    return digest.hexdigest()
