"""S3FD: find faces of any size in a whole frame.

Network and decoding of Zhang et al. 2017 for the published ``s3fd-619a316812.pth``, whose
state-dict keys these are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .blocks import vector_norm

MEANS = (104.0, 117.0, 123.0)  # of blue, green, red in the training pictures, 0..255
SCORE_THRESHOLD = 0.5
OVERLAP_THRESHOLD = 0.3
FIRST_STRIDE = 4  # pixels between the cells of the finest level; doubles with every level
PRIOR_STRIDES = 4  # a cell's prior is a square of this many strides
CENTER_VARIANCE = 0.1
SIZE_VARIANCE = 0.2
SMALLEST_SIDE = 32  # below, the fifth pooling leaves nothing
NORM_EPSILON = 1e-10
DEPTHS = (2, 2, 3, 3, 3)  # convolutions of each stage of the trunk
FIRST_STAGE = 3  # whose maps have heads
LEVELS = ("conv3_3_norm", "conv4_3_norm", "conv5_3_norm", "fc7", "conv6_2", "conv7_2")
# Multiplications of a convolution that a CPU does without asking whether to go on; on two cores
# about half a second.
STRIP_WORK = 1 << 34


@dataclass(frozen=True)
class S3FDConfig:
    """Channels of the network; the defaults are those of the published weights."""

    stages: tuple[int, int, int, int, int] = (64, 128, 256, 512, 512)
    fc: int = 1024
    conv6: tuple[int, int] = (256, 512)
    conv7: tuple[int, int] = (128, 256)


class ScoredBox(NamedTuple):
    """A face in pixels of the frame, possibly beyond its borders; score 0.5..1."""

    x0: float
    y0: float
    x1: float
    y1: float
    score: float


@torch.no_grad()
def detect_faces(network: S3FD, frame: np.ndarray) -> list[ScoredBox]:
    """Return the faces of one frame, the most certain first; none in a frame under 32 pixels.

    frame: uint8 RGB (H, W, 3).
    """
    if min(frame.shape[:2]) < SMALLEST_SIDE:
        return []
    weight = next(network.parameters())
    image = torch.as_tensor(np.ascontiguousarray(frame)).to(weight.device)
    image = image.permute(2, 0, 1).float()
    # The blue mean goes off the red channel and the red off the blue: also the reference's way.
    image = image - image.new_tensor(MEANS)[:, None, None]
    boxes, scores = decode_levels(network(image.unsqueeze(0).to(weight.dtype)))
    kept = suppress_overlaps(boxes, scores)
    return [
        ScoredBox(x0, y0, x1, y1, score)
        for (x0, y0, x1, y1), score in zip(boxes[kept].tolist(), scores[kept].tolist(), strict=True)
    ]


def decode_levels(levels: list[tuple[Tensor, Tensor]]) -> tuple[np.ndarray, np.ndarray]:
    """Return finite boxes (N, 4) and scores (N,) of the cells above the threshold, float32.

    levels: what the network returns for one frame. The reference also takes faint cells along
    and drops them in the end; they never displace a stronger one, so dropping them here is equal.
    """
    boxes: list[Tensor] = []
    scores: list[Tensor] = []
    for level, (logits, offsets) in enumerate(levels):
        stride = FIRST_STRIDE * 2**level
        probabilities = functional.softmax(logits[0].float(), dim=0)[1].cpu()
        rows, columns = torch.where(probabilities > SCORE_THRESHOLD)
        offset = offsets[0].float().cpu()[:, rows, columns].T
        side = float(PRIOR_STRIDES * stride)
        centers = torch.stack([columns, rows], dim=1).float() * stride + stride / 2
        centers = centers + offset[:, :2] * CENTER_VARIANCE * side
        sizes = side * torch.exp(offset[:, 2:] * SIZE_VARIANCE)
        corners = centers - sizes / 2
        boxes.append(torch.cat([corners, corners + sizes], dim=1))
        scores.append(probabilities[rows, columns])
    all_boxes, all_scores = torch.cat(boxes), torch.cat(scores)
    finite = torch.isfinite(all_boxes).all(dim=1)
    return all_boxes[finite].numpy(), all_scores[finite].numpy()


def suppress_overlaps(boxes: np.ndarray, scores: np.ndarray) -> list[int]:
    """Return the indices of the boxes to keep, the most certain first.

    Of two boxes whose intersection over union is above 0.3 the less certain goes. Sides count one
    pixel more than the difference of their ends, as the weights' authors count.
    """
    x0, y0, x1, y1 = boxes.T
    areas = (x1 - x0 + 1) * (y1 - y0 + 1)
    order = scores.argsort(kind="stable")[::-1]
    kept: list[int] = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        width = np.minimum(x1[best], x1[rest]) - np.maximum(x0[best], x0[rest]) + 1
        height = np.minimum(y1[best], y1[rest]) - np.maximum(y0[best], y0[rest]) + 1
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        order = rest[shared / (areas[best] + areas[rest] - shared) <= OVERLAP_THRESHOLD]
    return kept


class S3FD(nn.Module):
    """VGG-16 trunk with a score and a box head on six levels.

    between_blocks: called before every convolution of the trunk when set, and on a CPU before every
        strip of a large one, on the calling thread; it may raise to stop the pass.
    strip_work: multiplications in one strip.
    """

    between_blocks: Callable[[], None] | None = None
    strip_work = STRIP_WORK

    def __init__(self, config: S3FDConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or S3FDConfig()
        channels = 3
        for stage, (width, depth) in enumerate(zip(config.stages, DEPTHS, strict=True), start=1):
            for number in range(1, depth + 1):
                self.add_module(f"conv{stage}_{number}", _conv3(channels, width))
                channels = width
        # Padding 3 instead of 1 makes this and the coarser maps larger than the frame's share.
        self.fc6 = nn.Conv2d(channels, config.fc, 3, padding=3)
        self.fc7 = nn.Conv2d(config.fc, config.fc, 1)
        self.conv6_1 = nn.Conv2d(config.fc, config.conv6[0], 1)
        self.conv6_2 = nn.Conv2d(*config.conv6, 3, stride=2, padding=1)
        self.conv7_1 = nn.Conv2d(config.conv6[1], config.conv7[0], 1)
        self.conv7_2 = nn.Conv2d(*config.conv7, 3, stride=2, padding=1)
        widths = (*config.stages[FIRST_STAGE - 1 :], config.fc, config.conv6[1], config.conv7[1])
        for name, width in zip(LEVELS, widths, strict=True):
            if name.endswith("_norm"):
                self.add_module(name, L2Norm(width))
            # Four scores on the finest level: three kinds of background, one face.
            self.add_module(f"{name}_mbox_conf", _conv3(width, 4 if name == LEVELS[0] else 2))
            self.add_module(f"{name}_mbox_loc", _conv3(width, 4))

    def forward(self, images: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return, from the finest level on, logits (B, 2, h, w) and box offsets (B, 4, h, w).

        images (B, 3, H, W): 0..255 less the means; H and W at least 32. Logits are of background
        and face; offsets of center and logarithmic size, in variances.
        """
        levels: list[Tensor] = []
        hidden = images
        for stage, depth in enumerate(DEPTHS, start=1):
            names = (f"conv{stage}_{number}" for number in range(1, depth + 1))
            hidden = self._run(hidden, *names)
            if stage >= FIRST_STAGE:
                levels.append(hidden)
            hidden = functional.max_pool2d(hidden, 2)
        for names in (("fc6", "fc7"), ("conv6_1", "conv6_2"), ("conv7_1", "conv7_2")):
            hidden = self._run(hidden, *names)
            levels.append(hidden)
        return [self._scored(name, maps) for name, maps in zip(LEVELS, levels, strict=True)]

    def _scored(self, name: str, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and box offsets of one level."""
        if name.endswith("_norm"):
            maps = self.get_submodule(name)(maps)
        logits = self.get_submodule(f"{name}_mbox_conf")(maps)
        background = logits[:, :-1].amax(dim=1, keepdim=True)
        offsets = self.get_submodule(f"{name}_mbox_loc")(maps)
        return torch.cat([background, logits[:, -1:]], 1), offsets

    def _run(self, hidden: Tensor, *names: str) -> Tensor:
        for name in names:
            convolution = self.get_submodule(name)
            assert isinstance(convolution, nn.Conv2d)
            if self._is_long(convolution, hidden):
                hidden = self._in_strips(convolution, hidden)
                continue
            if self.between_blocks:
                self.between_blocks()
            hidden = functional.relu_(convolution(hidden))
        return hidden

    def _is_long(self, convolution: nn.Conv2d, maps: Tensor) -> bool:
        work = convolution.weight.numel() * maps[:, :1].numel()
        keeps_size = convolution.kernel_size == (3, 3) and convolution.padding == (1, 1)
        keeps_size = keeps_size and convolution.stride == (1, 1)
        return keeps_size and maps.device.type == "cpu" and work > self.strip_work

    def _in_strips(self, convolution: nn.Conv2d, maps: Tensor) -> Tensor:
        """Return what one pass does, made of strips of rows."""
        batch, _, height, width = maps.shape
        lines = max(1, self.strip_work // (convolution.weight.numel() * batch * width))
        out = maps.new_empty(batch, convolution.out_channels, height, width)
        for top in range(0, height, lines):
            if self.between_blocks:
                self.between_blocks()
            bottom = min(top + lines, height)
            seen = maps[:, :, max(0, top - 1) : bottom + 1]
            seen = functional.pad(seen, (1, 1, int(top == 0), int(bottom == height)))
            strip = functional.conv2d(seen, convolution.weight, convolution.bias)
            out[:, :, top:bottom] = functional.relu_(strip)
        return out


class L2Norm(nn.Module):
    """Give every pixel's features length one, then scale each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, features: Tensor) -> Tensor:
        norm = vector_norm(features, dim=1, keepdim=True)
        return features / (norm + NORM_EPSILON) * self.weight[:, None, None]


def _conv3(channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, out_channels, 3, padding=1)
