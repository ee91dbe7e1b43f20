"""GroupNorm, SiLU, biases and sums, put together where a GPU computes in half precision.

What lies between convolutions takes more than half of the time there. Where Triton is missing or
fails, and everywhere else, PyTorch's own steps do the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from types import ModuleType

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..blocks import ResidualConvs
from .winograd import Conv3x3

log = logging.getLogger("avatarvideo.musetalk.networks.fast.fused")

TOLERANCE = 5e-3  # of the trial's float16 values, which are about 1


def fuses(inputs: Tensor) -> bool:
    """Say whether steps are fused for these inputs."""
    return kernels_for(inputs) is not None


def kernels_for(inputs: Tensor) -> ModuleType | None:
    """Return the module of kernels that takes these inputs, None where PyTorch's steps do."""
    half = inputs.dtype in (torch.float16, torch.bfloat16)
    return kernels(inputs.device) if inputs.is_cuda and half else None


def normalised(
    inputs: Tensor, norm: nn.GroupNorm, *, silu: bool = False, added: Tensor | None = None
) -> Tensor:
    """Return the normalised (B, C, H, W), after SiLU if asked; ``added`` (C,) comes to it first."""
    module = kernels_for(inputs)
    if module is None:
        maps = inputs if added is None else inputs + added.view(1, -1, 1, 1)
        maps = functional.group_norm(maps, norm.num_groups, norm.weight, norm.bias, norm.eps)
        return functional.silu(maps, inplace=True) if silu else maps
    ordered = inputs.contiguous(memory_format=torch.channels_last)
    return module.group_norm(
        ordered, norm.weight, norm.bias, norm.num_groups, norm.eps, silu=silu, added=added
    )


def residual(block: ResidualConvs, inputs: Tensor) -> Tensor:
    """Return what a residual block makes of (B, C, H, W).

    The convolutions' biases are added where a map is read anyway: within the second norm, and
    within the sum with the skip.
    """
    hidden = _without_bias(block.conv1, normalised(inputs, block.norm1, silu=True))
    hidden = normalised(hidden, block.norm2, silu=True, added=block.conv1.bias)
    hidden = _without_bias(block.conv2, hidden)
    if block.conv_shortcut is None:
        return sum_with_bias(hidden, inputs, block.conv2.bias)
    bias = _bias(block.conv2) + _bias(block.conv_shortcut)
    return sum_with_bias(hidden, _without_bias(block.conv_shortcut, inputs), bias)


def sum_with_bias(first: Tensor, second: Tensor | None, bias: Tensor | None) -> Tensor:
    """Return first + second + bias: (B, C, H, W), bias (C,); None is left out."""
    module = kernels_for(first)
    if module is None or bias is None:
        maps = first if second is None else first + second
        return maps if bias is None else maps + bias.view(1, -1, 1, 1)
    first = first.contiguous(memory_format=torch.channels_last)
    if second is not None:
        second = second.contiguous(memory_format=torch.channels_last)
    return module.add(first, second, bias)


def upsampled(convolution: Conv3x3, inputs: Tensor) -> Tensor:
    """Return the convolution of (B, C, H, W) upsampled, as one transposed convolution."""
    if not fuses(inputs):
        return convolution.upsampled_transposed(inputs, convolution.bias)
    maps = convolution.upsampled_transposed(inputs, None)
    return sum_with_bias(maps, None, convolution.bias)


def gated_gelu(hidden: Tensor) -> Tensor:
    """Return the first half of (..., 2 C) times the exact GELU of the second half."""
    module = kernels_for(hidden)
    if module is None:
        value, gate = hidden.chunk(2, dim=-1)
        return value * functional.gelu(gate)
    return module.gated_gelu(hidden.contiguous())


def _without_bias(convolution: nn.Conv2d, inputs: Tensor) -> Tensor:
    return functional.conv2d(inputs, convolution.weight, padding=convolution.kernel_size[0] // 2)


def _bias(convolution: nn.Conv2d) -> Tensor:
    bias = convolution.bias
    return convolution.weight.new_zeros(len(convolution.weight)) if bias is None else bias


@cache
def kernels(
    device: torch.device, try_out: Callable[[ModuleType, torch.device], float] | None = None
) -> ModuleType | None:
    """Return the module of kernels where Triton is there and passes a trial on that GPU.

    None otherwise, which is logged. Raises OutOfMemoryError. try_out: None for ``trial``.
    """
    try:
        from . import triton_kernels
    except ImportError as error:
        log.info("networks go without fused steps on %s: %s", device, error)
        return None
    try:
        difference = (try_out or trial)(triton_kernels, device)
    except torch.OutOfMemoryError:
        raise  # it says nothing of the kernels
    except Exception as error:  # noqa: BLE001 - whatever a compiler or a driver can raise
        log.warning("networks go without fused steps on %s: Triton failed: %s", device, error)
        return None
    if not difference <= TOLERANCE:
        sentence = "networks go without fused steps on %s: Triton was off by %g"
        log.warning(sentence, device, difference)
        return None
    return triton_kernels


def trial(module: ModuleType, device: torch.device) -> float:
    """Return how far the kernels are from PyTorch in float32, on values that are about 1."""
    values = torch.linspace(0, 900, 2 * 64 * 64).sin().view(2, 64, 8, 8)
    maps = values.to(device, torch.float16).contiguous(memory_format=torch.channels_last)
    weight = torch.linspace(0.5, 1.5, 64).to(device, torch.float16)
    wide, added = maps.float(), weight.float().view(1, -1, 1, 1)

    def norm(inputs: Tensor, groups: int) -> Tensor:
        return functional.group_norm(inputs, groups, weight.float(), weight.float(), 1e-6)

    value, gate = wide.permute(0, 2, 3, 1).chunk(2, dim=-1)
    pairs = [
        (
            module.group_norm(maps, weight, weight, 32, 1e-6, silu=True, added=weight),
            functional.silu(norm(wide + added, 32)),
        ),
        (module.group_norm(maps, weight, weight, 2, 1e-6, silu=False), norm(wide, 2)),
        (module.add(maps, maps, weight), wide + wide + added),
        (module.add(maps, None, weight), wide + added),
        (module.gated_gelu(maps.permute(0, 2, 3, 1)), value * functional.gelu(gate)),
    ]
    return max(float((made - wanted).abs().max()) for made, wanted in pairs)
