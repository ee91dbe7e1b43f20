"""Run one stage with its networks on the device, and step down the ladder when it does not fit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import nn

from ..networks.bisenet import BiSeNet
from ..networks.fast.winograd import set_tiled
from ..networks.taesd import ComparedDecoder, TAESDDecoder
from ..networks.unet import UNet
from ..networks.vae import AutoencoderKL
from ..networks.whisper import WhisperEncoder
from ..weights.catalogue import Network, NetworkClass, Role, Stage, planned_networks
from ..weights.session import ModelSession, ModelSource, dtype_of
from ..work import Work
from .memory import (
    Ladder,
    MemoryPlan,
    Placement,
    is_out_of_memory,
    plan_stage,
    tiles_convolutions,
)

log = logging.getLogger("avatarvideo.musetalk.pipeline.stages")

Result = TypeVar("Result")


class StageNetworks:
    """The networks of one stage, one in each field; None where the stage does without."""

    def modules(self) -> list[nn.Module]:
        """Return those that there are."""
        fields: Iterable[nn.Module | None] = vars(self).values()
        return [network for network in fields if network is not None]


@dataclass(frozen=True)
class FaceNetworks(StageNetworks):
    """What the face finder in use looks with: each finder has networks of its own."""

    by_role: Mapping[Role, nn.Module]

    def modules(self) -> list[nn.Module]:
        """Return those that there are."""
        return list(self.by_role.values())


@dataclass(frozen=True)
class AvatarNetworks(StageNetworks):
    """What makes latents and masks; no parser where the user gave the mask."""

    vae: AutoencoderKL
    bisenet: BiSeNet | None


@dataclass(frozen=True)
class SpeechNetworks(StageNetworks):
    """What hears the speech."""

    whisper: WhisperEncoder


@dataclass(frozen=True)
class GenerateNetworks(StageNetworks):
    """What makes new faces; with the small decoder the other one is compared with it."""

    unet: UNet
    vae: AutoencoderKL
    taesd: TAESDDecoder | None

    def decoder(self) -> AutoencoderKL | ComparedDecoder:
        """Return what turns latents into pictures."""
        return self.vae if self.taesd is None else ComparedDecoder(self.taesd, self.vae)


Networks = TypeVar("Networks", bound=StageNetworks)


class Load(Protocol):
    """Returns a network as the stage's placement wants it, on the CPU."""

    def __call__(self, network: Network[NetworkClass], /) -> NetworkClass: ...


class Surroundings(Protocol):
    """What the stages ask of the host; every host answers it."""

    @property
    def temp_directory(self) -> Path: ...

    @property
    def kept(self) -> MutableMapping[str, Any]: ...

    def device(self) -> str: ...

    def models_on_device(
        self, modules: Sequence[nn.Module], *, activation_bytes: int
    ) -> AbstractContextManager[None]: ...


class StageRunner:
    """The stages of one run, one after the other."""

    def __init__(
        self, work: Work, session: ModelSession, ladder: Ladder, surroundings: Surroundings
    ) -> None:
        self.work = work
        self.ladder = ladder
        self._session = session
        self._surroundings = surroundings
        self._device = surroundings.device()
        if self._on_cuda():
            torch.cuda.init()  # a process that never used the GPU has no statistics to reset
            torch.cuda.reset_peak_memory_stats(self._device)

    def place(self, stage: Stage, *, frame_size: tuple[int, int] = (0, 0)) -> Placement:
        """Return where a stage is to start. Raises DeviceMemoryError when it fits nowhere."""
        return self.ladder.place(stage, lambda placement: self._plan(stage, placement, frame_size))

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
        task: run with the networks on the device; run again from where it was when
            memory ran out.
        """
        placement = placement or self.place(stage, frame_size=frame_size)
        while True:
            try:
                return self._attempt(stage, choose, task, placement, frame_size), placement
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                reason = str(error).split(". ")[0].split("\n")[0] or "out of memory"
            # Outside of the handler: the exception holds on to everything that was computed.
            placement = self.ladder.step_down(stage, placement, reason)

    @contextmanager
    def _stoppable(self, source: ModelSource) -> Iterator[None]:
        source.between_tensors = self.work.check
        try:
            yield
        finally:
            source.between_tensors = None

    def _attempt(
        self,
        stage: Stage,
        choose: Callable[[Load], Networks],
        task: Callable[[Networks, Placement], Result],
        placement: Placement,
        frame_size: tuple[int, int],
    ) -> Result:
        def load(network: Network[NetworkClass]) -> NetworkClass:
            return self._loaded(network, placement)

        with self._stoppable(self._session.source):
            networks = self.work.run(lambda: choose(load), inference=False)
        activations = self._plan(stage, placement, frame_size).activations
        modules = networks.modules()
        with self._on_device(modules, placement, activations):
            try:
                _set_up(modules, self.work.check, tiles_convolutions(placement, self.ladder.tuning))
                result = self.work.run(partial(task, networks, placement))
            finally:
                _set_up(modules, None, False)  # what tiles prepared takes memory
                del modules
            # The host gives back, at the end of this block, what is still held then.
            del networks
            self._session.done(stage)
        return result

    def _loaded(self, network: Network[NetworkClass], placement: Placement) -> NetworkClass:
        self.work.check()
        dtype = dtype_of(network, placement.dtype)
        # Also narrows what an earlier stage or attempt had widened.
        return self._session.load(network, dtype).to(dtype)

    def _on_device(
        self, modules: Sequence[nn.Module], placement: Placement, activations: int
    ) -> AbstractContextManager[None]:
        if placement.device != self._device or not modules:
            return nullcontext()  # the processor: networks are there when they are loaded
        return self._surroundings.models_on_device(modules, activation_bytes=activations)

    def _plan(self, stage: Stage, placement: Placement, frame_size: tuple[int, int]) -> MemoryPlan:
        source, tuning = self._session.source, self.ladder.tuning
        plan = plan_stage(stage, source, placement, tuning=tuning, frame_size=frame_size)
        if placement.device.startswith("cpu"):
            # Weights that are in memory already take no more of it.
            held = self._session.held_bytes(placement.dtype, planned_networks(stage))
            plan = replace(plan, weights=max(0, plan.weights - held))
        return plan

    def widened(self, stage: Stage, placement: Placement) -> None:
        """Record that a stage goes on in full precision."""
        wide = replace(placement, dtype=torch.float32)
        self.ladder.note(stage, "numbers left the range of half precision", placement, wide)

    def peak_device_bytes(self) -> int | None:
        """Return the most memory the run took on a GPU; None elsewhere."""
        return torch.cuda.max_memory_allocated(self._device) if self._on_cuda() else None

    def _on_cuda(self) -> bool:
        return self._device.startswith("cuda")


def _set_up(
    modules: Sequence[nn.Module], between_blocks: Callable[[], None] | None, tiled: bool
) -> None:
    """Have networks ask between their blocks whether to go on, and tile their convolutions."""
    for module in modules:
        network: Any = module  # Any: torch declares no attribute but tensors and modules
        network.between_blocks = between_blocks
        set_tiled(module, tiled)
