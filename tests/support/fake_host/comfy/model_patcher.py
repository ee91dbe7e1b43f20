"""ComfyUI's wrapper of a network, as far as moving it is concerned."""

from __future__ import annotations

from typing import Any

import torch


class ModelPatcher:
    def __init__(
        self,
        model: Any,
        load_device: torch.device,
        offload_device: torch.device,
        size: int = 0,
        weight_inplace_update: bool = False,
    ) -> None:
        self.size = size
        self.model = model
        self.load_device = load_device
        self.offload_device = offload_device
        self.model.device = offload_device
        self.model.model_loaded_weight_memory = 0

    def __del__(self) -> None:
        self.detach(unpatch_all=False)

    def model_size(self) -> int:
        if not self.size:
            tensors = self.model.state_dict().values()
            self.size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        return self.size

    def loaded_size(self) -> int:
        return self.model.model_loaded_weight_memory

    def partially_load(self, device_to: torch.device, force_full_load: bool = False) -> None:
        self.model.to(device_to)
        self.model.device = device_to
        self.model.model_loaded_weight_memory = self.model_size()

    def detach(self, unpatch_all: bool = True) -> Any:
        if unpatch_all:
            self.model.to(self.offload_device)
            self.model.device = self.offload_device
            self.model.model_loaded_weight_memory = 0
        return self.model
