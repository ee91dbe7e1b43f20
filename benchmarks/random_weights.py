"""Random weights under which a network's output is neither constant nor explodes.

Speed and memory do not depend on the values, and agreement with a reference library can be shown
on any; shared by the benchmarks and the tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn


@torch.no_grad()
def fill_randomly(module: nn.Module, seed: int = 0, *, gain: float = 1.0) -> nn.Module:
    """Overwrite every tensor of a network, equally for equal keys and shapes, and return it.

    gain: standard deviation of a weight times the square root of its fan-in; 1.4 keeps the
        signal's size through ReLUs.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in sorted(module.state_dict().items()):
        fill_tensor(name, tensor, generator, gain)
    return module.eval().requires_grad_(False)


def fill_tensor(name: str, tensor: Tensor, generator: torch.Generator, gain: float = 1.0) -> None:
    """Overwrite one tensor in place according to what its key says it is."""
    if name.endswith("num_batches_tracked"):
        tensor.fill_(1)
    elif name.endswith("running_var"):
        tensor.uniform_(0.5, 1.5, generator=generator)
    elif name.endswith(("bias", "beta", "running_mean")):
        tensor.normal_(0.0, 0.2, generator=generator)
    elif tensor.ndim <= 1 or name.endswith("gamma"):
        tensor.normal_(1.0, 0.2, generator=generator)
    else:
        fan_in = tensor.numel() // tensor.shape[0]
        tensor.normal_(0.0, gain * fan_in**-0.5, generator=generator)
