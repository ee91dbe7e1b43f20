"""How a run is tuned to its machine: precision, batch sizes, what its CPU computes fast."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ...host.machine import available_memory
from ..networks.fast.products import cpu_description, library
from ..weights.catalogue import Stage

_FLAGS = ("flags", "Features")  # as Linux calls them on x86 and on ARM


def multiplies_bfloat16(description: str) -> bool:
    """Say whether the CPU multiplies bfloat16 natively; False where the system hides it."""
    lines = description.splitlines()
    flags = {flag for line in lines if line.startswith(_FLAGS) for flag in line.split()}
    return bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})


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
    fast_products: bool = field(default_factory=lambda: library() is not None)
    largest_batches: Mapping[Stage, tuple[int, int]] = field(
        default_factory=lambda: {"generate": (4, 16), "prepare": (1, 8)}
    )
    chunk: int = 16  # faces that are prepared and cached together
    leaves_cpu_idle: tuple[str, ...] = ("cuda",)
    free_memory: Callable[[], int] = available_memory  # bytes of main memory
