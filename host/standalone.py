"""A plain Python process as our host."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import Cancelled
from .contract import ExecutionBlocker, Preview, Progress
from .environment import FORMATS_VARIABLE, MODELS_VARIABLE
from .machine import available_memory

if TYPE_CHECKING:
    from torch import nn
    from tqdm import tqdm


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
        self.reads_anywhere = True
        self._show_progress = show_progress
        self._stop = threading.Event()
        self.kept: dict[str, Any] = {}  # Any: as in the contract

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
    ) -> Generator[None]:
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

    def video_class(self) -> Callable[[str], Any]:  # Any: as in the contract
        # Not at the top: the stand-ins for core nodes are far above the host.
        from ..headless.core_video import FileVideo

        return FileVideo

    def register_video(self, kind: type) -> None:
        pass

    def blocked(self, message: str) -> ExecutionBlocker:
        return ExecutionBlocker(message)

    def cancel(self) -> None:
        """Ask the run to stop; safe from any thread and from a signal handler."""
        self._stop.set()

    def running_prompt(self) -> dict[str, Any]:  # Any: as in the contract
        return {}

    def check_cancelled(self) -> None:
        if self._stop.is_set():
            self._stop.clear()
            raise Cancelled("The run was cancelled.")

    @contextmanager
    def progress(self, total: int, label: str) -> Generator[Progress]:
        from tqdm import tqdm

        shown = sys.stderr.isatty() if self._show_progress is None else self._show_progress
        with tqdm(total=total, desc=label, disable=not shown, leave=False) as bar:
            yield _Bar(self, bar)


def _move(modules: Sequence[nn.Module], device: str) -> None:
    for module in modules:
        module.to(device)


class _Bar:
    def __init__(self, host: StandaloneHost, bar: tqdm[NoReturn]) -> None:
        self._host = host
        self._bar = bar

    def update(self, done: int, *, preview: Preview | None = None) -> None:
        self._host.check_cancelled()
        self._bar.update(done - self._bar.n)
