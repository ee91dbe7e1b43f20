"""MuseTalk's networks at a hundredth of their size, with random weights; faces are planted.

The face networks see a face wherever a square of 16 x 16 bright pixels lies on a dark frame, on
the detector's grid. A white square is a large face, a red one a smaller. The landmarks do not look
at all: they are always at the same places of what they are shown. For tests and benchmarks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from avatarvideo.musetalk.networks.bisenet import BiSeNet, BiSeNetConfig
from avatarvideo.musetalk.networks.rtmpose import FACE_LANDMARKS, RTMPose, RTMPoseConfig
from avatarvideo.musetalk.networks.s3fd import S3FD, S3FDConfig
from avatarvideo.musetalk.networks.taesd import TAESDConfig, TAESDDecoder
from avatarvideo.musetalk.networks.unet import UNet, UNetConfig
from avatarvideo.musetalk.networks.vae import AutoencoderKL, VAEConfig
from avatarvideo.musetalk.networks.whisper import WhisperConfig, WhisperEncoder
from support.given_models import MuseTalkModels
from support.random_weights import fill_randomly

UNET = UNetConfig(
    block_out_channels=(8, 16),
    layers_per_block=1,
    attention_heads=2,
    cross_attention_dim=24,
    norm_num_groups=4,
)
VAE = VAEConfig(block_out_channels=(4, 4, 8, 8), layers_per_block=1, norm_num_groups=2)
WHISPER = WhisperConfig(width=24, heads=2)
BISENET = BiSeNetConfig(stages=(16, 16, 24, 32), context=16, side=8)
S3FD_CHANNELS = S3FDConfig(stages=(4, 4, 4, 4, 4), fc=4, conv6=(4, 4), conv7=(4, 4))
RTMPOSE = RTMPoseConfig(
    stem=8,
    stages=((8, 1), (8, 1), (8, 1), (8, 1)),
    input_size=(96, 128),
    width=8,
    attention_width=8,
)
WHITE, RED = (255, 255, 255), (255, 0, 0)
SQUARE = 16  # pixels: one cell of the level that sees faces
# Where the landmarks lie in what RTMPose is shown, as shares of its width and height.
LEFT, BRIDGE, RIGHT, CHIN = 0.15625, 0.40625, 0.4375, 0.5  # multiples of a bin, RIGHT below 0.5


def tiny_models(seed: int = 0) -> MuseTalkModels:
    """Return all six networks in float32."""
    fill = fill_randomly
    bisenet = fill(BiSeNet(BISENET), seed + 3)
    classes = bisenet.conv_out.conv_out.weight
    classes *= 30
    # With the default seed the likeliest of all are 13 and 6: background and skin they shall be.
    classes[[0, 13]], classes[[1, 6]] = classes[[13, 0]], classes[[6, 1]]
    return MuseTalkModels(
        unet=fill(UNet(UNET), seed),
        vae=fill(AutoencoderKL(VAE), seed + 1),
        whisper=fill(WhisperEncoder(WHISPER), seed + 2),
        bisenet=bisenet,
        s3fd=planted_s3fd(),
        rtmpose=planted_rtmpose(),
    )


def small_decoder(seed: int = 9) -> TAESDDecoder:
    """Return a small decoder in float32, for the models' ``taesd``."""
    return fill_randomly(TAESDDecoder(TAESDConfig(channels=4, blocks=(1, 1, 1, 1))), seed)


def plant_face(frame: np.ndarray, column: int, row: int, colour: tuple[int, ...] = WHITE) -> None:
    """Draw what the detector takes for a face into cell (column, row) of a dark frame."""
    frame[row * SQUARE : (row + 1) * SQUARE, column * SQUARE : (column + 1) * SQUARE] = colour


@torch.no_grad()
def planted_s3fd() -> S3FD:
    """Return a detector that knows bright squares on frames below 100.

    A face is seen around the square's center: 64 pixels for red, 85 for white.
    """
    network = S3FD(S3FD_CHANNELS)
    for name, tensor in network.state_dict().items():
        tensor.zero_()
        if name.endswith("_norm.weight"):
            tensor.fill_(1.0)
        if name.endswith("conf.bias"):
            tensor[:] = -20.0  # every kind of background and face alike, but see below
            tensor[-1] = -40.0
    for convolution in _trunk(network):
        middle = convolution.kernel_size[0] // 2
        for channel in range(2):
            convolution.weight[channel, channel, middle, middle] = 1.0
    first = _convolution(network, "conv1_1").weight
    first.zero_()
    first[0, 0, 1, 1] = 1.0  # red, less the 104 that is taken off
    first[1, 2, 1, 1] = 1.0  # blue
    # After the norm red is (1, 0) and white (0.75, 0.66), wherever it is dark (0, 0).
    scores = _convolution(network, "conv5_3_norm_mbox_conf")
    offsets = _convolution(network, "conv5_3_norm_mbox_loc")
    assert scores.bias is not None
    scores.bias[:] = torch.tensor([0.0, -5.0])
    scores.weight[1, 0, 1, 1] = 10.0
    for size in (2, 3):
        offsets.weight[size, 1, 1, 1] = np.log(85 / 64) / 0.2 / (132 / np.hypot(151, 132))
    return network.eval().requires_grad_(False)


def _convolution(network: S3FD, name: str) -> nn.Conv2d:
    convolution = network.get_submodule(name)
    assert isinstance(convolution, nn.Conv2d)
    return convolution


def _trunk(network: S3FD) -> list[nn.Conv2d]:
    names = ("conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3")
    names += ("conv4_1", "conv4_2", "conv4_3", "conv5_1", "conv5_2", "conv5_3")
    return [getattr(network, name) for name in names]


@torch.no_grad()
def planted_rtmpose() -> RTMPose:
    """Return a landmark network that has the nose bridge up and left and the chin down and right.

    All landmarks but the chin lie at (LEFT, BRIDGE), the chin at (RIGHT, CHIN).
    """
    network = RTMPose(RTMPOSE)
    for name, tensor in network.state_dict().items():
        if name.endswith("running_var"):
            tensor.fill_(1.0)
        elif not name.endswith("num_batches_tracked"):
            tensor.zero_()
    head: Any = network.head  # whose parts torch calls tensors or modules
    sign = torch.ones(RTMPOSE.landmarks)
    sign[FACE_LANDMARKS.start + 8] = -1.0
    head.final_layer.bias.copy_(sign)  # of equal cells the norm keeps the sign alone
    head.mlp[0].g.fill_(1.0)
    head.mlp[1].weight.fill_(1.0 / head.mlp[1].in_features)
    head.gau.res_scale.scale.fill_(1.0)
    head.gau.ln.g.fill_(1.0)
    for axis, (plus, minus) in ((head.cls_x, (LEFT, RIGHT)), (head.cls_y, (BRIDGE, CHIN))):
        bins = axis.out_features
        axis.weight[int(plus * bins)] = 1.0 / RTMPOSE.width
        axis.weight[int(minus * bins)] = -1.0 / RTMPOSE.width
    return network.eval().requires_grad_(False)
