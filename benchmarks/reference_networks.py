"""MuseTalk's networks of true size with random weights: ours, and diffusers' and transformers'.

Both answer the same calls, so that everything around them can be the same. Equal seeds give equal
weights. The reference computes as its libraries do by default.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import clone  # noqa: F401
import torch
from torch import Tensor, nn

from avatarvideo.musetalk.networks.fast.time_path import fold_time_path
from avatarvideo.musetalk.weights.build import empty_network, skeleton
from avatarvideo.musetalk.weights.catalogue import CATALOGUE, Role
from avatarvideo.musetalk.weights.session import weight_bytes
from support.planted_faces import plant_box, plant_landmarks, plant_skin
from support.random_weights import draw_weights

Side = Literal["ours", "reference"]
SEED = 0
PLANTED = {"bisenet": plant_skin, "s3fd": plant_box, "rtmpose": plant_landmarks}


def random_network(role: Role, seed: int = SEED) -> Any:
    """Return our network with random float32 weights; the face networks see one planted face."""
    network = empty_network(role)
    draw_weights(network, seed)
    if role in PLANTED:
        PLANTED[role](network)
    return network


class Networks:
    """Gives the networks of one side, each made once: a ``ModelSource``."""

    between_tensors: Callable[[], None] | None = None

    def __init__(self, side: Side) -> None:
        self._side = side
        self._made: dict[tuple[Role, torch.dtype], Any] = {}

    def has(self, role: Role) -> bool:
        return CATALOGUE[role].need != "extra" or role == "taesd"  # which only quality low takes

    def identity(self, role: Role) -> str:
        return f"random {role} {SEED}"

    def skeleton(self, role: Role) -> Any:
        return skeleton(role)

    def load(self, role: Role, dtype: torch.dtype) -> Any:
        if (role, dtype) not in self._made:
            network = random_network(role)
            if self._side == "reference" and role in REFERENCES:
                network = REFERENCES[role](network)
            elif role == "unet":
                fold_time_path(network)
            self._made[role, dtype] = network.to(dtype)
        return self._made[role, dtype]

    def bytes(self) -> int:
        """Return what the networks made so far weigh."""
        return sum(weight_bytes(network, dtype) for (_, dtype), network in self._made.items())


class _Reference(nn.Module):
    """A network of another library behind our calls; ``between_blocks`` has no effect."""

    between_blocks = None

    def __init__(self, network: Any, config: Any) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.config = config

    def to(self, *places: Any, memory_format: object = None, **named: Any) -> Any:
        # Its authors leave the channels where they are.
        return super().to(*places, **named) if places or named else self


class ReferenceUNet(_Reference):
    def __init__(self, ours: Any) -> None:
        from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

        config = ours.config
        with torch.device("meta"):
            network = UNet2DConditionModel(
                in_channels=config.in_channels,
                out_channels=config.out_channels,
                block_out_channels=config.block_out_channels,
                layers_per_block=config.layers_per_block,
                attention_head_dim=config.attention_heads,
                cross_attention_dim=config.cross_attention_dim,
                norm_num_groups=config.norm_num_groups,
            )
        network.load_state_dict(ours.state_dict(), assign=True)
        super().__init__(network, config)
        self.register_buffer("step", torch.tensor([0]), persistent=False)

    @property
    def conv_in(self) -> Any:
        return self.network.conv_in

    def forward(self, latents: Tensor, audio: Tensor, hears: Tensor | None = None) -> Tensor:
        audio = audio if hears is None else audio[hears]
        return self.network(latents, self.step, encoder_hidden_states=audio).sample


class ReferenceVAE(_Reference):
    def __init__(self, ours: Any) -> None:
        from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

        config = ours.config
        levels = len(config.block_out_channels)
        blocks: dict[str, Any] = {  # diffusers states tuples of one name
            "down_block_types": ("DownEncoderBlock2D",) * levels,
            "up_block_types": ("UpDecoderBlock2D",) * levels,
        }
        with torch.device("meta"):
            network = AutoencoderKL(
                block_out_channels=config.block_out_channels,
                layers_per_block=config.layers_per_block,
                latent_channels=config.latent_channels,
                norm_num_groups=config.norm_num_groups,
                **blocks,
            )
        network.load_state_dict(ours.state_dict(), assign=True)
        super().__init__(network, config)

    @property
    def quant_conv(self) -> Any:
        return self.network.quant_conv

    def encode_moments(self, images: Tensor) -> tuple[Tensor, Tensor]:
        posterior = self.network.encode(images).latent_dist
        return posterior.mean, posterior.logvar

    def decode(self, values: Tensor) -> Tensor:
        return self.network.decode(values).sample


class ReferenceWhisper(_Reference):
    def __init__(self, ours: Any) -> None:
        from transformers import WhisperConfig
        from transformers.models.whisper.modeling_whisper import WhisperEncoder

        config = ours.config
        with torch.device("meta"):
            network = WhisperEncoder(
                WhisperConfig(
                    num_mel_bins=config.mel_bins,
                    max_source_positions=config.positions,
                    d_model=config.width,
                    encoder_layers=config.layers,
                    encoder_attention_heads=config.heads,
                    encoder_ffn_dim=4 * config.width,
                )
            )
        state = ours.state_dict()
        inner = {key.removeprefix("model.encoder."): value for key, value in state.items()}
        network.load_state_dict(inner, assign=True)
        super().__init__(network, config)

    def forward(self, log_mel: Tensor, *, normalise_last: bool = True) -> Tensor:
        states = self.network(log_mel, output_hidden_states=True).hidden_states
        return torch.stack(states, dim=2)


REFERENCES: dict[str, Callable[[Any], nn.Module]] = {
    "unet": ReferenceUNet,
    "vae": ReferenceVAE,
    "whisper": ReferenceWhisper,
}
