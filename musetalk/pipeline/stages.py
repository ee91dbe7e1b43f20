"""Run one stage with its networks on the device, and step down the ladder when it does not fit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import nn

from ..networks.fast.winograd import set_tiled
from ..weights.catalogue import Role
from ..weights.session import ModelSession, ModelSource, dtype_of
from ..work import Work
from .memory import (
    STAGE_ROLES,
    Ladder,
    MemoryPlan,
    Placement,
    Stage,
    is_out_of_memory,
    plan_stage,
    tiles_convolutions,
)

log = logging.getLogger("avatarvideo.musetalk.pipeline.stages")

Result = TypeVar("Result")
Networks = dict[Role, Any]


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
        roles: Sequence[Role],
        task: Callable[[Networks, Placement], Result],
        *,
        placement: Placement | None = None,
        frame_size: tuple[int, int] = (0, 0),
        last_use: Sequence[Role] = (),
    ) -> tuple[Result, Placement]:
        """Return what the task returns and where it ran in the end.

        task: run with the networks on the device; run again from where it was when
            memory ran out.
        last_use: networks that no later stage needs.
        """
        placement = placement or self.place(stage, frame_size=frame_size)
        while True:
            try:
                return self._attempt(stage, roles, task, placement, frame_size, last_use), placement
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
        roles: Sequence[Role],
        task: Callable[[Networks, Placement], Result],
        placement: Placement,
        frame_size: tuple[int, int],
        last_use: Sequence[Role],
    ) -> Result:
        with self._stoppable(self._session.source):
            networks = self.work.run(lambda: self._loaded(roles, placement), inference=False)
        activations = self._plan(stage, placement, frame_size).activations
        modules = list(networks.values())
        try:
            with self._on_device(modules, placement, activations):
                del modules
                for network in networks.values():
                    network.between_blocks = self.work.check
                    set_tiled(network, tiles_convolutions(placement))
                result = self.work.run(lambda: task(networks, placement))
                # The host gives back, at the end of this block, what is still held then.
                self._release(networks, last_use)
        finally:
            for network in networks.values():
                network.between_blocks = None
                set_tiled(network, False)  # what it prepared takes memory
        return result

    def _loaded(self, roles: Sequence[Role], placement: Placement) -> Networks:
        networks: Networks = {}
        for role in roles:
            self.work.check()
            dtype = dtype_of(role, placement.dtype)
            # Also narrows what an earlier stage or attempt had widened.
            networks[role] = self._session.load(role, dtype).to(dtype)
        return networks

    def _release(self, networks: Networks, last_use: Sequence[Role]) -> None:
        for role in last_use:
            if role in networks:
                networks[role].between_blocks = None
                set_tiled(networks[role], False)
                del networks[role]
        self._session.done(*last_use)

    def _on_device(
        self, modules: Sequence[nn.Module], placement: Placement, activations: int
    ) -> AbstractContextManager[None]:
        if placement.device != self._device or not modules:
            return nullcontext()  # the processor: networks are there when they are loaded
        return self._surroundings.models_on_device(modules, activation_bytes=activations)

    def _plan(self, stage: Stage, placement: Placement, frame_size: tuple[int, int]) -> MemoryPlan:
        plan = plan_stage(stage, self._session.source, placement, frame_size=frame_size)
        if placement.device.startswith("cpu"):
            # Weights that are in memory already take no more of it.
            held = self._session.held_bytes(placement.dtype, STAGE_ROLES[stage])
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
