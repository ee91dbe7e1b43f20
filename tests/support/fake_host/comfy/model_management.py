"""The part of ComfyUI's model management that packs call, with a graphics card made of numbers."""

from __future__ import annotations

import weakref
from typing import Any

import torch

DEVICE = torch.device("cuda:0")
device = torch.device("cpu")  # what get_torch_device answers
card_bytes = 0  # the card's size; networks that say they are on it take their weights' room
current_loaded_models: list[LoadedModel] = []
requests: list[dict[str, Any]] = []  # what load_models_gpu was asked for
_checks_until_interrupt: int | None = None


class InterruptProcessingException(Exception):  # noqa: N818 - the host's name
    pass


class LoadedModel:
    """Holds its patcher weakly, as the host does."""

    def __init__(self, model: Any) -> None:
        self._model = weakref.ref(model)
        self.real_model = weakref.ref(model.model)
        self.device = model.load_device
        weakref.finalize(model.model, _forget_the_dead)

    @property
    def model(self) -> Any:
        return self._model()

    def model_loaded_memory(self) -> int:
        return self.model.loaded_size()


def reset(card: int = 0) -> None:
    global card_bytes, device, _checks_until_interrupt
    card_bytes, device = card, DEVICE if card else torch.device("cpu")
    _checks_until_interrupt = None
    current_loaded_models.clear()
    requests.clear()


def interrupt_after(checks: int) -> None:
    """Press the cancel button before the given check from now: 0 is the next one."""
    global _checks_until_interrupt
    _checks_until_interrupt = checks


def throw_exception_if_processing_interrupted() -> None:
    global _checks_until_interrupt
    if _checks_until_interrupt is None:
        return
    _checks_until_interrupt -= 1
    if _checks_until_interrupt < 0:
        _checks_until_interrupt = None  # whoever sees it first clears it
        raise InterruptProcessingException


def get_torch_device() -> torch.device:
    return device


def unet_offload_device() -> torch.device:
    return torch.device("cpu")


def get_free_memory(dev: torch.device | None = None, torch_free_too: bool = False) -> int:
    return card_bytes - sum(entry.model_loaded_memory() for entry in current_loaded_models)


def load_models_gpu(
    models: list[Any],
    memory_required: float = 0,
    force_patch_weights: bool = False,
    minimum_memory_required: float | None = None,
    force_full_load: bool = False,
) -> None:
    requests.append({"memory_required": memory_required, "force_full_load": force_full_load})
    for model in models:
        loaded = [entry for entry in current_loaded_models if entry.model is model]
        if not loaded:
            free_memory(model.model_size() + memory_required, model.load_device)
        model.partially_load(model.load_device, force_full_load=force_full_load)
        current_loaded_models.insert(0, loaded[0] if loaded else LoadedModel(model))
        if loaded:
            current_loaded_models.remove(loaded[0])


def free_memory(
    memory_required: float, device: torch.device, keep_loaded: list[LoadedModel] | None = None
) -> list[LoadedModel]:
    kept = keep_loaded or []
    for entry in reversed(list(current_loaded_models)):
        if get_free_memory(device) >= memory_required:
            break
        if entry.device == device and entry not in kept:
            entry.model.detach()
            current_loaded_models.remove(entry)
    return []


def unload_all_models() -> None:
    free_memory(1e30, get_torch_device())


def soft_empty_cache(force: bool = False) -> None:
    pass


def _forget_the_dead() -> None:
    current_loaded_models[:] = [entry for entry in current_loaded_models if entry.real_model()]
