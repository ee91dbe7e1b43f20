"""Compile every GPU kernel without a GPU; prints one ``name:precision`` a line, sorted."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

FILE = Path(__file__).resolve().parents[2] / "musetalk" / "networks" / "fast" / "triton_kernels.py"
HOPPER = GPUTarget("cuda", 90, 32)
SUMS = {"means", "squares", "factors", "terms"}
MAPS = {"inputs", "first", "second", "hidden", "weight", "bias", "added", "out"}


def main() -> None:
    spec = importlib.util.spec_from_file_location("triton_kernels", FILE)
    assert spec is not None
    assert spec.loader is not None
    kernels = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = kernels
    spec.loader.exec_module(kernels)
    constants = {
        "pixels_at_once": kernels.PIXELS_AT_ONCE,
        "channels_at_once": kernels.CHANNELS_AT_ONCE,
        "values_at_once": kernels.VALUES_AT_ONCE,
        "most_parts": kernels.MOST_PARTS,
        "widest_group": max(kernels.GROUPS),
        "has_added": True,
        "has_second": True,
        "silu": True,
    }

    def kind(name: str, values: str) -> str:
        if name in constants:
            return "constexpr"
        if name in SUMS | MAPS:
            return "*fp32" if name in SUMS else f"*{values}"
        return "fp32" if name == "epsilon" else "i32"

    compiled = []
    for kernel in vars(kernels).values():
        if not isinstance(kernel, triton.JITFunction):
            continue
        names = kernel.arg_names
        for values in ("fp16", "bf16"):
            source = ASTSource(
                kernel,
                signature={name: kind(name, values) for name in names},
                constexprs={(names.index(n),): v for n, v in constants.items() if n in names},
            )
            if triton.compile(source, target=HOPPER).asm["cubin"]:
                compiled.append(f"{kernel.__name__}:{values}")
    sys.stdout.write("\n".join(sorted(compiled)))


if __name__ == "__main__":
    main()
