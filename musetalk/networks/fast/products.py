"""Matrix products in float32 on CPUs, by the library that is faster there.

PyTorch multiplies matrices with MKL and convolves with oneDNN. On Intel's CPUs, and where AVX2 is
the most there is, MKL is about as fast; on others with AVX-512 it uses half of what the CPU can.
"""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Library = Literal["MKL", "oneDNN"]


@cache
def cpu_description() -> str:
    """Return what the system says of the CPU: on Linux with its flags, elsewhere a name."""
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:  # not Linux
        return platform.processor()


def faster_library(description: str) -> Library | None:
    """Return what multiplies matrices nearly as fast as oneDNN convolves; None where nothing does.

    description: what the system says of the CPU.
    """
    if not torch.backends.mkl.is_available():
        return None
    capability = torch.backends.cpu.get_cpu_capability()
    if capability == "AVX2" or "GenuineIntel" in description:
        return "MKL"
    return "oneDNN" if capability == "AVX512" and onednn_multiplies() else None


def onednn_multiplies() -> bool:
    """Say whether this PyTorch's step for it is there and does what is expected of it."""
    rows, weight = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0], [5.0, 6.0]])
    try:
        return torch.equal(_onednn_product(rows, weight, weight[1]), torch.tensor([[16.0, 23.0]]))
    except (AttributeError, RuntimeError, TypeError):  # it is in no documented interface
        return False


def _onednn_product(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")


@cache
def library() -> Library | None:
    """Return ``faster_library`` of this machine."""
    return faster_library(cpu_description())


def by_onednn(rows: Tensor) -> bool:
    """Say whether products of these rows are left to oneDNN."""
    plain = rows.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    return plain and rows.device.type == "cpu" and library() == "oneDNN"


def product(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return (..., C') of rows (..., C) and a weight (C', C); bias (C',) is added."""
    # What is neither way in one piece it multiplies a thousand times more slowly.
    whole = weight.is_contiguous() or weight.T.is_contiguous()
    if whole and weight.dtype == rows.dtype and by_onednn(rows):
        return _onednn_product(rows, weight, bias)
    return functional.linear(rows, weight, bias)


def product_into(out: Tensor, rows: Tensor, columns: Tensor) -> None:
    """Fill out (N, C') with the product of rows (N, C) and columns (C, C')."""
    if by_onednn(rows):
        out.copy_(product(rows, columns.T))
    else:
        torch.mm(rows, columns, out=out)


def batched_product(rows: Tensor, columns: Tensor) -> Tensor:
    """Return (P, N, C') of P products: rows (P, N, C) by columns (P, C, C')."""
    if not by_onednn(rows):
        return torch.bmm(rows, columns)
    return torch.stack([product(*each) for each in zip(rows, columns.transpose(1, 2), strict=True)])


class FastLinear(nn.Linear):
    """A linear layer by the faster library; it has no gradients where that is oneDNN."""

    def forward(self, input: Tensor) -> Tensor:
        return product(input, self.weight, self.bias)
