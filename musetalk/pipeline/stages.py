"""Run one stage with its networks on the device, and fall back when memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, TypeVar

import torch
from torch import nn

from ...host.contract import Device
from ..networks.bisenet import BiSeNet
from ..networks.fast.winograd import set_tiled
from ..networks.taesd import ComparedDecoder
from ..networks.unet import UNet
from ..networks.vae import AutoencoderKL
from ..out_of_memory import is_out_of_memory
from ..weights.catalogue import Network, NetworkClass, Stage, planned_networks
from ..weights.session import ModelSession, dtype_of
from ..work import Work
from .memory import FallbackPlan, MemoryPlan, Placement, plan_stage, uses_winograd

log = logging.getLogger("avatarvideo.musetalk.pipeline.stages")

Result = TypeVar("Result")
Networks = TypeVar("Networks")  # one, or a class of those that a stage uses


@dataclass(frozen=True)
class AvatarNetworks:
    """Make latents and masks; no parser where the user gave the mask."""

    vae: AutoencoderKL
    bisenet: BiSeNet | None


@dataclass(frozen=True)
class GenerateNetworks:
    """Generate faces."""

    unet: UNet
    decoder: AutoencoderKL | ComparedDecoder


class Load(Protocol):
    """Returns a network as the stage's placement wants it, on the CPU."""

    def __call__(self, network: Network[NetworkClass], /) -> NetworkClass: ...


class Guest(Protocol):
    """A network that is none of ours, which works beside those of a stage where there is room."""

    def plan(self, dtype: torch.dtype) -> MemoryPlan:
        """Return what it takes beside networks of that precision."""
        ...

    def module(self, dtype: torch.dtype) -> nn.Module:
        """Return the network on the CPU."""
        ...

    def release(self) -> None:
        """Let go of the network."""
        ...


class StageRunner:
    """Runs the stages of one run. guests: by the stage that each works in."""

    def __init__(
        self, work: Work, session: ModelSession, fallback: FallbackPlan, host: Device
    ) -> None:
        self.work = work
        self.fallback = fallback
        self._session = session
        self.guests: dict[Stage, Guest] = {}
        self._host = host
        self._device = host.device()
        if self._on_cuda():
            torch.cuda.init()  # a process that never used the GPU has no statistics to reset
            torch.cuda.reset_peak_memory_stats(self._device)

    def place(self, stage: Stage, *, frame_size: tuple[int, int] = (0, 0)) -> Placement:
        return self.fallback.place(
            stage,
            lambda placement: self._plan(stage, placement, frame_size),
            sharp=stage in self.guests,
        )

    def run(
        self,
        stage: Stage,
        choose: Callable[[Load], Networks],
        task: Callable[[Networks, Placement], Result],
        *,
        placement: Placement | None = None,
        frame_size: tuple[int, int] = (0, 0),
    ) -> tuple[Result, Placement]:
        """Return what the task returns and where it ran in the end.

        choose: loads the networks that the task takes, by the function it is given.
        task: run with the networks on the device; called again, to continue, when memory ran out.
        """
        placement = placement or self.place(stage, frame_size=frame_size)
        while True:
            try:
                return self._attempt(stage, choose, task, placement, frame_size), placement
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                reason = str(error).split(". ")[0].split("\n")[0] or "out of memory"
            # Outside of the handler: the exception keeps everything that was computed alive.
            placement = self.fallback.fall_back(stage, placement, reason)

    def _attempt(
        self,
        stage: Stage,
        choose: Callable[[Load], Networks],
        task: Callable[[Networks, Placement], Result],
        placement: Placement,
        frame_size: tuple[int, int],
    ) -> Result:
        modules: list[nn.Module] = []

        def load(network: Network[NetworkClass]) -> NetworkClass:
            self.work.check()
            dtype = dtype_of(network, placement.dtype)
            # Also narrows what an earlier stage or attempt had widened.
            loaded = self._session.load(network, dtype).to(dtype)
            modules.append(loaded)
            return loaded

        source = self._session.source
        source.between_tensors = self.work.check
        try:
            networks = self.work.run(lambda: choose(load), inference=False)
            guest = self.guests[stage] if placement.sharp else None
            guests = [guest.module(placement.dtype)] if guest else []
        finally:
            source.between_tensors = None
        room = self._plan(stage, placement, frame_size).activations
        is_there = placement.device != self._device or not modules  # all are loaded on the CPU
        on_device = self._host.models_on_device
        held = [*modules, *guests]
        guests.clear()
        with nullcontext() if is_there else on_device(held, activation_bytes=room):
            held.clear()
            try:
                _set_up(modules, self.work.check, uses_winograd(placement, self.fallback.tuning))
                result = self.work.run(partial(task, networks, placement))
            finally:
                _set_up(modules, None, False)  # transformed kernels take memory
                modules.clear()
                if guest:
                    guest.release()
            # At the end of this block the host copies back what is still referred to.
            del networks
            self._session.done(stage)
        return result

    def _plan(self, stage: Stage, placement: Placement, frame_size: tuple[int, int]) -> MemoryPlan:
        source, tuning = self._session.source, self.fallback.tuning
        plan = plan_stage(stage, source, placement, tuning=tuning, frame_size=frame_size)
        if placement.device.startswith("cpu"):
            # Weights that are in memory already take no more of it.
            held = self._session.held_bytes(placement.dtype, planned_networks(stage))
            plan = replace(plan, weights=max(0, plan.weights - held))
        return plan.beside(self.guests[stage].plan(placement.dtype)) if placement.sharp else plan

    def widened(self, stage: Stage, placement: Placement) -> None:
        wide = replace(placement, dtype=torch.float32)
        self.fallback.note(stage, "values left the range of half precision", placement, wide)

    def peak_device_bytes(self) -> int | None:
        """Return the most memory the run took on a GPU; None elsewhere."""
        return torch.cuda.max_memory_allocated(self._device) if self._on_cuda() else None

    def _on_cuda(self) -> bool:
        return self._device.startswith("cuda")


def _set_up(
    modules: Sequence[nn.Module], between_blocks: Callable[[], None] | None, tiled: bool
) -> None:
    for module in modules:
        network: Any = module  # Any: torch declares no attribute but tensors and modules
        network.between_blocks = between_blocks
        set_tiled(module, tiled)
