"""ComfyUI's answers to what ``host`` asks. The only module that imports anything of ComfyUI."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.utils
import folder_paths
import numpy as np
from PIL import Image

MODEL_TYPE = "musetalk"  # our folder under ComfyUI's models
PREVIEW_SECONDS = 0.5  # previews are encoded and sent: two a second are enough
PREVIEW_SIZE = 512  # pixels of the longer side
# Where other packs keep the same files, under ComfyUI's models folder.
OTHER_PACKS_FOLDERS = ("diffusers/TMElyralab/MuseTalk",)


class ComfyHost:
    """ComfyUI as our host."""

    def __init__(self) -> None:
        # Appends, so that the user's extra model paths survive.
        folder_paths.add_model_folder_path(
            MODEL_TYPE, str(Path(folder_paths.models_dir) / MODEL_TYPE), is_default=True
        )

    @property
    def input_directory(self) -> Path:
        return Path(folder_paths.get_input_directory())

    @property
    def output_directory(self) -> Path:
        return Path(folder_paths.get_output_directory())

    @property
    def temp_directory(self) -> Path:
        return Path(folder_paths.get_temp_directory())

    @property
    def model_directories(self) -> list[Path]:
        models = Path(folder_paths.models_dir)
        named = [Path(path) for path in folder_paths.get_folder_paths(MODEL_TYPE)]
        return [*named, *(models / folder for folder in OTHER_PACKS_FOLDERS), models]

    def device(self) -> str:
        return str(comfy.model_management.get_torch_device())

    def free_memory(self, device: str) -> int:
        import torch

        return int(comfy.model_management.get_free_memory(torch.device(device)))

    def video_class(self) -> Callable[[str], Any]:
        from comfy_api.latest import InputImpl

        return InputImpl.VideoFromFile

    def blocked(self, message: str) -> Any:
        from comfy_execution.graph import ExecutionBlocker

        return ExecutionBlocker(message)

    def check_cancelled(self) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()

    @contextmanager
    def progress(self, total: int, label: str) -> Iterator[_Bar]:
        yield _Bar(comfy.utils.ProgressBar(total), total)


class _Bar:
    def __init__(self, bar: Any, total: int) -> None:
        self._bar = bar
        self._total = total
        self._shown = 0.0

    def update(self, done: int, *, preview: np.ndarray | None = None) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        picture = None
        if preview is not None and time.monotonic() - self._shown >= PREVIEW_SECONDS:
            self._shown = time.monotonic()
            picture = ("JPEG", Image.fromarray(preview), PREVIEW_SIZE)
        self._bar.update_absolute(done, self._total, picture)
