"""Random weights under which a network's output is neither constant nor explodes.

Speed and memory do not depend on the values, and agreement with a reference library can be shown
on any; shared by the benchmarks and the tests.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


@torch.no_grad()
def fill_randomly(module: Network, seed: int = 0, *, gain: float = 1.0) -> Network:
    """Overwrite every tensor of a network, equally for equal keys and shapes, and return it.

    gain: standard deviation of a weight times the square root of its fan-in; 1.4 keeps the
        signal's size through ReLUs.
    """
    source = np.random.default_rng(seed)
    for name, tensor in sorted(module.state_dict().items()):
        tensor.copy_(random_tensor(name, tuple(tensor.shape), source, gain))
    return module.eval().requires_grad_(False)


def draw_weights(network: nn.Module, seed: int) -> None:
    """Give an empty network (on the meta device) random weights of its own, for inference.

    Each tensor is drawn from its own seed, for NumPy draws on all CPUs at once.
    """

    def drawn(number: int, key: str, tensor: Tensor) -> tuple[str, Tensor]:
        return key, random_tensor(key, tuple(tensor.shape), np.random.default_rng([seed, number]))

    with ThreadPoolExecutor() as pool:
        tensors = network.state_dict().items()
        state = dict(pool.map(drawn, range(len(tensors)), *zip(*tensors, strict=True)))
    network.load_state_dict(state, assign=True)
    network.eval().requires_grad_(False)


def random_tensor(
    name: str, shape: tuple[int, ...], source: np.random.Generator, gain: float = 1.0
) -> Tensor:
    """Return float32 values (int64 for a counter) as what the key says the tensor is.

    NumPy draws them, because torch's normal numbers differ between CPUs.
    """
    if name.endswith("num_batches_tracked"):
        return torch.ones(shape, dtype=torch.int64)
    if name.endswith("running_var"):
        return torch.from_numpy(source.uniform(0.5, 1.5, shape).astype(np.float32))
    values = source.standard_normal(shape, dtype=np.float32)
    if name.endswith(("bias", "beta", "running_mean")):
        values *= np.float32(0.2)
    elif len(shape) <= 1 or name.endswith("gamma"):
        values *= np.float32(0.2)
        values += np.float32(1.0)
    else:
        fan_in = values.size // shape[0]
        values *= np.float32(gain * fan_in**-0.5)
    return torch.from_numpy(values)
