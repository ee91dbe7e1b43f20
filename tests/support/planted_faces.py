"""Give random face networks one answer for every picture, so that a whole run can be tried.

All convolutions before the last ones stay random and are computed; only their result is no
longer listened to. What is planted holds for any size of picture.
"""

from __future__ import annotations

import math

import torch

from avatarvideo.musetalk.networks.bisenet import BiSeNet, FacePart
from avatarvideo.musetalk.networks.rtmpose import FLIP_INDICES, RTMPose
from avatarvideo.musetalk.networks.s3fd import (
    CENTER_VARIANCE,
    FIRST_STRIDE,
    PRIOR_STRIDES,
    S3FD,
    SIZE_VARIANCE,
)

FACE_BOX = (80.0, 70.0, 240.0, 230.0)  # pixels of the frame
NOSE_BRIDGE = 52  # the lower end of the bridge, landmark 29 of the face's 68
# Of what the landmark network sees: the face begins at this column and ends at its mirror image;
# its chin and the landmark that halves the crop lie on these rows. In a frame at least as wide as
# high the crop is then 0.3..0.7 of the width, from 0.15 widths above its middle to 0.25 below.
FACE_COLUMN = 0.34
BRIDGE_ROW = 0.53
CHIN_ROW = 0.65


@torch.no_grad()
def plant_box(network: S3FD, box: tuple[float, float, float, float] = FACE_BOX) -> None:
    """Make the detector find exactly one face, at ``box`` in pixels, in every picture."""
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Conv2d) and name.endswith(("_conf", "_loc")):
            module.weight.zero_()
            if module.bias is not None:
                module.bias.fill_(4.0 if name.endswith("_conf") else 0.0)
                module.bias[-1] = -4.0 if name.endswith("_conf") else 0.0
    network.conv7_2.weight.zero_()
    _bias(network.conv7_2).fill_(1.0)
    # On the coarsest level every cell sees ones, but beyond the border zeros: a head that minds
    # ones above and to the left fires in the first cell only.
    score, offset = (network.get_submodule(f"conv7_2_mbox_{end}") for end in ("conf", "loc"))
    assert isinstance(score, torch.nn.Conv2d)
    assert isinstance(offset, torch.nn.Conv2d)
    score.weight[1, :, 0, :] = -1.0
    score.weight[1, :, :, 0] = -1.0
    _bias(score).copy_(torch.tensor([-4.0, 4.0]))
    stride = FIRST_STRIDE * 2**5
    side = PRIOR_STRIDES * stride
    x0, y0, x1, y1 = box
    offsets = [
        ((x0 + x1) / 2 - stride / 2) / (CENTER_VARIANCE * side),
        ((y0 + y1) / 2 - stride / 2) / (CENTER_VARIANCE * side),
        math.log((x1 - x0) / side) / SIZE_VARIANCE,
        math.log((y1 - y0) / side) / SIZE_VARIANCE,
    ]
    _bias(offset).copy_(torch.tensor(offsets))


@torch.no_grad()
def plant_landmarks(network: RTMPose) -> None:
    """Make the landmark network see one face of four kinds of points in every picture.

    On the chin's row the left and right ones and those without a partner on the other side; the
    bridge alone on its own. It survives the flip test.
    """
    groups = [
        3 if index == NOSE_BRIDGE else 2 if index == mirror else int(index > mirror)
        for index, mirror in enumerate(FLIP_INDICES)
    ]
    last_norm = network.backbone.get_submodule(f"stage{len(network.config.stages)}.2.final_conv.bn")
    assert isinstance(last_norm, torch.nn.BatchNorm2d)
    last_norm.weight.zero_()
    last_norm.bias.fill_(1.0)
    head = network.head
    head.final_layer.weight.zero_()
    _bias(head.final_layer).zero_()
    # Every pixel is equal now, so only the border tells kinds apart: each looks one pixel to
    # another side.
    for index, group in enumerate(groups):
        row, column = ((3, 2), (3, 4), (4, 3), (2, 3))[group]
        head.final_layer.weight[index, :, row, column] = 1.0 / head.final_layer.in_channels
    head.gau.o.weight.zero_()
    tokens = _tokens(network)
    chosen = torch.stack([tokens[groups.index(group)] for group in range(4)])
    readers = 10 * torch.linalg.pinv(chosen.double()).T.to(chosen.dtype)  # each answers one kind
    width, height = head.cls_x.out_features, head.cls_y.out_features
    left, chin = int(FACE_COLUMN * width), int(CHIN_ROW * height)
    columns = (left, width - 1 - left, width // 2 - 1, width // 2 - 1)  # mirrored exactly
    rows = (chin, chin, chin, int(BRIDGE_ROW * height))
    for layer, places in ((head.cls_x, columns), (head.cls_y, rows)):
        layer.weight.zero_()
        for place, reader in zip(places, readers, strict=True):
            layer.weight[place] += reader


@torch.no_grad()
def plant_skin(network: BiSeNet) -> None:
    """Make the parser see skin everywhere."""
    norm = network.conv_out.conv.bn
    norm.weight.zero_()
    norm.bias.fill_(1.0)
    network.conv_out.conv_out.weight[FacePart.SKIN] = 1.0


def _tokens(network: RTMPose) -> torch.Tensor:
    width, height = (
        side // 2 ** (1 + len(network.config.stages)) for side in network.config.input_size
    )
    weight = network.head.final_layer.weight
    features = torch.nn.functional.silu(weight.new_ones(1, weight.shape[1], height, width))
    head = network.head
    return head.gau(head.mlp(head.final_layer(features).flatten(2)))[0]


def _bias(module: torch.nn.Conv2d) -> torch.Tensor:
    assert module.bias is not None
    return module.bias
