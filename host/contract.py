"""What we ask of whoever runs us: folders, device, memory, progress, cancel.

ComfyUI answers in ``comfy_host``; a plain Python process is answered by ``StandaloneHost``.
The current host is the only module-level state of the package.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..errors import Cancelled
from .system_memory import available_memory

if TYPE_CHECKING:
    from torch import nn

POLL_SECONDS = 0.05  # how often long work asks whether the user cancelled
MODELS_VARIABLE = "AVATAR_MODELS"  # folders searched first, separated like PATH
FORMATS_VARIABLE = "AVATAR_FORMATS"  # the folder of the user's own formats
CACHE_VARIABLE = "AVATAR_CACHE"  # where prepared avatars are kept between processes
# Folders besides the output folder in which workflows may write, separated like PATH. Only who
# starts the process can set it, unlike whoever sends a workflow.
OUTPUTS_VARIABLE = "AVATAR_OUTPUT_DIRS"


class Progress(Protocol):
    """One bar over a known number of steps."""

    def update(self, done: int, *, preview: np.ndarray | None = None) -> None:
        """Say how many steps are done; ``preview`` is uint8 RGB (H, W, 3).

        May raise the host's interruption, so only the node's own thread calls it.
        """
        ...


class Host(Protocol):
    """Everything the package may ask of its surroundings."""

    @property
    def input_directory(self) -> Path: ...

    @property
    def output_directory(self) -> Path: ...

    @property
    def temp_directory(self) -> Path: ...

    @property
    def model_directories(self) -> list[Path]:
        """Folders in which model files may lie, most preferred first; they may not exist."""
        ...

    @property
    def formats_directory(self) -> Path:
        """Where the user's own formats lie; it may not exist."""
        ...

    @property
    def saves_metadata(self) -> bool:
        """Whether workflows may be kept in files at all."""
        ...

    def device(self) -> str:
        """Return the torch device to compute on, such as "cpu" or "cuda:0"."""
        ...

    def free_memory(self, device: str) -> int:
        """Return the bytes that can be taken on a device now."""
        ...

    @property
    def kept(self) -> MutableMapping[str, Any]:
        """What outlives a run, by name: loaded networks, prepared avatars. May be emptied."""
        ...

    def keep_while(self, owner: object) -> None:
        """Empty ``kept`` when the owner goes, if it belongs to the host as its nodes do."""
        ...

    def models_on_device(
        self, modules: Sequence[nn.Module], *, activation_bytes: int
    ) -> AbstractContextManager[None]:
        """Have whole torch modules on ``device()`` while the block lasts, then give them back.

        activation_bytes: the room that computing with them takes besides.
        A module that nobody else holds any more when the block ends is dropped where it is. Only
        the node's own thread enters and leaves; what does not fit raises torch's own error.
        """
        ...

    def video_class(self) -> Callable[[str], Any] | None:
        """Return the host's own file-backed VIDEO class, or None where it has none."""
        ...

    def register_video(self, kind: type) -> None:
        """Let objects of a class pass where the host checks for its own VIDEO."""
        ...

    def blocked(self, message: str) -> Any:
        """Return what stands in an output that was not made; consumers get the message."""
        ...

    def check_cancelled(self) -> None:
        """Raise if the user asked to stop. Only the node's own thread calls it."""
        ...

    def progress(self, total: int, label: str) -> AbstractContextManager[Progress]:
        """Open a bar over ``total`` steps; updates raise when the user asked to stop."""
        ...


@dataclass(frozen=True)
class ExecutionBlocker:
    """An output that was not made: whatever takes it stops with this message."""

    message: str


class StandaloneHost:
    """A plain Python process: folders of the caller's choice, torch's device, a bar on stderr.

    input_directory, output_directory: default to the working directory and ``output`` in it.
    show_progress: draw bars on stderr; None means only when stderr is a terminal.
    """

    def __init__(
        self,
        *,
        input_directory: Path | None = None,
        output_directory: Path | None = None,
        temp_directory: Path | None = None,
        show_progress: bool | None = False,
    ) -> None:
        self.input_directory = (input_directory or Path.cwd()).resolve()
        self.output_directory = (output_directory or Path.cwd() / "output").resolve()
        self.temp_directory = temp_directory or Path(tempfile.gettempdir()) / "avatarvideo"
        self._show_progress = show_progress
        self._stop = threading.Event()
        self.kept: dict[str, Any] = {}

    @property
    def model_directories(self) -> list[Path]:
        named = os.environ.get(MODELS_VARIABLE, "")
        return [
            *(Path(part).expanduser() for part in named.split(os.pathsep) if part),
            Path.cwd() / "models",
            Path.home() / ".cache" / "avatarvideo" / "models",
        ]

    @property
    def formats_directory(self) -> Path:
        named = os.environ.get(FORMATS_VARIABLE)
        return Path(named or "~/.config/avatarvideo/formats").expanduser()

    @property
    def saves_metadata(self) -> bool:
        return True

    def keep_while(self, owner: object) -> None:
        pass  # what is kept goes with the process

    def device(self) -> str:
        import torch

        return "cuda:0" if torch.cuda.is_available() else "cpu"

    def free_memory(self, device: str) -> int:
        if device.startswith("cuda"):
            import torch

            return torch.cuda.mem_get_info(device)[0]
        return available_memory()

    @contextmanager
    def models_on_device(
        self, modules: Sequence[nn.Module], *, activation_bytes: int
    ) -> Iterator[None]:
        device = self.device()
        # Held weakly: a network that is not needed again need not be copied back first.
        borrowed = [weakref.ref(module) for module in modules]
        try:
            _move(modules, device)
            del modules
            yield
        finally:
            _move([module for module in (lent() for lent in borrowed) if module], "cpu")
            if device.startswith("cuda"):
                import torch

                torch.cuda.empty_cache()

    def video_class(self) -> None:
        return None

    def register_video(self, kind: type) -> None:
        pass

    def blocked(self, message: str) -> ExecutionBlocker:
        return ExecutionBlocker(message)

    def cancel(self) -> None:
        """Ask the run to stop; safe from any thread and from a signal handler."""
        self._stop.set()

    def check_cancelled(self) -> None:
        if self._stop.is_set():
            self._stop.clear()
            raise Cancelled("The run was cancelled.")

    @contextmanager
    def progress(self, total: int, label: str) -> Iterator[Progress]:
        from tqdm import tqdm

        shown = sys.stderr.isatty() if self._show_progress is None else self._show_progress
        with tqdm(total=total, desc=label, disable=not shown, leave=False) as bar:
            yield _Bar(self, bar)


def _move(modules: Sequence[nn.Module], device: str) -> None:
    for module in modules:
        module.to(device)


class _Bar:
    def __init__(self, host: StandaloneHost, bar: object) -> None:
        self._host = host
        self._bar = bar

    def update(self, done: int, *, preview: np.ndarray | None = None) -> None:
        self._host.check_cancelled()
        self._bar.update(done - self._bar.n)  # type: ignore[attr-defined]


_current: Host | None = None


def set_host(host: Host | None) -> None:
    """Choose who answers from now on; None goes back to the default."""
    global _current
    _current = host


def allowed_output_directories() -> list[Path]:
    """Return the absolute folders besides the output folder in which workflows may write."""
    named = os.environ.get(OUTPUTS_VARIABLE, "").split(os.pathsep)
    folders = [Path(part).expanduser() for part in named if part.strip()]
    return [folder for folder in folders if folder.is_absolute()]


def cache_directory() -> Path | None:
    """Return the absolute folder in which prepared avatars outlive the process, if one is named."""
    named = os.environ.get(CACHE_VARIABLE, "").strip()
    return Path(named).expanduser().resolve() if named else None


def current_host() -> Host:
    """Return the host that runs us: ComfyUI when we were loaded by it, else a standalone one."""
    global _current
    if _current is None:
        _current = _comfy_host() or StandaloneHost()
    return _current


def _comfy_host() -> Host | None:
    # Inside ComfyUI its modules are already loaded; outside, a module of the same name may exist.
    if "folder_paths" not in sys.modules or "comfy.model_management" not in sys.modules:
        return None
    from .comfy import ComfyHost

    return ComfyHost()
