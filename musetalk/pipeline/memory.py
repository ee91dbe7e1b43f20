"""Memory plan of each stage on its device (``plan_stage``), and the fallbacks where it is short."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from ...errors import DeviceMemoryError
from ...host.machine import available_memory, total_memory
from ..interfaces import Quality
from ..weights.catalogue import MIB, Stage, Workload, planned_networks
from ..weights.session import ModelSource, dtype_of, weight_bytes
from .cpu_features import Tuning

log = logging.getLogger("avatarvideo.musetalk.pipeline.memory")

FIRST_BATCH: dict[Quality, int] = {"high": 1, "medium": 2, "low": 4}
PLANNED_SHARE = 0.8  # of the free memory that a batch may be planned for
# On top of the tensors counted: what the allocator cannot use and the convolutions' work space.
SLACK = 1.25
WORKSPACE = 256 * MIB


class VRAMManager:
    """Answers what fits on a device. Without a GPU it answers from available memory.

    device: a torch device such as "cuda:0" or "cpu"; None takes the first GPU if there is one.
    free_bytes: asked for a device's free memory; None asks the system. A host that can make room
        by unloading its own models knows more than the system does.
    """

    def __init__(
        self, device: str | None = None, *, free_bytes: Callable[[str], int] | None = None
    ) -> None:
        self.device = device or ("cuda:0" if torch.cuda.is_available() else "cpu")
        self._free_bytes = free_bytes

    def free_mb(self) -> float:
        """Return the MiB that can be taken now; container limits are respected."""
        if self._free_bytes is not None:
            return self._free_bytes(self.device) / MIB
        if self.device.startswith("cuda"):
            return torch.cuda.mem_get_info(self.device)[0] / MIB
        return available_memory() / MIB

    def total_mb(self) -> float:
        if self.device.startswith("cuda"):
            return torch.cuda.mem_get_info(self.device)[1] / MIB
        return total_memory() / MIB

    def can_load(self, mb: float) -> bool:
        return mb <= self.free_mb()

    @contextmanager
    def loaded(self, *modules: torch.nn.Module, mb: float) -> Generator[None, None, None]:
        """Keep networks on the device for a block and take them back on every way out.

        mb: MiB that weights and work need together. Raises DeviceMemoryError when that is not free.
        """
        if not self.can_load(mb):
            raise DeviceMemoryError(
                f"Expected {mb:.0f} MiB free on {self.device}, found {self.free_mb():.0f} MiB: "
                "close what uses it or choose another device."
            )
        try:
            for module in modules:
                module.to(self.device)
            yield
        finally:
            for module in modules:
                module.to("cpu")
            if self.device.startswith("cuda"):
                torch.cuda.empty_cache()


@dataclass(frozen=True)
class Placement:
    """Where and how a stage computes."""

    device: str
    dtype: torch.dtype
    batch: int = 1  # faces
    plain: bool = False  # no Winograd convolutions, which take memory, even where they are faster
    sharp: bool = False  # the user's upscale model works beside the stage's networks

    def __str__(self) -> str:
        how = ", plain convolutions" if self.plain else ""
        how += ", with the upscale model" if self.sharp else ""
        return f"{self.device} {dtype_name(self.dtype)} batch {self.batch}{how}"


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def dtype_for(quality: Quality, device: str, tuning: Tuning) -> torch.dtype:
    """Return the precision of a preset on a device: float32 everywhere for "high"."""
    if quality == "high":
        return torch.float32
    if not device.startswith("cpu"):
        return torch.float16
    return torch.bfloat16 if tuning.bfloat16 else torch.float32


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes that one stage takes: its weights, and all between input and output with slack."""

    weights: int
    activations: int

    @property
    def mb(self) -> float:
        return (self.weights + self.activations) / MIB

    def beside(self, other: MemoryPlan) -> MemoryPlan:
        """Return the plan of both on the device, where one works at a time."""
        work = max(self.activations, other.activations)
        return MemoryPlan(self.weights + other.weights, work)


def uses_winograd(placement: Placement, tuning: Tuning) -> bool:
    """Say whether convolutions are Winograd's there: fewer multiplications, rounded no worse."""
    on_cpu = placement.device.startswith("cpu") and not placement.plain
    return on_cpu and placement.dtype == torch.float32 and tuning.fast_products


def plan_stage(
    stage: Stage,
    source: ModelSource,
    placement: Placement,
    *,
    tuning: Tuning,
    frame_size: tuple[int, int] = (0, 0),
) -> MemoryPlan:
    """Return the memory that a stage needs. frame_size: (width, height), for the detector."""
    work = Workload(placement.batch, placement.dtype.itemsize, frame_size)
    weights, tensors, prepared = 0, 0, 0.0
    for network in planned_networks(stage):
        if source.has(network.role):
            skeleton = source.skeleton(network.role)
            weights += weight_bytes(skeleton, dtype_of(network, placement.dtype))
            # Counted on the network's own operations; one network works at a time.
            tensors = max(tensors, network.stages[stage](skeleton, work))
            prepared += network.winograd_share * weight_bytes(skeleton, torch.float32)
    if not uses_winograd(placement, tuning):
        prepared = 0
    return MemoryPlan(weights, int(tensors * SLACK + prepared) + WORKSPACE)


class FallbackPlan:
    """Where each stage computes, and where next when it does not fit.

    The batch is halved down to 1, then the user's upscale model goes, then convolutions become
    plain, then the stage moves to the CPU, then DeviceMemoryError.
    tuning: None takes what is best for this machine.
    steps: every fallback and why, for the report.
    """

    def __init__(self, vram: VRAMManager, quality: Quality, tuning: Tuning | None = None) -> None:
        self._vram = vram
        self._quality: Quality = quality
        self.tuning = tuning or Tuning()
        self._moved_to_cpu = False
        self.steps: list[dict[str, str]] = []

    @property
    def device(self) -> str:
        return self._vram.device

    def place(
        self, stage: Stage, plan: Callable[[Placement], MemoryPlan], *, sharp: bool = False
    ) -> Placement:
        """Return where a stage is to start. Raises DeviceMemoryError when it fits nowhere now.

        sharp: it has an upscale model of the user's.
        """
        device = "cpu" if self._moved_to_cpu else self.device
        placement = Placement(device, dtype_for(self._quality, device, self.tuning), sharp=sharp)
        if stage in self.tuning.largest_batches:
            placement = replace(placement, batch=self._first_batch(stage, placement, plan))
        while not self._manager(placement).can_load(needed := plan(placement).mb):
            free = self._manager(placement).free_mb()
            reason = f"{needed:.0f} MiB are needed and {free:.0f} MiB are free"
            placement = self.fall_back(stage, placement, reason)
        return placement

    def _first_batch(
        self, stage: Stage, placement: Placement, plan: Callable[[Placement], MemoryPlan]
    ) -> int:
        on_cpu, on_gpu = self.tuning.largest_batches[stage]
        largest = on_cpu if placement.device.startswith("cpu") else on_gpu
        room = self._manager(placement).free_mb() * PLANNED_SHARE
        batch = min(FIRST_BATCH[self._quality], largest)
        while batch < largest and plan(replace(placement, batch=batch * 2)).mb <= room:
            batch *= 2
        return batch

    def _manager(self, placement: Placement) -> VRAMManager:
        same = placement.device == self.device
        return self._vram if same else VRAMManager(placement.device)

    def fall_back(self, stage: Stage, placement: Placement, reason: str) -> Placement:
        """Return the next smaller placement, logged. Raises DeviceMemoryError after the last."""
        if placement.batch > 1:
            smaller = replace(placement, batch=placement.batch // 2)
        elif placement.sharp:
            smaller = replace(placement, sharp=False)
        elif uses_winograd(placement, self.tuning) and any(
            network.winograd_share for network in planned_networks(stage)
        ):
            smaller = replace(placement, plain=True)
        elif placement.device != "cpu":
            # Faces are detected in whole frames: later stages may fit where those do not.
            self._moved_to_cpu = stage != "faces"
            smaller = Placement("cpu", dtype_for(self._quality, "cpu", self.tuning))
        else:
            raise DeviceMemoryError(
                f"Expected room for MuseTalk's stage {stage} on {placement.device}, but {reason}: "
                "close other programs, choose a smaller picture or the mode puppet."
            )
        self.note(stage, reason, placement, smaller)
        return smaller

    def note(self, stage: Stage, reason: str, before: Placement, after: Placement) -> None:
        """Log and record a change of plan, such as a stage redone in full precision."""
        log.warning("%s: %s; continuing with %s", stage, reason, after)
        self.steps.append({"stage": stage, "reason": reason, "from": str(before), "to": str(after)})
