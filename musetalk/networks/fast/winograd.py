"""3 x 3 convolutions computed with fewer multiplications, for CPUs.

Exact but for rounding: Winograd's minimal filtering, after Lavin and Gray (arXiv:1509.09308).
Written for float32 and CPUs on which matrix products are as fast as convolutions
(``products``); everything else takes PyTorch's own convolution.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from .products import batched_product, by_onednn, product, product_into
from .workers import compute_parts, worker_count

SMALLEST_CHANNELS = 64  # below it there is more to rearrange than to multiply
SMALLEST_TILED = 16  # pixels; below it the transformed kernels are more to read than the maps
SMALLEST_LARGE = 32  # from here on tiles of 4 x 4 outputs pay for their larger kernels
# Of one intermediate: glibc gives blocks above 32 MiB back to the system at once, and getting
# them again costs more than reading the kernels again for the next part of the map.
# Of all workers together.
PART_BYTES = 24 << 20
# Of what is cut from some rows of tiles: a matrix product of so few rows is fast only in a cache.
STRIP_BYTES = 1 << 20

CHANNELS_AT_ONCE = 64  # of a kernel while it is transformed

Rows = tuple[tuple[float, ...], ...]
Prepared = Literal["phases", "transposed"]


@dataclass(frozen=True)
class Tiling:
    """One dimension of a tiled convolution; the other one is alike.

    inputs (P, I): I pixels, of which the first is one before the tile, to P factors.
    kernel (P, 3): to P factors too. outputs (O, P): products of the two to O pixels.
    step: input pixels from one tile to the next.
    """

    inputs: Rows
    kernel: Rows
    outputs: Rows
    step: int


# 16 multiplications where 36 were; rounds less than a plain convolution does.
SMALL_TILES = Tiling(
    inputs=((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, -1, 0, 1)),
    kernel=((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1)),
    outputs=((1, 1, 1, 0), (0, 1, -1, 1)),
    step=2,
)
# 36 multiplications where 144 were. The points 0, 1, -1, 1/2, -2 round less than the usual ones
# (Barabasz et al., arXiv:1803.10986); rows are scaled by powers of two.
LARGE_TILES = Tiling(
    inputs=(
        (0.5, -0.75, -1, 0.75, 0.5, 0),
        (0, -0.5, 0.25, 1.25, 0.5, 0),
        (0, 0.5, -1.25, 0.25, 0.5, 0),
        (0, -1, -0.5, 1, 0.5, 0),
        (0, 0.5, -1, -0.5, 1, 0),
        (0, 0.5, -0.75, -1, 0.75, 0.5),
    ),
    kernel=(
        (2, 0, 0),
        (2 / 3, 2 / 3, 2 / 3),
        (-2 / 3, 2 / 3, -2 / 3),
        (-32 / 15, -16 / 15, -8 / 15),
        (1 / 15, -2 / 15, 4 / 15),
        (0, 0, 2),
    ),
    outputs=(
        (1, 1, 1, 1, 1, 0),
        (0, 1, -1, 0.5, -2, 0),
        (0, 1, 1, 0.25, 4, 0),
        (0, 1, -1, 0.125, -8, 1),
    ),
    step=4,
)
# A map whose every pixel is repeated, convolved without making it: 36 multiplications for 16
# outputs, where 144 were. Its factors are plain differences and sums.
UPSAMPLING_TILES = Tiling(
    inputs=(
        (1, -1, 0, 0),
        (0, 1, 0, 0),
        (0, -1, 1, 0),
        (0, -1, 1, 0),
        (0, 0, 1, 0),
        (0, 0, -1, 1),
    ),
    kernel=((1, 0, 0), (1, 1, 1), (0, 1, 1), (-1, -1, 0), (1, 1, 1), (0, 0, 1)),
    outputs=((1, 1, 0, 0, 0, 0), (0, 0, 0, 1, 1, 0), (0, 1, 1, 0, 0, 0), (0, 0, 0, 0, 1, 1)),
    step=2,
)
# Which kernel places fall on the same source pixel: of the two halves of a repeated pixel, the two
# source pixels that each sees.
PHASE_TAPS = (((1, 0, 0), (0, 1, 1)), ((1, 1, 0), (0, 0, 1)))
# Which kernel places carry a source pixel, seen twice, to the four outputs around it.
TRANSPOSED_TAPS = ((0, 0, 1), (0, 1, 1), (1, 1, 0), (1, 0, 0))


class Conv3x3(nn.Conv2d):
    """A 3 x 3 convolution that keeps the size; weights and keys are ``nn.Conv2d``'s.

    tiled: compute with fewer multiplications where that pays, on a CPU in float32. It rounds
        differently: maps of 32 pixels and more up to twice as much, smaller ones less.
    """

    tiled: bool = False
    _factors: tuple[Tiling | Prepared, Tensor] | None = None  # prepared of the weights

    def forward(self, input: Tensor) -> Tensor:
        if not self._saves(input):
            return super().forward(input)
        tiling = tiling_for(input)
        if tiling is not None:
            return tiled_convolution(input, self._kernel(tiling), self.bias, tiling)
        if len(input) == 1 and not by_onednn(input):  # MKL is slow at so few rows
            return super().forward(laid_out_as(self.weight, input))
        return product_convolution(input, self.weight, self.bias)

    def upsampled(self, inputs: Tensor) -> Tensor:
        """Return (B, C', 2 H, 2 W): the convolution of (B, C, H, W) upsampled, pixels repeated."""
        if not self._saves(inputs) or min(inputs.shape[2:]) < SMALLEST_TILED:
            repeated = functional.interpolate(inputs, scale_factor=2.0, mode="nearest")
            return Conv3x3.forward(self, repeated)
        kernel = self._kernel(UPSAMPLING_TILES)
        return tiled_convolution(inputs, kernel, self.bias, UPSAMPLING_TILES)

    def upsampled_in_phases(self, inputs: Tensor) -> Tensor:
        """Return what ``upsampled`` does, of any precision, with 16 multiplications for 36.

        Every output pixel is at one of four places in its source pixel; each has a 2 x 2 kernel.
        """
        kernels = self._prepared("phases", phase_kernels)
        batch, _, height, width = inputs.shape
        bias = None if self.bias is None else self.bias.repeat(4)
        padded = functional.pad(inputs, (1, 1, 1, 1))
        phases = torch.unflatten(functional.conv2d(padded, kernels, bias), 1, (2, 2, -1))
        out = inputs.new_empty(batch, height, 2, width, 2, phases.shape[3])
        for row in range(2):
            for column in range(2):
                seen = phases[:, row, column, :, row : row + height, column : column + width]
                out[:, :, row, :, column] = seen.permute(0, 2, 3, 1)
        return out.view(batch, 2 * height, 2 * width, -1).permute(0, 3, 1, 2)

    def upsampled_transposed(self, inputs: Tensor, bias: Tensor | None) -> Tensor:
        """Return what ``upsampled`` does, with as many multiplications as in phases.

        One step that writes every output pixel once; CPUs are slow at it, NVIDIA's GPUs are not.
        bias (C',): added to it; None leaves it to the caller.
        """
        kernel = self._prepared("transposed", transposed_kernel)
        return functional.conv_transpose2d(inputs, kernel, bias, stride=2, padding=1)

    def forget_factors(self) -> None:
        """Drop what was prepared of the weights; it is made again when needed."""
        self._factors = None

    def _saves(self, inputs: Tensor) -> bool:
        even = inputs.shape[2] % 2 == 0 and inputs.shape[3] % 2 == 0
        wide = min(self.in_channels, self.out_channels) >= SMALLEST_CHANNELS
        plain = inputs.device.type != "cpu" or inputs.dtype != torch.float32
        return self.tiled and even and wide and not plain

    def _kernel(self, tiling: Tiling) -> Tensor:
        return self._prepared(tiling, lambda weight: kernel_factors(weight, tiling))

    def _prepared(self, kind: Tiling | Prepared, make: Callable[[Tensor], Tensor]) -> Tensor:
        if self._factors is None or self._factors[0] != kind:
            self._factors = (kind, make(self.weight))
        return self._factors[1]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Conv3x3:
        self.forget_factors()  # the weights move or change their precision
        super()._apply(fn, recurse)  # pyright: ignore[reportUnknownMemberType] - it has no types
        return self


class UpsamplingConv3x3(Conv3x3):
    """The convolution of a map upsampled to twice its size by repeating pixels."""

    def forward(self, input: Tensor) -> Tensor:
        return self.upsampled(input)


class StridedConv(nn.Conv2d):
    """A convolution whose inputs take the memory order of its kernel."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(laid_out_as(self.weight, input))


def tiling_for(inputs: Tensor) -> Tiling | None:
    height, width = inputs.shape[2:]
    if min(height, width) < SMALLEST_TILED:
        return None
    large = height % LARGE_TILES.step == 0 and width % LARGE_TILES.step == 0
    return LARGE_TILES if large and min(height, width) >= SMALLEST_LARGE else SMALL_TILES


def laid_out_as(weight: Tensor, inputs: Tensor) -> Tensor:
    """Return a small map in the memory order of a kernel that is not channels last.

    Where the two differ a convolution reorders the kernel, every time anew.
    """
    return inputs.contiguous() if weight.is_contiguous() else inputs


def set_tiled(network: nn.Module, tiled: bool) -> None:
    """Let a network's convolutions save multiplications, or not; forgets what they had prepared."""
    for module in network.modules():
        if isinstance(module, Conv3x3):
            module.tiled = tiled
            module.forget_factors()


def kernel_factors(weight: Tensor, tiling: Tiling) -> Tensor:
    """Return float32 (P * P, C, C') of a kernel (C', C, 3, 3), rounded once."""
    matrix = _both_dimensions(tiling.kernel, torch.float64)
    out_channels, channels = weight.shape[:2]
    factors = torch.empty(len(matrix), channels, out_channels)
    for first in range(0, channels, CHANNELS_AT_ONCE):  # float64 takes twice the room
        places = weight[:, first : first + CHANNELS_AT_ONCE].permute(2, 3, 1, 0).contiguous()
        part = matrix @ places.double().view(9, -1)
        factors[:, first : first + CHANNELS_AT_ONCE] = part.view(len(matrix), -1, out_channels)
    return factors


def phase_kernels(weight: Tensor) -> Tensor:
    """Return (4 C', C, 2, 2) of a kernel (C', C, 3, 3): for the places in a repeated pixel."""
    taps = torch.tensor(PHASE_TAPS, dtype=torch.float32)
    kernels = torch.einsum("pak,qbl,ockl->pqocab", taps, taps, weight.float())
    kernels = kernels.flatten(0, 2).to(weight.dtype)
    return kernels.contiguous(memory_format=torch.channels_last)


def transposed_kernel(weight: Tensor) -> Tensor:
    """Return (C, C', 4, 4) of a kernel (C', C, 3, 3): what one source pixel adds to 4 x 4 others.

    Repeating pixels spreads each to 2 x 2, and the kernel spreads that again.
    """
    taps = torch.tensor(TRANSPOSED_TAPS, dtype=torch.float32, device=weight.device)
    kernel = torch.einsum("ka,lb,oiab->iokl", taps, taps, weight.float()).to(weight.dtype)
    return kernel.contiguous(memory_format=torch.channels_last)


def tiled_convolution(
    inputs: Tensor, kernel: Tensor, bias: Tensor | None, tiling: Tiling
) -> Tensor:
    """Return the convolution of float32 (B, C, H, W), channels last in memory.

    kernel: ``kernel_factors`` of the same tiling; H and W are multiples of its step.
    """
    batch, channels, height, width = inputs.shape
    rows, columns, made = height // tiling.step, width // tiling.step, len(tiling.outputs)
    products, _, out_channels = kernel.shape
    widest = 4 * products * columns * max(channels, out_channels)
    strip = _largest_divisor(rows, STRIP_BYTES // widest)
    strips = [(image, row) for image in range(batch) for row in range(0, rows, strip)]
    parts = _shared_out(strips, PART_BYTES // (widest * strip * worker_count()))
    pixels = inputs.permute(0, 2, 3, 1).contiguous()
    out = inputs.new_empty(batch, rows, made, columns, made, out_channels)
    joining, tiles = _both_dimensions(tiling.outputs), strip * columns

    def worker() -> Callable[[list[tuple[int, int]]], None]:
        cutter = _Cutter(pixels, tiling, strip)
        factors = inputs.new_empty(products, max(map(len, parts)) * tiles, channels)

        def compute(part: list[tuple[int, int]]) -> None:
            seen = factors[:, : len(part) * tiles]
            for place, target in zip(part, torch.split(seen, tiles, dim=1), strict=True):
                cutter.cut(*place, target)
            sums = batched_product(seen, kernel)
            for (image, row), source in zip(part, _joined(joining, sums, tiles), strict=True):
                _place(source, out[image, row : row + strip], bias)

        return compute

    compute_parts(worker, parts)
    return out.view(batch, rows * made, columns * made, out_channels).permute(0, 3, 1, 2)


def _shared_out(strips: list[tuple[int, int]], most: int) -> list[list[tuple[int, int]]]:
    """Return the strips in equal parts of about ``most``, as many for every worker."""
    workers = worker_count()
    count = -(-len(strips) // max(most, 1))
    count = min(len(strips), -(-count // workers) * workers)
    edges = [len(strips) * number // count for number in range(count + 1)]
    return [strips[first:last] for first, last in pairwise(edges)]


class _Cutter:
    """Turns strips of tile rows into factors; what lies between is small, for a cache's sake."""

    def __init__(self, pixels: Tensor, tiling: Tiling, strip: int) -> None:
        _, _, width, channels = pixels.shape
        seen, step = len(tiling.inputs[0]), tiling.step
        self._pixels, self._step = pixels, step
        self._matrix = _both_dimensions(tiling.inputs)
        # The strip with a border of zeros, and every tile's view of it.
        self._lines = pixels.new_zeros((strip - 1) * step + seen, width + 2, channels)
        line, pixel, _ = self._lines.stride()
        self._seen = self._lines.as_strided(
            (seen, seen, strip, width // step, channels),
            (line, pixel, step * line, step * pixel, 1),
        )
        self._tiles = torch.empty_like(self._seen, memory_format=torch.contiguous_format)

    def cut(self, image: int, row: int, factors: Tensor) -> None:
        """Fill factors (P * P, tiles, C) from the tile row ``row`` of an image on."""
        first = row * self._step - 1
        last = first + len(self._lines)
        above, below = max(0, -first), max(0, last - self._pixels.shape[1])
        held = self._pixels[image, first + above : last - below]
        self._lines[:above].zero_()
        self._lines[above : above + len(held), 1:-1].copy_(held)
        self._lines[above + len(held) :].zero_()
        tiles = self._tiles.copy_(self._seen)
        pixels = tiles.view(self._matrix.shape[1], -1)
        product_into(factors.flatten(1), self._matrix, pixels)


def _joined(matrix: Tensor, sums: Tensor, tiles: int) -> Iterable[Tensor]:
    """Return pixels (O * O, tiles, C') for so many tiles at a time of sums (P * P, all, C')."""
    if by_onednn(sums):
        joined = product(matrix, sums.flatten(1).T).view(len(matrix), *sums.shape[1:])
        return torch.split(joined, tiles, dim=1)
    some = torch.split(sums, tiles, dim=1)
    return ((matrix @ each.flatten(1)).view(-1, *each.shape[1:]) for each in some)


def _place(pixels: Tensor, target: Tensor, bias: Tensor | None) -> None:
    """Fill target (rows, O, columns, O, C') with pixels (O * O, rows * columns, C')."""
    rows, made, columns, _, _ = target.shape
    apart = torch.unflatten(torch.unflatten(pixels, 1, (rows, columns)), 0, (made, made))
    ordered = apart.permute(2, 0, 3, 1, 4)
    if bias is None:
        target.copy_(ordered)
    else:
        torch.add(ordered, bias, out=target)


def _largest_divisor(number: int, limit: int) -> int:
    """Return the largest divisor of a number that is at most ``limit``, and at least 1."""
    return next(d for d in range(max(1, min(number, limit)), 0, -1) if number % d == 0)


def product_convolution(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return the convolution of (B, C, H, W) as one matrix product, for small maps.

    The kernel (C', C, 3, 3) is read once, as it lies; a convolution would first reorder all of it.
    """
    batch, channels, height, width = inputs.shape
    padded = functional.pad(inputs, (1, 1, 1, 1))
    image, channel, line, pixel = padded.stride()
    seen = padded.as_strided(
        (channels, 3, 3, batch, height, width), (channel, line, pixel, image, line, pixel)
    ).reshape(9 * channels, -1)
    out = product(seen.T, weight.flatten(1), bias)
    return out.view(batch, height, width, -1).permute(0, 3, 1, 2)


def _both_dimensions(rows: Rows, dtype: torch.dtype = torch.float32) -> Tensor:
    matrix = torch.tensor(rows, dtype=torch.float64)
    return torch.kron(matrix, matrix).to(dtype)
