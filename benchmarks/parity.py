"""Compare our networks at true size with diffusers and transformers: ``parity.py [--json]``.

Both get the same random weights and inputs, in float32 on the CPU; "tiled" is how ours convolves
on processors where that pays. Prints each maximum error
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
from reference_networks import ReferenceUNet, ReferenceVAE, ReferenceWhisper, random_network
from torch import Tensor

from avatarvideo.musetalk.networks.fast.accelerate import accelerate
from avatarvideo.musetalk.networks.fast.time_path import fold_time_path
from avatarvideo.musetalk.networks.fast.winograd import set_tiled
from avatarvideo.musetalk.networks.vae import SCALING_FACTOR, to_pixels


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
    ours = random_network("unet", seed)
    reference = ReferenceUNet(ours)
    latents, audio = noise(1, 1, 8, 32, 32), noise(2, 1, 50, ours.config.cross_attention_dim)
    expected = reference(latents, audio)
    del reference
    yield compare("latents", ours(latents, audio), expected, 1e-5)
    fold_time_path(ours)
    yield compare("latents, time path folded", ours(latents, audio), expected, 1e-5)
    accelerate(ours)
    set_tiled(ours, True)
    yield compare("latents, tiled", ours(latents, audio), expected, 1e-5)


def compare_vae(seed: int) -> Iterator[Comparison]:
    ours = random_network("vae", seed)
    reference = ReferenceVAE(ours)
    images = noise(1, 1, 3, 256, 256).clamp(-1, 1)
    for output, got, expected in zip(
        ("mean", "log-variance"),
        ours.encode_moments(images),
        reference.encode_moments(images),
        strict=True,
    ):
        yield compare(output, got, expected, 2e-5)
    values = noise(2, 1, 4, 32, 32) / SCALING_FACTOR
    expected = to_pixels(reference.decode(values))
    yield compare("pixels, in levels", to_pixels(ours.decode(values)), expected, 1)
    accelerate(ours)
    set_tiled(ours, True)
    yield compare("pixels, tiled, in levels", to_pixels(ours.decode(values)), expected, 1)


def compare_whisper(seed: int) -> Iterator[Comparison]:
    ours = random_network("whisper", seed)
    log_mel = noise(1, 1, ours.config.mel_bins, 2 * ours.config.positions)
    yield compare("hidden states", ours(log_mel), ReferenceWhisper(ours)(log_mel), 1e-5)


NETWORKS = {"unet": compare_unet, "vae": compare_vae, "whisper": compare_whisper}
EQUAL_PIXELS = 0.999  # of decoded pictures, besides the limit on the largest difference


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
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
