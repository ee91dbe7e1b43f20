"""Device memory: how much there is, and what may be loaded into it."""

from __future__ import annotations

import logging

import torch

from ..system_memory import available_memory, total_memory

log = logging.getLogger("avatarvideo.musetalk.residency")

MIB = 1 << 20


class VRAMManager:
    """Answers what fits on a device. Without a GPU it answers from available memory.

    device: a torch device such as "cuda:0" or "cpu"; None takes the first GPU if there is one.
    """

    def __init__(self, device: str | None = None) -> None:
        self.device = device or ("cuda:0" if torch.cuda.is_available() else "cpu")

    def free_mb(self) -> float:
        """Return the MiB that can be taken now; container limits are respected."""
        if self.device.startswith("cuda"):
            return torch.cuda.mem_get_info(self.device)[0] / MIB
        return available_memory() / MIB

    def total_mb(self) -> float:
        """Return the MiB the device has in all."""
        if self.device.startswith("cuda"):
            return torch.cuda.mem_get_info(self.device)[1] / MIB
        return total_memory() / MIB

    def can_load(self, mb: float) -> bool:
        """Say whether ``mb`` MiB can be taken now."""
        return mb <= self.free_mb()
