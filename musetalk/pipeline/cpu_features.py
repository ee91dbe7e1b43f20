"""What this machine's CPU computes fast."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

import torch


@cache
def processor_has_bfloat16() -> bool:
    """Say whether the processor multiplies bfloat16 natively; False where the system hides it."""
    lines = _processor().splitlines()
    flags = {flag for line in lines if line.startswith(_FLAGS) for flag in line.split()}
    return bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})


@cache
def products_are_fast() -> bool:
    """Say whether float32 matrix products run nearly as fast here as convolutions do.

    Intel's MKL multiplies them: on Intel's processors as fast as oneDNN convolves, on others with
    AVX2 at three quarters of that. Where others have AVX-512 it takes less than half of oneDNN's
    speed, and more multiplications in a convolution cost less than fewer in a product.
    """
    if not torch.backends.mkl.is_available():
        return False
    return torch.backends.cpu.get_cpu_capability() == "AVX2" or "GenuineIntel" in _processor()


def _processor() -> str:
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:  # not Linux
        return platform.processor()


_FLAGS = ("flags", "Features")  # as Linux calls them on x86 and on ARM
