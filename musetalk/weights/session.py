"""The networks of one run: where each comes from and in which precision it computes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping
from typing import Any, Protocol, cast

import torch
from torch import nn

from ...host.environment import fast_paths_are_on
from ...host.machine import available_memory, return_memory
from ..interfaces import Residency
from ..networks.fast.accelerate import accelerate
from ..networks.fast.time_path import fold_time_path
from ..networks.unet import UNet
from .build import load_network, skeleton
from .catalogue import CATALOGUE, Network, NetworkClass, Role, Stage
from .search import FoundFiles

KEPT = "musetalk networks"  # our entry among what the host keeps between runs
KEEP_FACTOR = 2  # "auto" keeps networks where so many times their size would still be free
_Kept = tuple[str, torch.dtype, nn.Module]  # whose weights, in which precision


def dtype_of(network: Network[Any], dtype: torch.dtype) -> torch.dtype:  # Any: of any class
    """Return the precision of one network in a run of that precision."""
    return dtype if network.half == "computed" else torch.float32


class ModelSource(Protocol):
    """Gives the networks one by one; calls ``between_tensors``, if set, while it reads a file."""

    between_tensors: Callable[[], None] | None

    def has(self, role: Role) -> bool:
        """Say whether the network is there; face finders and the small decoder may be missing."""
        ...

    def identity(self, role: Role) -> str:
        """Return a text that changes when the network's weights change."""
        ...

    def skeleton(self, role: Role) -> nn.Module:
        """Return the network without weights: its shapes and its ``config``."""
        ...

    def load(self, role: Role, dtype: torch.dtype) -> nn.Module:
        """Return a new copy on the CPU, for inference. Raises CheckpointError."""
        ...


class ModelFiles:
    """The networks in the files that were found."""

    def __init__(self, found: FoundFiles) -> None:
        self._paths = {role: file.path for role, file in found.files.items() if file.path}
        self.between_tensors: Callable[[], None] | None = None

    def has(self, role: Role) -> bool:
        return role in self._paths

    def identity(self, role: Role) -> str:
        """Return the file's path, size and modification time: hashing 3.4 GB takes too long."""
        path = self._paths[role]
        status = path.stat()
        return f"{path}:{status.st_size}:{status.st_mtime_ns}"

    def skeleton(self, role: Role) -> nn.Module:
        return skeleton(role)

    def load(self, role: Role, dtype: torch.dtype) -> nn.Module:
        path = self._paths[role]
        network = load_network(role, path, dtype=dtype, between_tensors=self.between_tensors)
        if isinstance(network, UNet) and fast_paths_are_on():
            fold_time_path(network)
        return network


def weight_bytes(network: nn.Module, dtype: torch.dtype) -> int:
    """Return the bytes a network's tensors take in that precision."""
    return sum(
        tensor.numel() * (dtype.itemsize if tensor.is_floating_point() else tensor.itemsize)
        for tensor in network.state_dict().values()
    )


class ModelSession:
    """The networks of one run: each is loaded on first use, once.

    kept: what the host keeps between runs; networks in it are taken out while in use.
    free_memory: returns the bytes of main memory that can be allocated now.
    """

    def __init__(
        self,
        source: ModelSource,
        kept: MutableMapping[str, Any],  # Any: the host keeps whatever it is given
        residency: Residency,
        *,
        free_memory: Callable[[], int] = available_memory,
    ) -> None:
        self.source = source
        self._store: dict[Role, _Kept] = kept.setdefault(KEPT, {})
        self._held: dict[Role, _Kept] = {}
        self.keeps = residency == "keep" or (
            residency == "auto" and self._all_bytes() * KEEP_FACTOR <= free_memory()
        )
        if not self.keeps and self._store:
            self._store.clear()
            return_memory()

    def _all_bytes(self) -> int:
        return sum(
            weight_bytes(self.source.skeleton(role), torch.float32)
            for role, network in CATALOGUE.items()
            if network.need != "extra" and self.source.has(role)
        )

    def load(self, network: Network[NetworkClass], dtype: torch.dtype) -> NetworkClass:
        """Return a network on the CPU in that precision. Raises CheckpointError."""
        role = network.role
        wanted = (self.source.identity(role), dtype)
        store = self._holder(role, wanted)
        if store is not None:
            loaded = store.pop(role)[2]
        else:
            self._held.pop(role, None)  # before its successor takes memory too
            loaded = self.source.load(role, dtype)
            if fast_paths_are_on():
                accelerate(loaded)
        self._held[role] = (*wanted, loaded)
        return cast("NetworkClass", loaded)  # it, or a class that answers the same calls

    def held_bytes(self, dtype: torch.dtype, networks: Iterable[Network[Any]]) -> int:  # Any: all
        """Return the bytes of those networks that are in memory already, in a run's precision."""
        size = 0
        for network in networks:
            role, precision = network.role, dtype_of(network, dtype)
            there = self.source.has(role)
            if there and self._holder(role, (self.source.identity(role), precision)):
                size += weight_bytes(self.source.skeleton(role), precision)
        return size

    def done(self, stage: Stage) -> None:
        """Release the networks that no later stage needs, unless they are to be kept."""
        if self.keeps:
            return
        for network in CATALOGUE.values():
            if network.last_stage == stage:
                self._held.pop(network.role, None)
        return_memory()

    def close(self) -> None:
        """End the run: keep the networks for the next one, or release them."""
        if self.keeps:
            self._store.update(self._held)
        self._held.clear()

    def _holder(self, role: Role, wanted: tuple[str, torch.dtype]) -> dict[Role, _Kept] | None:
        stores = (self._held, self._store)
        return next((each for each in stores if role in each and each[role][:2] == wanted), None)
