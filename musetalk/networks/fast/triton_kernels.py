"""Small steps between a network's convolutions, each in as few passes over memory as can be.

Triton kernels for channels-last maps, which PyTorch's own GroupNorm would reorder before and after.
Import this module only where Triton is: ``fused`` does.
"""

# pyright: reportArgumentType=false, reportMissingParameterType=false
# pyright: reportUnknownParameterType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false
# Triton's types describe a kernel from the inside, and a caller gives constants. What a kernel's
# parameters are, Triton finds out when it compiles one for what it is called with.

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import torch
import triton
import triton.language as tl
from torch import Tensor

Parameters = ParamSpec("Parameters")

# One shape for all maps, so that little has to be compiled: pixels x channels of a program.
CHANNELS_AT_ONCE = 64
PIXELS_AT_ONCE = 64
TILE = {"pixels_at_once": PIXELS_AT_ONCE, "channels_at_once": CHANNELS_AT_ONCE}
VALUES_AT_ONCE = 2048
GROUPS = (16, 128)  # channels of a group at the most: two kernels, for most of them are narrow
PROGRAMS = 4096  # wanted of one pass: enough to keep the largest cards busy
MOST_PARTS = 64  # that a map's pixels are cut into while they are counted


def _on_its_device(function: Callable[Parameters, Tensor]) -> Callable[Parameters, Tensor]:
    """Launch where the first argument lies: Triton takes the current device."""

    @wraps(function)
    def launched(*args: Parameters.args, **named: Parameters.kwargs) -> Tensor:
        with torch.cuda.device_of(args[0]):
            return function(*args, **named)

    return launched


@_on_its_device
def group_norm(
    inputs: Tensor,
    weight: Tensor,
    bias: Tensor,
    groups: int,
    epsilon: float,
    *,
    silu: bool,
    added: Tensor | None = None,
) -> Tensor:
    """Return the normalised (B, C, H, W), after SiLU if asked, in the memory order of the inputs.

    inputs: channels last in memory. weight, bias (C,). added (C,): comes to the inputs first.
    Statistics and arithmetic are float32, rounded once. C / groups is at most 128.
    """
    batch, channels, height, width = inputs.shape
    group = channels // groups
    if group > max(GROUPS):
        raise ValueError(f"Expected groups of at most {max(GROUPS)} channels, got {group}.")
    pixels = height * width
    blocks = triton.cdiv(channels, CHANNELS_AT_ONCE)
    parts = min(MOST_PARTS, triton.cdiv(PROGRAMS, batch * blocks))
    each = triton.cdiv(triton.cdiv(pixels, parts), PIXELS_AT_ONCE) * PIXELS_AT_ONCE
    parts = triton.cdiv(pixels, each)
    means, squares = inputs.new_empty(2, batch, parts, channels, dtype=torch.float32)
    factors, terms = inputs.new_empty(2, batch, channels, dtype=torch.float32)
    _moments[(parts, blocks, batch)](inputs, means, squares, pixels, channels, parts, each, **TILE)
    _factors[(groups, batch)](
        means,
        squares,
        weight,
        bias,
        bias if added is None else added,
        factors,
        terms,
        pixels,
        channels,
        parts,
        each,
        group,
        epsilon,
        most_parts=MOST_PARTS,
        widest_group=next(width for width in GROUPS if group <= width),
        has_added=added is not None,
    )
    out = torch.empty_like(inputs)
    _apply[(triton.cdiv(pixels, PIXELS_AT_ONCE), blocks, batch)](
        inputs, factors, terms, out, pixels, channels, silu=silu, **TILE
    )
    return out


@_on_its_device
def add(first: Tensor, second: Tensor | None, bias: Tensor) -> Tensor:
    """Return first + second + bias, rounded once: (B, C, H, W) channels last, bias (C,)."""
    out = torch.empty_like(first)
    total = first.numel()
    _add[(triton.cdiv(total, VALUES_AT_ONCE),)](
        first,
        first if second is None else second,
        bias,
        out,
        total,
        first.shape[1],
        values_at_once=VALUES_AT_ONCE,
        has_second=second is not None,
    )
    return out


@_on_its_device
def gated_gelu(hidden: Tensor) -> Tensor:
    """Return (..., C) of (..., 2 C), contiguous: the first half times the exact GELU of the second.

    The gate is rounded before it is multiplied, as two steps would do.
    """
    width = hidden.shape[-1] // 2
    out = hidden.new_empty(*hidden.shape[:-1], width)
    rows = hidden.numel() // hidden.shape[-1]
    _gated_gelu[(rows, triton.cdiv(width, VALUES_AT_ONCE))](
        hidden, out, width, values_at_once=VALUES_AT_ONCE
    )
    return out


@triton.jit(do_not_specialize=["parts", "each"])
def _moments(
    inputs,
    means,
    squares,
    pixels,
    channels,
    parts,
    each,
    pixels_at_once: tl.constexpr,
    channels_at_once: tl.constexpr,
) -> None:
    """Mean and summed squared deviation of each channel over one part of a map's pixels.

    Deviations are summed from the part's first pixel, so that a large mean costs no digits.
    """
    part = tl.program_id(0)
    image = tl.program_id(2).to(tl.int64)
    channel = tl.program_id(1) * channels_at_once + tl.arange(0, channels_at_once)
    known = channel < channels
    start = part * each
    end = tl.minimum(start + each, pixels)
    column = inputs + image * pixels * channels + channel
    origin = tl.load(column + start * channels, known, other=0.0).to(tl.float32)
    first = tl.zeros((pixels_at_once, channels_at_once), tl.float32)
    second = tl.zeros((pixels_at_once, channels_at_once), tl.float32)
    for at in tl.range(start, end, pixels_at_once, num_stages=3):  # loads run ahead of the sums
        pixel = at + tl.arange(0, pixels_at_once)
        inside = (pixel < end)[:, None] & known[None, :]
        value = tl.load(column[None, :] + pixel[:, None] * channels, inside, other=0.0)
        away = tl.where(inside, value.to(tl.float32) - origin[None, :], 0.0)
        first += away
        second += away * away
    count = (end - start).to(tl.float32)
    shift = tl.sum(first, axis=0) / count
    place = (image * parts + part) * channels + channel
    tl.store(means + place, origin + shift, known)
    tl.store(squares + place, tl.sum(second, axis=0) - shift * shift * count, known)


@triton.jit(do_not_specialize=["parts", "each", "group", "epsilon"])
def _factors(
    means,
    squares,
    weight,
    bias,
    added,
    factors,
    terms,
    pixels,
    channels,
    parts,
    each,
    group,
    epsilon,
    most_parts: tl.constexpr,
    widest_group: tl.constexpr,
    has_added: tl.constexpr,
) -> None:
    """What each channel of one group is multiplied by, and what is added then."""
    image = tl.program_id(1).to(tl.int64)
    known = tl.arange(0, widest_group) < group
    channel = tl.program_id(0) * group + tl.arange(0, widest_group)
    part = tl.arange(0, most_parts)
    inside = (part < parts)[:, None] & known[None, :]
    place = (image * parts + part)[:, None] * channels + channel[None, :]
    mean = tl.load(means + place, inside, other=0.0)
    square = tl.load(squares + place, inside, other=0.0)
    extra = tl.zeros((widest_group,), tl.float32)
    if has_added:
        extra += tl.load(added + channel, known, other=0.0).to(tl.float32)
    mean += extra[None, :]
    counted = tl.minimum(tl.maximum(pixels - part * each, 0), each).to(tl.float32)
    count = tl.where(inside, counted[:, None], 0.0)
    total = (pixels * group).to(tl.float32)
    middle = tl.sum(tl.sum(mean * count, axis=1), axis=0) / total
    away = mean - middle
    spread = tl.sum(tl.sum(square + away * away * count, axis=1), axis=0) / total
    factor = tl.load(weight + channel, known, other=0.0).to(tl.float32) / tl.sqrt(spread + epsilon)
    term = tl.load(bias + channel, known, other=0.0).to(tl.float32) + (extra - middle) * factor
    tl.store(factors + image * channels + channel, factor, known)
    tl.store(terms + image * channels + channel, term, known)


@triton.jit
def _apply(
    inputs,
    factors,
    terms,
    out,
    pixels,
    channels,
    pixels_at_once: tl.constexpr,
    channels_at_once: tl.constexpr,
    silu: tl.constexpr,
) -> None:
    image = tl.program_id(2).to(tl.int64)
    channel = tl.program_id(1) * channels_at_once + tl.arange(0, channels_at_once)
    pixel = tl.program_id(0) * pixels_at_once + tl.arange(0, pixels_at_once)
    known = channel < channels
    inside = (pixel < pixels)[:, None] & known[None, :]
    factor = tl.load(factors + image * channels + channel, known, other=0.0)
    term = tl.load(terms + image * channels + channel, known, other=0.0)
    place = image * pixels * channels + pixel[:, None] * channels + channel[None, :]
    value = tl.load(inputs + place, inside, other=0.0).to(tl.float32)
    value = value * factor[None, :] + term[None, :]
    if silu:
        value = value * tl.sigmoid(value)
    tl.store(out + place, value, inside)


@triton.jit
def _add(
    first,
    second,
    bias,
    out,
    total,
    channels,
    values_at_once: tl.constexpr,
    has_second: tl.constexpr,
) -> None:
    at = tl.program_id(0).to(tl.int64) * values_at_once + tl.arange(0, values_at_once)
    inside = at < total
    value = tl.load(first + at, inside, other=0.0).to(tl.float32)
    if has_second:
        value += tl.load(second + at, inside, other=0.0).to(tl.float32)
    value += tl.load(bias + at % channels, inside, other=0.0).to(tl.float32)
    tl.store(out + at, value, inside)


@triton.jit
def _gated_gelu(hidden, out, width, values_at_once: tl.constexpr) -> None:
    row = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * values_at_once + tl.arange(0, values_at_once)
    inside = at < width
    value = tl.load(hidden + row * 2 * width + at, inside, other=0.0)
    gate = tl.load(hidden + row * 2 * width + width + at, inside, other=0.0).to(tl.float32)
    gate = gate * 0.5 * (1.0 + tl.erf(gate * 0.7071067811865476))
    product = value.to(tl.float32) * gate.to(hidden.dtype.element_ty).to(tl.float32)
    tl.store(out + row * width + at, product, inside)
