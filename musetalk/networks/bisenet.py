"""BiSeNet: which part of the face every pixel of a head-and-shoulders picture belongs to.

ResNet-18 variant of Yu et al. 2018 for the published ``79999_iter.pth``, whose state-dict keys
these are; the file holds the ResNet trunk as well, so no other file is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from .blocks import ConvNorm, Stoppable

PARSING_SIZE = 512  # pixels on each side; all mask widths are meant in this picture
MEANS = (0.485, 0.456, 0.406)  # of R, G, B, 0..1
DEVIATIONS = (0.229, 0.224, 0.225)


# The classes, numbered from 0 as in CelebAMask-HQ.
FacePart = IntEnum(
    "FacePart",
    "BACKGROUND SKIN LEFT_BROW RIGHT_BROW LEFT_EYE RIGHT_EYE GLASSES LEFT_EAR RIGHT_EAR EARRING "
    "NOSE MOUTH UPPER_LIP LOWER_LIP NECK NECKLACE CLOTH HAIR HAT",
    start=0,
)


@dataclass(frozen=True)
class BiSeNetConfig:
    """Channels of the network; the defaults are those of the published weights.

    context: of the coarse path. side: of the two heads that only training used.
    """

    stages: tuple[int, int, int, int] = (64, 128, 256, 512)
    context: int = 128
    side: int = 64
    classes: int = len(FacePart)


@torch.no_grad()
def parse_face(network: BiSeNet, crop: np.ndarray) -> np.ndarray:
    """Return the class of every pixel, uint8 (512, 512), of a crop stretched to that size.

    crop: uint8 RGB (h, w, 3). Pillow's bilinear filter is part of the result: unlike OpenCV's it
    averages when it shrinks.
    """
    size = (PARSING_SIZE, PARSING_SIZE)
    resized = np.array(Image.fromarray(crop).resize(size, Image.Resampling.BILINEAR))
    weight = network.conv_out.conv_out.weight
    image = torch.as_tensor(resized).to(weight.device).permute(2, 0, 1).float() / 255
    means, deviations = (image.new_tensor(values)[:, None, None] for values in (MEANS, DEVIATIONS))
    logits = network(((image - means) / deviations).unsqueeze(0).to(weight.dtype))
    # Classes side by side in memory: a CPU compares them four times as fast.
    likeliest = logits[0].permute(1, 2, 0).contiguous().argmax(dim=2)
    return likeliest.to(torch.uint8).cpu().numpy()


class BiSeNet(Stoppable):
    """Picture to class logits."""

    def __init__(self, config: BiSeNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or BiSeNetConfig()
        fused = config.stages[1] + config.context
        self.cp = ContextPath(config)
        self.ffm = FeatureFusion(fused)
        self.conv_out = OutputHead(fused, fused, config.classes)
        self.conv_out16 = OutputHead(config.context, config.side, config.classes)
        self.conv_out32 = OutputHead(config.context, config.side, config.classes)

    def blocks(self) -> Iterator[nn.Module]:
        """Return the trunk's blocks, what brings its features back, and the fusion."""
        kinds = (ResidualBlock, AttentionRefinement, FeatureFusion)
        return (module for module in self.modules() if isinstance(module, kinds))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, 19, H, W).

        images (B, 3, H, W): RGB less the means, divided by the deviations; 512 x 512 was trained.
        """
        fine, context = self.cp(images)
        logits = self.conv_out(self.ffm(fine, context))
        return functional.interpolate(logits, images.shape[2:], mode="bilinear", align_corners=True)


class ConvBNReLU(ConvNorm):
    """Convolution, batch norm, ReLU."""

    def forward(self, inputs: Tensor) -> Tensor:
        return functional.relu(self.normalised(inputs))


class OutputHead(nn.Module):
    """Features to class logits at the features' size."""

    def __init__(self, channels: int, width: int, classes: int) -> None:
        super().__init__()
        self.conv = ConvBNReLU(channels, width, 3)
        self.conv_out = nn.Conv2d(width, classes, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        return self.conv_out(self.conv(features))


class ResidualBlock(nn.Module):
    """ResNet's basic block."""

    def __init__(self, channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample = None
        if stride != 1 or channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = functional.relu(self.bn1(self.conv1(inputs)))
        hidden = self.bn2(self.conv2(hidden))
        return functional.relu(
            hidden + (inputs if self.downsample is None else self.downsample(inputs))
        )


class ResNet18(nn.Module):
    """The trunk, without its classifier."""

    def __init__(self, stages: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, stages[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(stages[0])
        self.layer1 = _stage(stages[0], stages[0], stride=1)
        self.layer2 = _stage(stages[0], stages[1], stride=2)
        self.layer3 = _stage(stages[1], stages[2], stride=2)
        self.layer4 = _stage(stages[2], stages[3], stride=2)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return features at an eighth, a sixteenth and a thirty-second of the size."""
        hidden = functional.relu(self.bn1(self.conv1(images)))
        hidden = functional.max_pool2d(hidden, 3, stride=2, padding=1)
        eighth = self.layer2(self.layer1(hidden))
        sixteenth = self.layer3(eighth)
        return eighth, sixteenth, self.layer4(sixteenth)


class AttentionRefinement(nn.Module):
    """Weigh each channel by a function of all channels' means."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = ConvBNReLU(channels, out_channels, 3)
        self.conv_atten = nn.Conv2d(out_channels, out_channels, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(out_channels)

    def forward(self, inputs: Tensor) -> Tensor:
        features = self.conv(inputs)
        weights = self.bn_atten(self.conv_atten(_means(features)))
        return features * torch.sigmoid(weights)


class ContextPath(nn.Module):
    """The trunk, and its coarse features brought back to an eighth of the size."""

    def __init__(self, config: BiSeNetConfig) -> None:
        super().__init__()
        self.resnet = ResNet18(config.stages)
        self.arm16 = AttentionRefinement(config.stages[2], config.context)
        self.arm32 = AttentionRefinement(config.stages[3], config.context)
        self.conv_head32 = ConvBNReLU(config.context, config.context, 3)
        self.conv_head16 = ConvBNReLU(config.context, config.context, 3)
        self.conv_avg = ConvBNReLU(config.stages[3], config.context, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the fine features and the context, both at an eighth of the size."""
        eighth, sixteenth, last = self.resnet(images)
        context = self.arm32(last) + self.conv_avg(_means(last))
        context = self.conv_head32(functional.interpolate(context, sixteenth.shape[2:]))
        context = self.arm16(sixteenth) + context
        return eighth, self.conv_head16(functional.interpolate(context, eighth.shape[2:]))


class FeatureFusion(nn.Module):
    """Join fine features and context, and strengthen the channels that matter."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convblk = ConvBNReLU(channels, channels, 1)
        self.conv1 = nn.Conv2d(channels, channels // 4, 1, bias=False)
        self.conv2 = nn.Conv2d(channels // 4, channels, 1, bias=False)

    def forward(self, fine: Tensor, context: Tensor) -> Tensor:
        features = self.convblk(torch.cat([fine, context], dim=1))
        weights = torch.sigmoid(self.conv2(functional.relu(self.conv1(_means(features)))))
        return features * weights + features


def _stage(channels: int, out_channels: int, *, stride: int) -> nn.Sequential:
    first = ResidualBlock(channels, out_channels, stride)
    return nn.Sequential(first, ResidualBlock(out_channels, out_channels, stride=1))


def _means(features: Tensor) -> Tensor:
    return features.mean(dim=(2, 3), keepdim=True)
