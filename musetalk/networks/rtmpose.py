"""RTMPose-l whole body: 133 landmarks of one person in a frame.

CSPNeXt-L backbone and SimCC head of Jiang et al. 2023, for ``dw-ll_ucoco_384.pth`` of DWPose,
whose state-dict keys these are. Preprocessing, flip test and decoding follow mmpose 1.1.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .blocks import ConvNorm, Stoppable, vector_norm

MEANS = (123.675, 116.28, 103.53)  # of R, G, B, 0..255
DEVIATIONS = (58.395, 57.12, 57.375)
BOX_PADDING = 1.25  # the network sees this much more than the box in each direction
BINS_PER_PIXEL = 2.0  # of the two axes along which a landmark is classified
SCALE_NORM_EPSILON = 1e-5
FACE_LANDMARKS = slice(23, 91)  # the 68 of the usual face scheme among the 133
# COCO-WholeBody: the landmark of the other side; body, feet, face, left hand, right hand.
FLIP_INDICES = (
    *(0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15),
    *(20, 21, 22, 17, 18, 19),
    *range(39, 22, -1),
    *range(49, 39, -1),
    *range(50, 54),
    *range(58, 53, -1),
    *(68, 67, 66, 65, 70, 69, 62, 61, 60, 59, 64, 63),
    *range(77, 70, -1),
    *range(82, 77, -1),
    *range(87, 82, -1),
    *range(90, 87, -1),
    *range(112, 133),
    *range(91, 112),
)


@dataclass(frozen=True)
class RTMPoseConfig:
    """Sizes of the network; the defaults are those of the published weights.

    stages: channels and blocks of each. input_size: width and height, multiples of 32.
    """

    stem: int = 64
    stages: tuple[tuple[int, int], ...] = ((128, 3), (256, 6), (512, 6), (1024, 3))
    input_size: tuple[int, int] = (288, 384)
    landmarks: int = len(FLIP_INDICES)
    width: int = 256
    attention_width: int = 128


class Landmarks(NamedTuple):
    """Landmarks of one person.

    points: float64 (133, 2), x and y in pixels of the frame; NaN where the network gave no number.
    scores: float32 (133,), the smaller of the two axes' logits; at most 0 where not found.
    """

    points: np.ndarray
    scores: np.ndarray


@torch.no_grad()
def find_landmarks(
    network: RTMPose,
    frame: np.ndarray,
    box: tuple[float, float, float, float] | None = None,
    *,
    flip_test: bool = True,
) -> Landmarks:
    """Return the landmarks of the person in a box of one frame.

    frame: uint8 RGB (H, W, 3).
    box: (x0, y0, x1, y1) in pixels; None takes the whole frame, as MuseTalk does.
    flip_test: average with the mirrored picture's result, as the reference does.
    ValueError when the box is empty.
    """
    center, scale = center_and_scale(frame, box, network.config.input_size)
    crop = warp_to_input(frame, center, scale, network.config.input_size)
    weight = network.head.final_layer.weight
    image = torch.as_tensor(crop).to(weight.device).permute(2, 0, 1).unsqueeze(0).float()
    means, deviations = (image.new_tensor(values)[:, None, None] for values in (MEANS, DEVIATIONS))
    image = ((image - means) / deviations).to(weight.dtype)
    logits_x, logits_y = network(image)
    if flip_test:
        flipped_x, flipped_y = network(image.flip(-1))
        logits_x = (logits_x + flipped_x[:, FLIP_INDICES].flip(-1)) * 0.5
        logits_y = (logits_y + flipped_y[:, FLIP_INDICES]) * 0.5
    places, scores = decode_logits(logits_x[0].float().cpu(), logits_y[0].float().cpu())
    # Not one expression less: truncated to whole pixels later, the last bit can decide.
    points = places / np.array(network.config.input_size) * scale + center - 0.5 * scale
    return Landmarks(points, scores)


def center_and_scale(
    frame: np.ndarray,
    box: tuple[float, float, float, float] | None,
    input_size: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Return center and size, float32 (2,), of what the network will see, in pixels.

    It is the box, a quarter larger and then enlarged to the input's aspect ratio.
    """
    corners = np.array(box or (0, 0, frame.shape[1], frame.shape[0]), np.float32)
    size = corners[2:] - corners[:2]
    if not (size > 0).all():
        raise ValueError(f"Expected a box with x0 < x1 and y0 < y1, got {corners.tolist()}.")
    center = (corners[:2] + corners[2:]) * 0.5
    width, height = size * BOX_PADDING
    aspect = input_size[0] / input_size[1]
    if width > height * aspect:
        return center, np.array([width, width / aspect], np.float32)
    return center, np.array([height * aspect, height], np.float32)


def warp_to_input(
    frame: np.ndarray, center: np.ndarray, scale: np.ndarray, input_size: tuple[int, int]
) -> np.ndarray:
    """Return that part of the frame at the network's size, black beyond the frame."""
    width, height = input_size
    middle = np.array([width / 2, height / 2], np.float32)
    source = np.stack([center, center, center]).astype(np.float32)
    target = np.stack([middle, middle, middle])
    # Center, a point above it and one to the left of that one: any three would define the map,
    # these are the reference's, and with them the matrix is the same to the last bit.
    source[1:, 1] -= scale[0] * 0.5
    source[2, 0] = center[0] - (source[0, 1] - source[1, 1])
    target[1:, 1] -= width * 0.5
    target[2, 0] = middle[0] - (target[0, 1] - target[1, 1])
    matrix = cv2.getAffineTransform(source, target)
    return cv2.warpAffine(frame, matrix, (width, height), flags=cv2.INTER_LINEAR)


def decode_logits(logits_x: Tensor, logits_y: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return places (K, 2) in input pixels and scores (K,), float32.

    logits_x (K, 2 W), logits_y (K, 2 H): float32 on the CPU. A landmark whose score is not
    positive is put at (-0.5, -0.5), as in the reference; one without a number is nowhere, NaN.
    """
    best_x, bins_x = logits_x.max(dim=1)
    best_y, bins_y = logits_y.max(dim=1)
    scores = torch.minimum(best_x, best_y)
    bins = torch.stack([bins_x, bins_y], dim=1).float()
    bins[scores <= 0] = -1
    bins[scores.isnan()] = torch.nan
    return (bins / BINS_PER_PIXEL).numpy(), scores.numpy()


class RTMPose(Stoppable):
    """Picture of one person to logits over the two axes for each landmark."""

    def __init__(self, config: RTMPoseConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or RTMPoseConfig()
        self.backbone = CSPNeXt(config)
        self.head = Head(config)

    def blocks(self) -> Iterator[nn.Module]:
        """Return the parts of the backbone's stages, and the head."""
        for stage in self.backbone.children():
            yield from stage.children()
        yield self.head

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, 133, 576) along x and (B, 133, 768) along y.

        images (B, 3, 384, 288): RGB less the means, divided by the deviations.
        """
        return self.head(self.backbone(images))


class CSPNeXt(nn.Sequential):
    """The backbone: a stem at half size, then stages that each halve the size."""

    def __init__(self, config: RTMPoseConfig) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            ConvModule(3, config.stem // 2, 3, stride=2),
            ConvModule(config.stem // 2, config.stem // 2, 3),
            ConvModule(config.stem // 2, config.stem, 3),
        )
        channels = config.stem
        for index, (width, blocks) in enumerate(config.stages, start=1):
            is_last = index == len(config.stages)
            stage = nn.Sequential(ConvModule(channels, width, 3, stride=2))
            if is_last:
                stage.append(SpatialPyramidPooling(width))
            stage.append(CSPLayer(width, blocks, residual=not is_last))
            self.add_module(f"stage{index}", stage)
            channels = width


class ConvModule(ConvNorm):
    """Convolution, batch norm, SiLU."""

    # torch's own epsilon, 1e-5: the published config sets aside the 1e-3 of mmdet's default.
    def forward(self, inputs: Tensor) -> Tensor:
        return functional.silu(self.normalised(inputs))


class CSPLayer(nn.Module):
    """Blocks on half the channels beside a shortcut on the others, then channel attention."""

    def __init__(self, channels: int, blocks: int, *, residual: bool) -> None:
        super().__init__()
        half = channels // 2
        self.main_conv = ConvModule(channels, half, 1)
        self.short_conv = ConvModule(channels, half, 1)
        self.final_conv = ConvModule(2 * half, channels, 1)
        self.blocks = nn.Sequential(*(CSPNeXtBlock(half, residual=residual) for _ in range(blocks)))
        self.attention = ChannelAttention(2 * half)

    def forward(self, inputs: Tensor) -> Tensor:
        main = self.blocks(self.main_conv(inputs))
        return self.final_conv(self.attention(torch.cat([main, self.short_conv(inputs)], dim=1)))


class CSPNeXtBlock(nn.Module):
    """A full 3 x 3 convolution, then a depthwise 5 x 5 one."""

    def __init__(self, channels: int, *, residual: bool) -> None:
        super().__init__()
        self.residual = residual
        self.conv1 = ConvModule(channels, channels, 3)
        self.conv2 = DepthwiseSeparable(channels)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.conv2(self.conv1(inputs))
        return hidden + inputs if self.residual else hidden


class DepthwiseSeparable(nn.Sequential):
    """5 x 5 within each channel, then 1 x 1 across them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise_conv = ConvModule(channels, channels, 5, groups=channels)
        self.pointwise_conv = ConvModule(channels, channels, 1)


class ChannelAttention(nn.Module):
    """Weigh each channel by a function of all channels' means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Conv2d(channels, channels, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        means = inputs.mean(dim=(2, 3), keepdim=True)
        return inputs * functional.hardsigmoid(self.fc(means))


class SpatialPyramidPooling(nn.Module):
    """Join each pixel with the maxima of growing squares around it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.sizes = (5, 9, 13)
        self.conv1 = ConvModule(channels, channels // 2, 1)
        self.conv2 = ConvModule(channels // 2 * (1 + len(self.sizes)), channels, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.conv1(inputs)
        pooled = [
            functional.max_pool2d(hidden, size, stride=1, padding=size // 2) for size in self.sizes
        ]
        return self.conv2(torch.cat([hidden, *pooled], dim=1))


class Head(nn.Module):
    """Feature map to one token per landmark, attention among them, logits along each axis."""

    def __init__(self, config: RTMPoseConfig) -> None:
        super().__init__()
        width, height = config.input_size
        reduction = 2 ** (1 + len(config.stages))
        cells = (width // reduction) * (height // reduction)
        self.final_layer = nn.Conv2d(config.stages[-1][0], config.landmarks, 7, padding=3)
        self.mlp = nn.Sequential(ScaleNorm(cells), nn.Linear(cells, config.width, bias=False))
        self.gau = GatedAttention(config.width, config.attention_width)
        self.cls_x = nn.Linear(config.width, int(width * BINS_PER_PIXEL), bias=False)
        self.cls_y = nn.Linear(config.width, int(height * BINS_PER_PIXEL), bias=False)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.gau(self.mlp(self.final_layer(features).flatten(2)))
        return self.cls_x(tokens), self.cls_y(tokens)


class GatedAttention(nn.Module):
    """Gated attention unit (Hua et al. 2022) over the landmarks, with squared ReLU for softmax."""

    def __init__(self, width: int, attention_width: int) -> None:
        super().__init__()
        self.widths = (2 * width, 2 * width, attention_width)
        self.ln = ScaleNorm(width)
        self.uv = nn.Linear(width, sum(self.widths), bias=False)
        self.gamma = nn.Parameter(torch.ones(2, attention_width))
        self.beta = nn.Parameter(torch.zeros(2, attention_width))
        self.o = nn.Linear(2 * width, width, bias=False)
        self.res_scale = Scale(width)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = functional.silu(self.uv(self.ln(tokens)))
        gate, value, base = torch.split(hidden, list(self.widths), dim=2)
        query = base * self.gamma[0] + self.beta[0]
        key = base * self.gamma[1] + self.beta[1]
        weights = functional.relu(query @ key.transpose(1, 2) / self.widths[2] ** 0.5).square()
        return self.res_scale(tokens) + self.o(gate * (weights @ value))


class ScaleNorm(nn.Module):
    """Divide each token by its root mean square, times one learned number."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.g = nn.Parameter(torch.ones(1))

    def forward(self, tokens: Tensor) -> Tensor:
        length = vector_norm(tokens, dim=2, keepdim=True) * self.width**-0.5
        return tokens / length.clamp(min=SCALE_NORM_EPSILON) * self.g


class Scale(nn.Module):
    """Multiply each feature by a learned number."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens * self.scale
