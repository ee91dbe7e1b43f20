"""What we ask of whoever runs us: folders, device, memory, progress, cancel.

ComfyUI answers in ``comfy.py``, a plain Python process in ``standalone.py``; ``current.py`` says
which of them is there.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from torch import nn

POLL_SECONDS = 0.05  # how often long work asks whether the user cancelled


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

    def video_class(self) -> Callable[[str], Any]:
        """Return the host's own file-backed VIDEO class, which is made from a path."""
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
