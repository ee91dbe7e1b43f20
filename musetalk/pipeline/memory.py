"""Device memory: what fits, what a stage needs, and what to do when it does not fit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from ...errors import DeviceMemoryError
from ...host.machine import available_memory, total_memory
from ..interfaces import Quality
from ..weights.catalogue import Role
from ..weights.session import ModelSource, dtype_of, weight_bytes
from .cpu_features import processor_has_bfloat16, products_are_fast

log = logging.getLogger("avatarvideo.musetalk.pipeline.memory")

MIB = 1 << 20

Stage = Literal["faces", "prepare", "audio", "generate"]
STAGE_ROLES: dict[Stage, tuple[Role, ...]] = {
    "faces": ("s3fd", "rtmpose"),
    "prepare": ("vae", "bisenet"),
    "audio": ("whisper",),
    "generate": ("unet", "vae"),
}
FIRST_BATCH: dict[Quality, int] = {"high": 1, "medium": 2, "low": 4}
# On a processor and on a GPU. More gives a processor nothing to gain and cancel more to wait for;
# at 16 a GPU reads the UNet's weights often enough, and encoding has two pictures a face.
LARGEST_BATCH: dict[Stage, tuple[int, int]] = {"generate": (4, 16), "prepare": (1, 8)}
PLANNED_SHARE = 0.8  # of the free memory that a batch may be planned for
# On top of the tensors counted: what the allocator cannot use and the convolutions' work space.
SLACK = 1.25
WORKSPACE = 256 * MIB
CROP_PIXELS = 256 * 256
# Of the weights of a network in float32 on the processor: what its convolutions prepare besides.
TILED_SHARE: dict[Role, float] = {"unet": 0.21, "vae": 2.31}


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
        """Return the MiB the device has in all."""
        if self.device.startswith("cuda"):
            return torch.cuda.mem_get_info(self.device)[1] / MIB
        return total_memory() / MIB

    def can_load(self, mb: float) -> bool:
        """Say whether ``mb`` MiB can be taken now."""
        return mb <= self.free_mb()

    @contextmanager
    def loaded(self, *modules: torch.nn.Module, mb: float) -> Iterator[None]:
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
    """Where and how a stage computes; ``batch`` is of faces.

    plain: convolutions are not tiled, which takes memory, not even where that is faster.
    """

    device: str
    dtype: torch.dtype
    batch: int = 1
    plain: bool = False

    def __str__(self) -> str:
        how = ", plain convolutions" if self.plain else ""
        return f"{self.device} {dtype_name(self.dtype)} batch {self.batch}{how}"


def dtype_name(dtype: torch.dtype) -> str:
    """Return "float32", "float16" or "bfloat16"."""
    return str(dtype).removeprefix("torch.")


def dtype_for(quality: Quality, device: str) -> torch.dtype:
    """Return the precision of a preset on a device.

    "high" is float32 everywhere. The others take float16 on a GPU and, on a processor that
    multiplies it natively, bfloat16; emulated it is slower than float32.
    """
    if quality == "high":
        return torch.float32
    if not device.startswith("cpu"):
        return torch.float16
    return torch.bfloat16 if processor_has_bfloat16() else torch.float32


@dataclass(frozen=True)
class MemoryPlan:
    """What one stage takes on its device, bytes.

    weights: of its networks. activations: of everything between input and output, slack included.
    """

    weights: int
    activations: int

    @property
    def total(self) -> int:
        return self.weights + self.activations

    @property
    def mb(self) -> float:
        """The total in MiB, as ``VRAMManager.can_load`` takes it."""
        return self.total / MIB


def tiles_convolutions(placement: Placement) -> bool:
    """Say whether convolutions save multiplications there; they round no worse for it."""
    on_processor = placement.device.startswith("cpu") and not placement.plain
    return on_processor and placement.dtype == torch.float32 and products_are_fast()


def plan_stage(
    stage: Stage,
    source: ModelSource,
    placement: Placement,
    *,
    frame_size: tuple[int, int] = (0, 0),
) -> MemoryPlan:
    """Return the memory that a stage needs.

    frame_size: width and height, for the detector, which sees whole frames.
    """
    roles: list[Role] = [role for role in STAGE_ROLES[stage] if source.has(role)]
    networks: dict[Role, Any] = {role: source.skeleton(role) for role in roles}
    weights = sum(
        weight_bytes(network, dtype_of(role, placement.dtype)) for role, network in networks.items()
    )
    tensors = _live_bytes(stage, networks, placement, frame_size)
    if tiles_convolutions(placement):
        shares = ((TILED_SHARE.get(role, 0), network) for role, network in networks.items())
        prepared = (share * weight_bytes(network, torch.float32) for share, network in shares)
        return MemoryPlan(weights, int(tensors * SLACK + sum(prepared)) + WORKSPACE)
    return MemoryPlan(weights, int(tensors * SLACK) + WORKSPACE)


def _live_bytes(
    stage: Stage, networks: dict[Role, Any], placement: Placement, frame_size: tuple[int, int]
) -> int:
    """Return the most bytes of tensors alive at once, counted on the networks' own operations."""
    size = placement.dtype.itemsize
    if stage == "faces":
        if "s3fd" not in networks:
            return 0
        # The first stage at full size: what a convolution reads and what it writes.
        channels = 2 * networks["s3fd"].config.stages[0] + 3
        return channels * frame_size[0] * frame_size[1] * 4 + 16 * MIB
    widths = networks["vae"].config.block_out_channels if "vae" in networks else (0, 0)
    if stage == "prepare":
        return placement.batch * 2 * 6 * widths[0] * CROP_PIXELS * size + 64 * MIB
    if stage == "audio":
        config = networks["whisper"].config
        # A segment's maps, and the attention's weights where no fused kernel avoids them.
        maps = 60 * config.positions * config.width
        return (maps + 2 * config.heads * config.positions**2) * 4
    # The decoder's last level: two maps at full size beside their input.
    decoder = 3 * widths[min(1, len(widths) - 1)] * CROP_PIXELS
    unet = 125 * networks["unet"].config.block_out_channels[0] * (CROP_PIXELS // 64)
    return placement.batch * max(decoder, unet) * size


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an exception means that an allocation failed, on a GPU or on the processor."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # What the libraries below PyTorch say of it, and PyTorch's own allocator for the processor.
    signs = ("out of memory", "ALLOC_FAILED", "can't allocate memory")
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs)


class Ladder:
    """Where each stage computes, and the way down when it does not fit.

    The batch is halved down to 1, then convolutions go without their tiles, then the processor
    takes over, then DeviceMemoryError.
    steps: what was given up and why, for the report.
    """

    def __init__(self, vram: VRAMManager, quality: Quality) -> None:
        self._vram = vram
        self._quality: Quality = quality
        self._moved_to_processor = False
        self.steps: list[dict[str, str]] = []

    @property
    def device(self) -> str:
        """The device that every stage is tried on first."""
        return self._vram.device

    def place(self, stage: Stage, plan: Callable[[Placement], MemoryPlan]) -> Placement:
        """Return where a stage is to start, planned from the memory free now.

        Raises DeviceMemoryError when it fits nowhere.
        """
        device = "cpu" if self._moved_to_processor else self._vram.device
        placement = Placement(device, dtype_for(self._quality, device))
        if stage in LARGEST_BATCH:
            placement = replace(placement, batch=self._first_batch(stage, placement, plan))
        while not self._manager(placement).can_load(plan(placement).mb):
            free = self._manager(placement).free_mb()
            reason = f"{plan(placement).mb:.0f} MiB are needed and {free:.0f} MiB are free"
            placement = self.step_down(stage, placement, reason)
        return placement

    def _first_batch(
        self, stage: Stage, placement: Placement, plan: Callable[[Placement], MemoryPlan]
    ) -> int:
        on_processor, on_device = LARGEST_BATCH[stage]
        largest = on_processor if placement.device.startswith("cpu") else on_device
        room = self._manager(placement).free_mb() * PLANNED_SHARE
        batch = min(FIRST_BATCH[self._quality], largest)
        while batch < largest and plan(replace(placement, batch=batch * 2)).mb <= room:
            batch *= 2
        return batch

    def _manager(self, placement: Placement) -> VRAMManager:
        same = placement.device == self._vram.device
        return self._vram if same else VRAMManager(placement.device)

    def step_down(self, stage: Stage, placement: Placement, reason: str) -> Placement:
        """Return the next smaller placement, logged. Raises DeviceMemoryError after the last."""
        if placement.batch > 1:
            smaller = replace(placement, batch=placement.batch // 2)
        elif tiles_convolutions(placement) and TILED_SHARE.keys() & set(STAGE_ROLES[stage]):
            smaller = replace(placement, plain=True)
        elif placement.device != "cpu":
            # Faces are looked for in whole frames: that those do not fit says nothing of the rest.
            self._moved_to_processor = stage != "faces"
            smaller = Placement("cpu", dtype_for(self._quality, "cpu"))
        else:
            raise DeviceMemoryError(
                f"Expected room for MuseTalk's stage {stage} on {placement.device}, but {reason}: "
                "close other programs, choose a smaller picture or the mode puppet."
            )
        log.warning("%s: %s; going on with %s", stage, reason, smaller)
        self.steps.append(
            {"stage": stage, "reason": reason, "from": str(placement), "to": str(smaller)}
        )
        return smaller

    def note(self, stage: Stage, reason: str, before: Placement, after: Placement) -> None:
        """Record another change of plan, such as a stage redone in full precision."""
        log.warning("%s: %s; going on with %s", stage, reason, after)
        self.steps.append({"stage": stage, "reason": reason, "from": str(before), "to": str(after)})
