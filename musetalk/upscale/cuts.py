"""Which part of a picture an upscale model must see, where only a part of its result is shown.

A network of convolutions looks no further than their kernels: from a cut that is larger by so much
it makes the same pixels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

MOST_REACH = 64  # pixels; of 256 beyond it little is left to leave out
# Cuts begin and end at multiples of it: for models that put 2 x 2 or 4 x 4 pixels together first,
# and so that faces of nearly one size have cuts of one size.
GRID = 8
RESIZED_FROM = 3  # pixels on each side, at most, that resizing makes one from
PROBE_KEPT = 24  # pixels, of the trial's picture that are compared
# Of values 0..1, in float32: convolutions of another size may round differently.
TOLERANCE = 1e-5


class Area(NamedTuple):
    """A rectangle of whole pixels, end exclusive."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """The rows and columns of a picture that lie in it."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def times(self, scale: int) -> Area:
        return Area(*(scale * edge for edge in self))

    def within(self, width: int, height: int) -> Area:
        return Area(max(self.x0, 0), max(self.y0, 0), min(self.x1, width), min(self.y1, height))

    def grown(self, pixels: int, grid: int = 1) -> Area:
        """Return it with so many more pixels on each side, and on to multiples of the grid."""
        first = [(edge - pixels) // grid * grid for edge in self[:2]]
        last = [-(-(edge + pixels) // grid) * grid for edge in self[2:]]
        return Area(*first, *last)

    def resized(self, size: tuple[int, int], other: tuple[int, int]) -> Area:
        """Return where it lies in a picture of another (width, height), to whole pixels."""
        first = [edge * to // of for edge, of, to in zip(self[:2], size, other, strict=True)]
        last = [-(-edge * to // of) for edge, of, to in zip(self[2:], size, other, strict=True)]
        return Area(*first, *last)


class Pass(NamedTuple):
    """What a pass is given: the picture's width and height by then, and what it sees of it."""

    width: int
    height: int
    seen: Area


def planned(
    size: tuple[int, int],
    scale: int,
    passes: int,
    *,
    wanted: int | None = None,
    kept: Area | None = None,
    reach: int | None = None,
) -> list[Pass]:
    """Return what each pass is given so that the pixels of ``kept`` come out right.

    size: (width, height) of the picture. wanted: pixels that the longer side of the result need
    have; the last of several passes is given a smaller picture then, but for the first's size.
    kept: of the picture; None is all of it. reach: the model's, see ``reach_of``.
    """
    sizes = [tuple(side * scale**made for side in size) for made in range(passes)]
    longer = max(sizes[-1])
    if passes > 1 and wanted is not None:
        last = min(longer, max(-(-wanted // scale), *size))
        sizes[-1] = tuple(round(side * last / longer) for side in sizes[-1])
    plan: list[Pass] = []
    needed, of = kept, size
    for width, height in reversed(sizes):
        if needed is None or reach is None:
            seen = Area(0, 0, width, height)
        else:
            seen = needed.resized(of, (width, height)).grown(reach, GRID).within(width, height)
            needed, of = seen.grown(RESIZED_FROM).within(width, height), (width, height)
        plan.insert(0, Pass(width, height, seen))
    return plan


def reach_of(descriptor: Any) -> int | None:  # Any: as spandrel describes a model
    """Return how many pixels around a pixel the model looks at; None where it may be all of them.

    It is counted on its convolutions, and tried: whatever else a model does, such as to look at
    the whole picture's mean, gives a cut another result than the whole. The model computes on the
    CPU in float32.
    """
    reach = _counted(descriptor.model)
    if reach is None or reach > MOST_REACH:
        return None
    side = -(-(2 * (GRID + reach) + PROBE_KEPT) // GRID) * GRID
    picture, scale = _uneven(side), int(descriptor.scale)
    seen = Area(0, 0, side, side).grown(-GRID)
    inside = Area(0, 0, side - 2 * GRID, side - 2 * GRID).grown(-reach)
    whole = descriptor(picture)[(..., *seen.grown(-reach).times(scale).slices)]
    cut = descriptor(picture[(..., *seen.slices)])[(..., *inside.times(scale).slices)]
    # Descriptors cut to 0..1: where most pixels lie at an end, equal ones would prove nothing.
    tells = ((whole > 0) & (whole < 1)).float().mean() > 0.5
    return reach if tells and (whole - cut).abs().max() <= TOLERANCE else None


def _counted(model: nn.Module) -> int | None:
    reach = 0
    for module in model.modules():
        if isinstance(module, nn.ConvTranspose2d):
            return None
        if isinstance(module, nn.Conv2d):
            if max(module.stride) > 1:
                return None
            kernels = zip(module.kernel_size, module.dilation, strict=True)
            reach += max(dilation * (kernel // 2) for kernel, dilation in kernels)
    return reach


def _uneven(side: int) -> Tensor:
    """Return (1, 3, side, side), 0..1: noise over a slope, no part of which is like another."""
    draws = torch.Generator().manual_seed(0)
    slope = torch.linspace(0.2, 0.6, side)
    return 0.2 * torch.rand(1, 3, side, side, generator=draws) + (slope + slope[:, None]) / 2
