"""Write ``goldens.npz``: what small random face networks give, for their tests.

Run it only when a network is meant to change: ``python -m support.make_goldens`` in ``tests``.
When the file was made, the networks of true size had been run beside the original ones (the
detector and the parser of TMElyralab/MuseTalk, mmdet 3.1.0, mmpose 1.1.0) with equal weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from avatarvideo.musetalk.networks.bisenet import BiSeNet, BiSeNetConfig, parse_face
from avatarvideo.musetalk.networks.rtmpose import RTMPose, RTMPoseConfig, find_landmarks
from avatarvideo.musetalk.networks.s3fd import S3FD, S3FDConfig, detect_faces
from support.random_weights import fill_randomly

GOLDENS = Path(__file__).resolve().parents[1] / "musetalk" / "networks" / "goldens.npz"

SMALL_S3FD = S3FDConfig(stages=(8, 8, 12, 12, 16), fc=16, conv6=(8, 12), conv7=(8, 12))
SMALL_RTMPOSE = RTMPoseConfig(
    stem=16,
    stages=((16, 1), (24, 2), (32, 1), (48, 2)),
    input_size=(96, 128),
    width=32,
    attention_width=16,
)
SMALL_BISENET = BiSeNetConfig(stages=(16, 16, 24, 32), context=16, side=8)


def random_network(network: torch.nn.Module, gain: float) -> Any:
    """Return the network in float64, in which CPUs hardly differ, with random weights."""
    return fill_randomly(network.double(), gain=gain)


def small_s3fd() -> S3FD:
    network = random_network(S3FD(SMALL_S3FD), gain=1.4)
    network.conv1_1.weight /= 50  # the input is in grey levels, not around one
    return network


def small_rtmpose() -> RTMPose:
    network = random_network(RTMPose(SMALL_RTMPOSE), gain=1.6)
    network.head.gau.gamma /= 4  # else the sum over 133 landmarks drowns each one's own token
    return network


def small_bisenet() -> BiSeNet:
    network = random_network(BiSeNet(SMALL_BISENET), gain=1.0)
    seen: list[torch.Tensor] = []
    hook = network.conv_out.conv_out.register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0])
    )
    parse_face(network, picture())
    hook.remove()
    # Without the mean feature's share, else one class is the likeliest everywhere.
    mean = seen[0].mean(dim=(0, 2, 3))
    weight = network.conv_out.conv_out.weight
    weight -= torch.outer(weight[:, :, 0, 0] @ mean, mean / mean.dot(mean))[:, :, None, None]
    weight *= 10
    return network


def picture(height: int = 150, width: int = 110) -> np.ndarray:
    """Return a coloured picture without symmetry: uint8 RGB."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    waves = [np.sin(x / (5 + 3 * c) + c) + np.cos(y / (9 - 2 * c) - x / 40) for c in range(3)]
    return (np.stack(waves, axis=2) * 60 + 127).round().clip(0, 255).astype(np.uint8)


def small_input(height: int, width: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).standard_normal((1, 3, height, width)))


@torch.no_grad()
def compute() -> dict[str, np.ndarray]:
    """Return every golden array by name."""
    goldens: dict[str, Any] = {}
    s3fd = small_s3fd()
    for level, (logits, offsets) in enumerate(s3fd(small_input(70, 45) * 60)):
        goldens[f"s3fd_logits_{level}"] = logits.numpy()
        goldens[f"s3fd_offsets_{level}"] = offsets.numpy()
    goldens["s3fd_faces"] = detect_faces(s3fd, picture())[:20]
    rtmpose = small_rtmpose()
    logits_x, logits_y = rtmpose(small_input(128, 96))
    goldens["rtmpose_x"], goldens["rtmpose_y"] = logits_x[0, ::30], logits_y[0, ::30]
    landmarks = find_landmarks(rtmpose, picture())
    goldens["rtmpose_points"], goldens["rtmpose_scores"] = landmarks
    bisenet = small_bisenet()
    goldens["bisenet_logits"] = bisenet(small_input(64, 96))[0, :, ::7, ::7]
    goldens["bisenet_classes"] = parse_face(bisenet, picture())[::16, ::16]
    return {
        name: array if array.dtype == np.uint8 else array.astype(np.float32)
        for name, array in ((name, np.asarray(values)) for name, values in goldens.items())
    }


if __name__ == "__main__":
    np.savez_compressed(GOLDENS, allow_pickle=False, **compute())
