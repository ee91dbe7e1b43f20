"""A stage is given up where it stands, also while its networks are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from avatarvideo.errors import Cancelled
from avatarvideo.musetalk.networks.vae import AutoencoderKL, VAEConfig
from avatarvideo.musetalk.weights.state_dicts import load_into, read_state_dict

SMALL = VAEConfig(block_out_channels=(4, 4), layers_per_block=1, norm_num_groups=2)


def test_a_run_is_cancelled_while_a_network_is_read(clips: Any) -> None:
    class Endless(clips.CountingModels):
        reading = False

        def load(self, role: str, dtype: torch.dtype) -> Any:
            self.reading = True
            while True:
                self.between_tensors()

    models = Endless()

    def cancel(work: Any) -> None:
        if models.reading:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        clips.speak(clips.job("f"), models, poll=cancel, poll_seconds=0.001)
    assert models.between_tensors is None


def test_weights_half_read_leave_the_network_as_it_was(tmp_path: Path) -> None:
    save_file(AutoencoderKL(SMALL).state_dict(), tmp_path / "vae.safetensors")
    with torch.device("meta"):
        network = AutoencoderKL(SMALL)
    left = 3

    def stop_at_the_third() -> None:
        nonlocal left
        left -= 1
        if not left:
            raise InterruptedError

    path = tmp_path / "vae.safetensors"
    with pytest.raises(InterruptedError):
        load_into(
            network,
            read_state_dict(path),
            source=path,
            dtype=torch.float16,
            between_tensors=stop_at_the_third,
        )
    assert all(weight.is_meta for weight in network.parameters())
