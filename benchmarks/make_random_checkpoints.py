"""Write every model file of MuseTalk with random weights: ``make_random_checkpoints.py DIR``.

Names, folders, keys, formats and sizes are those of the published files (about 4.5 GB with one
UNet), so whatever finds, loads and converts those finds, loads and converts these. The face
networks are planted: one face in every picture (see ``planted_faces.py``). Takes a minute and
4 GB of memory.
"""

from __future__ import annotations

import argparse
import os
import struct
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import clone  # noqa: F401
import numpy as np
import torch
from torch import Tensor, nn
from torch._utils import _rebuild_tensor

from avatarvideo.musetalk.networks.bisenet import BiSeNet
from avatarvideo.musetalk.networks.rtmpose import RTMPose
from avatarvideo.musetalk.networks.s3fd import S3FD
from avatarvideo.musetalk.networks.taesd import TAESDDecoder
from avatarvideo.musetalk.networks.unet import UNet
from avatarvideo.musetalk.networks.vae import AutoencoderKL
from avatarvideo.musetalk.networks.whisper import WhisperEncoder
from avatarvideo.musetalk.weights.catalogue import PUBLISHED
from support.planted_faces import plant_box, plant_landmarks, plant_skin
from support.random_weights import draw_weights, random_tensor

# Attention of the VAE as it is published, before diffusers renamed it.
OLD_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
WHISPER_TOKENS = 51865
WHISPER_TEXT_POSITIONS = 448


def random_network(kind: type[nn.Module], seed: int) -> Any:
    """Return a network of true size with random float32 weights."""
    with torch.device("meta"):
        network = kind()
    draw_weights(network, seed)
    return network


def unet_state(seed: int) -> dict[str, Tensor]:
    return plain(random_network(UNet, seed))


def vae_state(seed: int) -> dict[str, Tensor]:
    """Return the autoencoder's tensors under the keys with which it is published."""
    renamed = {}
    for key, tensor in plain(random_network(AutoencoderKL, seed)).items():
        if ".attentions.0." in key:
            for new, old in OLD_ATTENTION.items():
                key = key.replace(f".{new}.", f".{old}.")
        renamed[key] = tensor
    return renamed


def whisper_state(seed: int) -> dict[str, Tensor]:
    """Return the encoder's tensors, and the decoder's, which the published file holds as well."""
    state = plain(random_network(WhisperEncoder, seed))
    config = WhisperEncoder().config
    source = np.random.default_rng(seed + 1)
    shapes: dict[str, tuple[int, ...]] = {
        "embed_tokens.weight": (WHISPER_TOKENS, config.width),
        "embed_positions.weight": (WHISPER_TEXT_POSITIONS, config.width),
        "layer_norm.weight": (config.width,),
        "layer_norm.bias": (config.width,),
    }
    for key, tensor in list(state.items()):
        part = key.removeprefix("model.encoder.")
        if not part.startswith("layers."):
            continue
        shapes[part] = tuple(tensor.shape)
        if "self_attn" in part:  # every layer attends to the sound as well
            shapes[part.replace("self_attn", "encoder_attn")] = tuple(tensor.shape)
    decoder = {
        f"model.decoder.{part}": random_tensor(part, shape, source)
        for part, shape in shapes.items()
    }
    return {**state, **in_one_storage(decoder)}  # else torch's archive would be too long


def taesd_state(seed: int) -> dict[str, Tensor]:
    return plain(random_network(TAESDDecoder, seed))


def bisenet_state(seed: int) -> dict[str, Tensor]:
    network = random_network(BiSeNet, seed)
    plant_skin(network)
    return plain(network)


def s3fd_state(seed: int) -> dict[str, BriefTensor]:
    network = random_network(S3FD, seed)
    plant_box(network)
    # The published file is shorter than any that torch writes today.
    tuples: dict[tuple[int, ...], tuple[int, ...]] = {}
    state = in_one_storage(plain(network))
    return {key: BriefTensor(tensor, tuples) for key, tensor in state.items()}


def rtmpose_state(seed: int) -> dict[str, Any]:
    """Return a training checkpoint: the weights among copies of them, a log and a foreign class."""
    network = random_network(RTMPose, seed)
    plant_landmarks(network.eval())
    state = plain(network)
    copies = [
        {key: tensor.clone() for key, tensor in state.items() if tensor.is_floating_point()}
        for _ in range(2)
    ]
    history = foreign_class("mmengine.logging.history_buffer", "HistoryBuffer")()
    history.values = np.zeros(1000)
    history.last = np.float64(0.5)
    return {
        "meta": {"epoch": 270, "dataset_meta": {"dataset_name": "coco_wholebody"}},
        "state_dict": state,
        "ema_state_dict": copies[0],
        "optimizer": {"state": copies[1], "param_groups": [{"lr": 4e-3}]},
        "message_hub": {"log_scalars": {"train/loss": history}},
    }


def foreign_class(module_name: str, name: str) -> type:
    """Return a class that pickles as one of a library that nobody needs to have."""
    parts = module_name.split(".")
    for count in range(1, len(parts) + 1):
        sys.modules.setdefault(".".join(parts[:count]), types.ModuleType(parts[count - 1]))
    made = type(name, (), {"__module__": module_name})
    setattr(sys.modules[module_name], name, made)
    return made


def in_one_storage(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return equal tensors that torch writes as one array and many views of it."""
    sizes = [tensor.numel() for tensor in state.values()]
    parts = torch.cat([tensor.flatten() for tensor in state.values()]).split(sizes)
    return {
        key: part.view(tensor.shape)
        for (key, tensor), part in zip(state.items(), parts, strict=True)
    }


class BriefTensor:
    """A tensor that pickles as in torch before 0.4, with equal shapes written once."""

    def __init__(self, tensor: Tensor, tuples: dict[tuple[int, ...], tuple[int, ...]]) -> None:
        self.tensor = tensor
        self.tuples = tuples

    def __reduce__(self) -> tuple[Any, ...]:
        tensor = self.tensor
        shape, stride = tuple(tensor.shape), tensor.stride()
        storage = torch.storage.TypedStorage(
            wrap_storage=tensor.untyped_storage(), dtype=tensor.dtype, _internal=True
        )
        shape, stride = (self.tuples.setdefault(value, value) for value in (shape, stride))
        return _rebuild_tensor, (storage, tensor.storage_offset(), shape, stride)


def plain(network: nn.Module) -> dict[str, Tensor]:
    # Not an OrderedDict with versions attached: the published files are of many ages.
    return dict(network.state_dict())


# Where in the folder each file goes, how it is made, and whether it is in the format of torch
# before 1.6, as the two oldest ones are.
FILES: dict[str, tuple[str, Callable[[int], Any], bool]] = {
    "unet-v1.5": ("musetalkV15/unet.pth", unet_state, False),
    "unet-v1.0": ("musetalk/pytorch_model.bin", unet_state, False),
    "vae": ("sd-vae/diffusion_pytorch_model.bin", vae_state, False),
    "whisper": ("whisper/pytorch_model.bin", whisper_state, False),
    "bisenet": ("face-parse-bisent/79999_iter.pth", bisenet_state, True),
    "s3fd": ("s3fd-619a316812.pth", s3fd_state, True),
    "rtmpose": ("dwpose/dw-ll_ucoco_384.pth", rtmpose_state, False),
    "taesd": ("vae_approx/taesd_decoder.pth", taesd_state, False),
}
EXTRA = ("unet-v1.0", "taesd")  # only written if named


def write(path: Path, state: dict[str, Any], *, size: int | None, old_format: bool) -> None:
    """Write one file and bring it to the size of the published one, where that is known."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Given a path torch names the archive's folder after it, else "archive": take the shorter one,
    # because every tensor's header repeats it and padding can only add.
    with path.open("wb") as file:
        target = path if len(path.stem) < len("archive") else file
        torch.save(state, target, _use_new_zipfile_serialization=not old_format)
    if size is not None:
        pad(path, size, old_format=old_format)


def pad(path: Path, size: int, *, old_format: bool) -> None:
    """Lengthen a file that is shorter than ``size``, without changing what is read from it."""
    missing = size - path.stat().st_size
    if missing <= 0:
        return
    with path.open("r+b") as file:
        if old_format:  # whatever follows the tensors is never read
            file.seek(0, os.SEEK_END)
            file.write(bytes(missing))
            return
        # Torch ends an archive with the list of members, two records of 56 and 20 bytes for large
        # archives and one of 22. All are moved along, and the places they name with them.
        file.seek(-98, os.SEEK_END)
        ends = bytearray(file.read())
        (start,) = struct.unpack_from("<Q", ends, 48)
        file.seek(start)
        members = file.read()[:-98]
        for form, offset in (("<Q", 48), ("<Q", 56 + 8), ("<I", 76 + 16)):
            (place,) = struct.unpack_from(form, ends, offset)
            struct.pack_into(form, ends, offset, place + missing)
        file.seek(start)
        file.write(bytes(missing) + members + ends)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--only", nargs="+", choices=FILES, help="names of files to write")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name in options.only or [name for name in FILES if name not in EXTRA]:
        place, make, old_format = FILES[name]
        path = options.directory / place
        size = next((item.size for item in PUBLISHED if place in item.places), None)
        write(path, make(options.seed), size=size, old_format=old_format)
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
