"""Every network takes its published file as it is: same keys, same shapes, same sizes.

``keys/*.json`` list key and shape of every tensor that the networks need of the published files.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from avatarvideo.musetalk.networks.bisenet import BiSeNet
from avatarvideo.musetalk.networks.rtmpose import RTMPose
from avatarvideo.musetalk.networks.s3fd import S3FD
from avatarvideo.musetalk.networks.taesd import TAESDDecoder
from avatarvideo.musetalk.networks.unet import UNet
from avatarvideo.musetalk.networks.vae import AutoencoderKL
from avatarvideo.musetalk.networks.whisper import WhisperEncoder

KEYS = Path(__file__).parent / "keys"
NETWORKS = {
    "unet": UNet,
    "vae": AutoencoderKL,
    "whisper": WhisperEncoder,
    "s3fd": S3FD,
    "rtmpose": RTMPose,
    "bisenet": BiSeNet,
    "taesd": TAESDDecoder,
}
PARAMETERS = {
    "unet": 849_947_844,
    "vae": 83_653_863,
    "whisper": 8_208_384,
    "s3fd": 22_459_110,
    "rtmpose": 33_610_919,
    "bisenet": 13_300_416,
    "taesd": 1_222_531,
}


def on_meta(name: str) -> torch.nn.Module:
    with torch.device("meta"):
        return NETWORKS[name]()


@pytest.mark.parametrize("name", NETWORKS)
def test_keys_and_shapes_equal_the_published_file(name):
    published = json.loads((KEYS / f"{name}.json").read_text())
    ours = {key: list(tensor.shape) for key, tensor in on_meta(name).state_dict().items()}
    assert ours == published


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_parameter_count_is_the_published_one(name):
    assert sum(tensor.numel() for tensor in on_meta(name).parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_stays_on_the_meta_device_after_assignment(name):
    network = on_meta(name)
    # One value seen through every shape: nothing of true size is allocated.
    state = {
        key: torch.zeros((), dtype=tensor.dtype).expand(tensor.shape)
        for key, tensor in network.state_dict().items()
    }
    network.load_state_dict(state, strict=True, assign=True)
    tensors = [*network.parameters(), *network.buffers()]
    assert {tensor.device.type for tensor in tensors} == {"cpu"}


def test_the_autoencoder_is_split_as_published():
    network = on_meta("vae")
    counts = {
        name: sum(tensor.numel() for tensor in part.parameters())
        for name, part in network.named_children()
    }
    assert counts == {
        "encoder": 34_163_592,
        "quant_conv": 72,
        "post_quant_conv": 20,
        "decoder": 49_490_179,
    }


def test_the_landmark_network_has_the_published_number_of_values():
    state = on_meta("rtmpose").state_dict().values()
    assert sum(tensor.numel() for tensor in state if tensor.is_floating_point()) == 33_649_959


@pytest.mark.parametrize("name", ["rtmpose", "bisenet"])
def test_a_file_without_batch_counters_is_accepted(name):
    network = on_meta(name)
    state = {
        key: torch.zeros((), dtype=tensor.dtype).expand(tensor.shape)
        for key, tensor in network.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    network.load_state_dict(state, strict=True, assign=True)
    assert {tensor.device.type for tensor in network.buffers()} == {"cpu"}
