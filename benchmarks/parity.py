"""Compare our networks at true size with diffusers and transformers: ``parity.py [--json]``.

Both get the same random weights and inputs, in float32 on the CPU. Prints each maximum error
beside what it may be; the exit code is 1 when one is larger. Takes 4 GB of memory and, on one
core, about two minutes. Equality holds for any weights; quality is not measured here.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from random_weights import random_tensor
from torch import Tensor, nn

from avatarvideo.musetalk.unet import UNet, UNetConfig
from avatarvideo.musetalk.vae import SCALING_FACTOR, AutoencoderKL, VAEConfig, to_pixels
from avatarvideo.musetalk.whisper import WhisperConfig, WhisperEncoder


class Comparison(NamedTuple):
    """One output of one network.

    error: largest absolute difference; limit: what it may be.
    deviation: of the reference's output: a constant would agree with anything.
    equal: share of equal values.
    """

    output: str
    error: float
    limit: float
    deviation: float
    equal: float

    @property
    def passed(self) -> bool:
        return self.error <= self.limit and self.deviation >= 0.1


def filled(kind: type[nn.Module], seed: int) -> Any:
    """Return a network of true size with random weights."""
    source = np.random.default_rng(seed)
    with torch.device("meta"):
        network = kind()
    state = {
        key: random_tensor(key, tuple(tensor.shape), source)
        for key, tensor in network.state_dict().items()
    }
    network.load_state_dict(state, assign=True)
    return network.eval()


def sharing(reference: nn.Module, state: dict[str, Tensor]) -> Any:
    """Return the reference, built on the meta device, with the same tensors in the same memory."""
    reference.load_state_dict(state, assign=True)
    return reference.eval()


def noise(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape, dtype=np.float32))


def compare(output: str, got: Tensor, expected: Tensor, limit: float) -> Comparison:
    difference = (got.double() - expected.double()).abs()
    return Comparison(
        output,
        difference.max().item(),
        limit,
        expected.double().std().item(),
        (difference == 0).double().mean().item(),
    )


def compare_unet(seed: int) -> Iterator[Comparison]:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    config = UNetConfig()
    ours = filled(UNet, seed)
    with torch.device("meta"):
        reference = UNet2DConditionModel(
            in_channels=config.in_channels,
            out_channels=config.out_channels,
            block_out_channels=config.block_out_channels,
            layers_per_block=config.layers_per_block,
            attention_head_dim=config.attention_heads,
            cross_attention_dim=config.cross_attention_dim,
            norm_num_groups=config.norm_num_groups,
        )
    reference = sharing(reference, ours.state_dict())
    latents, audio = noise(1, 1, 8, 32, 32), noise(2, 1, 50, config.cross_attention_dim)
    expected = reference(latents, torch.tensor([0]), encoder_hidden_states=audio).sample
    del reference
    yield compare("latents", ours(latents, audio), expected, 1e-5)
    ours.fold_time_path()
    yield compare("latents, time path folded", ours(latents, audio), expected, 1e-5)


def compare_vae(seed: int) -> Iterator[Comparison]:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL as Reference

    config = VAEConfig()
    ours = filled(AutoencoderKL, seed)
    levels = len(config.block_out_channels)
    with torch.device("meta"):
        reference = Reference(
            block_out_channels=config.block_out_channels,
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            layers_per_block=config.layers_per_block,
            latent_channels=config.latent_channels,
            norm_num_groups=config.norm_num_groups,
        )
    reference = sharing(reference, ours.state_dict())
    images = noise(1, 1, 3, 256, 256).clamp(-1, 1)
    mean, log_variance = ours.encode_moments(images)
    expected = reference.encode(images).latent_dist
    yield compare("mean", mean, expected.mean, 2e-5)
    yield compare("log-variance", log_variance, expected.logvar, 2e-5)
    values = noise(2, 1, 4, 32, 32) / SCALING_FACTOR
    pixels = to_pixels(ours.decode(values))
    yield compare("pixels, in levels", pixels, to_pixels(reference.decode(values).sample), 1)


def compare_whisper(seed: int) -> Iterator[Comparison]:
    from transformers import WhisperConfig as ReferenceConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder as Reference

    config = WhisperConfig()
    ours = filled(WhisperEncoder, seed)
    with torch.device("meta"):
        reference = Reference(
            ReferenceConfig(
                num_mel_bins=config.mel_bins,
                max_source_positions=config.positions,
                d_model=config.width,
                encoder_layers=config.layers,
                encoder_attention_heads=config.heads,
                encoder_ffn_dim=4 * config.width,
            )
        )
    state = {key.removeprefix("model.encoder."): value for key, value in ours.state_dict().items()}
    reference = sharing(reference, state)
    log_mel = noise(1, 1, config.mel_bins, 2 * config.positions)
    expected = reference(log_mel, output_hidden_states=True).hidden_states
    yield compare("hidden states", ours(log_mel), torch.stack(expected, dim=2), 1e-5)


NETWORKS = {"unet": compare_unet, "vae": compare_vae, "whisper": compare_whisper}
EQUAL_PIXELS = 0.999  # of decoded pictures, besides the limit on the largest difference


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--only", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rows: dict[str, list[dict[str, Any]]] = {}
    passed = True
    with torch.inference_mode():
        for name in options.only:
            for row in NETWORKS[name](options.seed):
                good = row.passed and (row.limit < 1 or row.equal > EQUAL_PIXELS)
                passed &= good
                rows.setdefault(name, []).append({**row._asdict(), "passed": good})
                if not options.json:
                    print(
                        f"{name:8} {row.output:26} error {row.error:.2e} (limit {row.limit:.0e}), "
                        f"deviation {row.deviation:.2f}, {row.equal:.4%} equal"
                        + ("" if good else "  FAILED")
                    )
    if options.json:
        print(json.dumps({"passed": passed, "torch": torch.__version__, "networks": rows}))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
