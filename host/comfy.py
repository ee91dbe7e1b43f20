"""ComfyUI's answers to what ``host`` asks. The only module that imports anything of ComfyUI."""

# pyright: reportMissingImports=false, reportUntypedBaseClass=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false
# ComfyUI is on no package index, so it is never there where types are checked.
from __future__ import annotations

import ipaddress
import time
import weakref
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import comfy.cli_args
import comfy.model_management
import comfy.model_patcher
import comfy.utils
import folder_paths
import torch
from PIL import Image

from .contract import Preview
from .machine import available_memory, return_memory

MODEL_TYPE = "musetalk"  # our folder under ComfyUI's models
PREVIEW_SECONDS = 0.5  # previews are encoded and sent: two a second are enough
PREVIEW_SIZE = 512  # pixels of the longer side
EVERYTHING = 1e30  # bytes to ask for so that whole models go, as ComfyUI itself asks
# Where other packs keep the same files, under ComfyUI's models folder.
OTHER_PACKS_FOLDERS = ("diffusers/TMElyralab/MuseTalk",)


DETECTION_TYPE = "detection"  # newer ComfyUI's own folders, which may hold the face mesh


class ComfyHost:
    """ComfyUI as our host."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}  # Any: as in the contract
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
    def reads_anywhere(self) -> bool:
        return not _is_served()

    @property
    def model_directories(self) -> list[Path]:
        models = Path(folder_paths.models_dir)
        named = [Path(path) for path in folder_paths.get_folder_paths(MODEL_TYPE)]
        known = folder_paths.folder_names_and_paths
        detection = folder_paths.get_folder_paths(DETECTION_TYPE) if DETECTION_TYPE in known else ()
        elsewhere = [Path(path) for path in detection if not Path(path).is_relative_to(models)]
        return [*named, *(models / folder for folder in OTHER_PACKS_FOLDERS), models, *elsewhere]

    @property
    def formats_directory(self) -> Path:
        return Path(folder_paths.get_user_directory()) / "avatarvideo" / "formats"

    @property
    def saves_metadata(self) -> bool:
        return not comfy.cli_args.args.disable_metadata

    def keep_while(self, owner: object) -> None:
        # Freeing memory in the page drops the nodes with their results, and so does a new graph.
        weakref.finalize(owner, _drop, self.kept).atexit = False

    def device(self) -> str:
        return str(comfy.model_management.get_torch_device())

    def free_memory(self, device: str) -> int:
        place = torch.device(device)
        if place.type == "cpu":
            return available_memory()
        # What lies there makes way when ours are loaded.
        evictable = sum(
            entry.model_loaded_memory()
            for entry in comfy.model_management.current_loaded_models
            if entry.device == place and entry.model is not None
        )
        return int(comfy.model_management.get_free_memory(place)) + evictable

    @contextmanager
    def models_on_device(
        self, modules: Sequence[torch.nn.Module], *, activation_bytes: int
    ) -> Generator[None]:
        patchers = [_patcher_of(module) for module in modules]
        del modules
        try:
            # Layers of ours know nothing of the host's partial loading: whole networks or none.
            comfy.model_management.load_models_gpu(
                patchers, memory_required=activation_bytes, force_full_load=True
            )
            for patcher in patchers:
                patcher.model.to(patcher.load_device)  # the host's --novram leaves layers behind
            yield
        except BaseException:
            _unload(patchers)  # whatever comes next needs the room, or another device
            raise

    def register_video(self, kind: type) -> None:
        from comfy_api.latest import Input

        Input.Video.register(kind)

    def video_class(self) -> Callable[[str], Any]:  # Any: as in the contract
        from comfy_api.latest import InputImpl

        return InputImpl.VideoFromFile

    def blocked(self, message: str) -> Any:  # Any: a class of ComfyUI
        from comfy_execution.graph import ExecutionBlocker

        return ExecutionBlocker(message)

    def running_prompt(self) -> Mapping[str, Any]:  # Any: as in the contract
        from server import PromptServer

        # ComfyUI tells a node's IS_CHANGED nothing of the graph around it.
        running = list(PromptServer.instance.prompt_queue.currently_running.values())
        return running[-1][2] if running else {}

    def check_cancelled(self) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()

    @contextmanager
    def progress(self, total: int, label: str) -> Generator[_Bar]:
        yield _Bar(comfy.utils.ProgressBar(total), total)


def _drop(kept: dict[str, Any]) -> None:  # Any: as in the contract
    if kept:
        kept.clear()
        return_memory()


def _is_served() -> bool:
    """Say whether others than the machine's user may send graphs."""
    args = comfy.cli_args.args
    addresses = str(getattr(args, "listen", "127.0.0.1")).split(",")
    return bool(getattr(args, "multi_user", False)) or not all(map(_is_loopback, addresses))


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.strip().strip("[]")).is_loopback
    except ValueError:  # the name of a machine, or nothing, which stands for every address
        return address.strip().lower() == "localhost"


class _Patcher(comfy.model_patcher.ModelPatcher):
    """How ComfyUI moves and evicts one network.

    It lives as long as its network and does not hold it, so that letting go of a network frees
    its memory at once, on every device.
    """

    @property
    def model(self) -> Any:  # Any: a network, None once it is gone
        return self._network()

    @model.setter
    def model(self, network: torch.nn.Module) -> None:
        self._network = weakref.ref(network)


def _patcher_of(network: Any) -> _Patcher:  # Any: torch declares no attribute of ours
    """Return the network's patcher, which is made once: a second one would lose track of it."""
    if not hasattr(network, "comfy_patcher"):
        network.comfy_patcher = _Patcher(
            network,
            load_device=comfy.model_management.get_torch_device(),
            offload_device=comfy.model_management.unet_offload_device(),
        )
    network.comfy_patcher.size = 0  # measured anew: a kept network may have changed its precision
    return network.comfy_patcher


def _unload(patchers: Sequence[_Patcher]) -> None:
    management = comfy.model_management
    others = [
        entry
        for entry in management.current_loaded_models
        if not any(entry.model is patcher for patcher in patchers)
    ]
    for device in {patcher.load_device for patcher in patchers if patcher.model is not None}:
        management.free_memory(EVERYTHING, device, keep_loaded=others)


class _Bar:
    def __init__(self, bar: Any, total: int) -> None:  # Any: ComfyUI is not there for types
        self._bar = bar
        self._total = total
        self._shown = 0.0

    def update(self, done: int, *, preview: Preview | None = None) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        picture = None
        if preview is not None and time.monotonic() - self._shown >= PREVIEW_SECONDS:
            self._shown = time.monotonic()
            shown = preview() if callable(preview) else preview
            # The host writes a JPEG, which knows no transparency.
            picture = ("JPEG", Image.fromarray(shown[..., :3]), PREVIEW_SIZE)
        self._bar.update_absolute(done, self._total, picture)
