"""How a run is tuned to its machine: precision, batch sizes, what its CPU computes fast."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import torch

from ...host.machine import available_memory
from ..weights.catalogue import Stage

_FLAGS = ("flags", "Features")  # as Linux calls them on x86 and on ARM


@cache
def cpu_description() -> str:
    """Return what the system says of the CPU: on Linux with its flags, elsewhere a name."""
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

    By MKL they do on Intel's CPUs, and at three quarters of oneDNN's speed on others with AVX2; on
    others with AVX-512 at less than half, too slow for Winograd's fewer multiplications to pay.
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
    leaves_cpu_idle: devices that generate faces while the CPU composes and encodes frames.
    """

    bfloat16: bool = field(default_factory=lambda: multiplies_bfloat16(cpu_description()))
    fast_products: bool = field(default_factory=lambda: products_are_fast(cpu_description()))
    largest_batches: Mapping[Stage, tuple[int, int]] = field(
        default_factory=lambda: {"generate": (4, 16), "prepare": (1, 8)}
    )
    chunk: int = 16  # faces that are prepared and cached together
    leaves_cpu_idle: tuple[str, ...] = ("cuda",)
    free_memory: Callable[[], int] = available_memory  # bytes of main memory
