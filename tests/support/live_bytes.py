"""What a network's operations hold at once, counted tensor by tensor."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Counts the tensors that a network's operations hold at once, its weights left out."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        tensors = (*network.parameters(), *network.buffers())
        self._weights = {tensor.untyped_storage()._cdata for tensor in tensors}
        self._live: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._count(leaf.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._weights or key in self._live:
            return
        self._live[key] = storage.nbytes()
        self.peak = max(self.peak, sum(self._live.values()))
        weakref.finalize(storage, self._live.pop, key, None)
