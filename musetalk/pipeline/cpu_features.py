"""How a run is tuned to its machine: precision, batch sizes, what its CPU computes fast."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType

import torch

from ...host.machine import available_memory
from ..weights.catalogue import Stage

_FLAGS = ("flags", "Features")  # as Linux calls them on x86 and on ARM


@cache
def cpu_description() -> str:
    """Return what the system says of the CPU: Linux its flags too, others a name."""
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:  # not Linux
        return platform.processor()


def multiplies_bfloat16(description: str) -> bool:
    """Say whether the CPU multiplies bfloat16 natively; False where the system hides it."""
    lines = description.splitlines()
    flags = {flag for line in lines if line.startswith(_FLAGS) for flag in line.split()}
    return bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})


def products_are_fast(description: str) -> bool:
    """Say whether float32 matrix products run nearly as fast here as convolutions do.

    Intel's MKL multiplies them: on Intel's CPUs as fast as oneDNN convolves, on others with
    AVX2 at three quarters of that. Where others have AVX-512 it takes less than half of oneDNN's
    speed, and a plain convolution is faster than Winograd's fewer multiplications.
    """
    if not torch.backends.mkl.is_available():
        return False
    return torch.backends.cpu.get_cpu_capability() == "AVX2" or "GenuineIntel" in description


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """How a run uses the machine; the defaults are this machine's.

    bfloat16: the CPU multiplies it natively; emulated it is slower than float32.
    fast_products: the CPU multiplies matrices fast enough for Winograd convolutions.
    largest_batches: of faces, on a CPU and on a GPU. More gives a CPU nothing to gain and cancel
        more to wait for; at 16 a GPU reads the UNet's weights often enough, and encoding has two
        pictures a face.
    chunk: faces that are prepared and cached together.
    leaves_cpu_idle: devices that generate faces while the CPU composes and encodes frames.
    free_memory: asked for the bytes of main memory that can be taken now.
    """

    bfloat16: bool = field(default_factory=lambda: multiplies_bfloat16(cpu_description()))
    fast_products: bool = field(default_factory=lambda: products_are_fast(cpu_description()))
    largest_batches: Mapping[Stage, tuple[int, int]] = MappingProxyType(
        {"generate": (4, 16), "prepare": (1, 8)}
    )
    chunk: int = 16
    leaves_cpu_idle: tuple[str, ...] = ("cuda",)
    free_memory: Callable[[], int] = available_memory
