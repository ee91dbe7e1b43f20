"""What the package asks of whoever runs it, in three small parts that together are the host.

A function that needs only a part asks for that part:

    def portrait(folders: Folders) -> Path:
        return folders.input_directory / "portrait.png"

    portrait(current_host())  # every host is Folders, Device and Interaction
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from torch import nn

POLL_SECONDS = 0.05  # how often long work asks whether the user cancelled


@dataclass(frozen=True)
class ExecutionBlocker:
    """An output that was not made: whatever takes it as an input stops with this message.

    ComfyUI has a class of its own with this name, by which both are recognised.
    """

    message: str


class Folders(Protocol):
    """Where files lie."""

    @property
    def input_directory(self) -> Path: ...

    @property
    def output_directory(self) -> Path: ...

    @property
    def temp_directory(self) -> Path: ...

    @property
    def model_directories(self) -> list[Path]:
        """The folders to search for model files, most preferred first; they may not exist."""
        ...

    @property
    def formats_directory(self) -> Path:
        """The folder of the user's own encoding formats; it may not exist."""
        ...


class Device(Protocol):
    """What computes, its memory, and what stays in memory between runs."""

    def device(self) -> str:
        """Return the torch device to compute on, such as "cpu" or "cuda:0"."""
        ...

    def free_memory(self, device: str) -> int:
        """Return how many bytes can be allocated on a device now."""
        ...

    @property
    def kept(self) -> MutableMapping[str, Any]:  # Any: each name has a type of its own
        """What stays in memory between runs, by name: networks, prepared avatars.

        The host may empty it at any time between runs.
        """
        ...

    def keep_while(self, owner: object) -> None:
        """Empty ``kept`` when the owner is garbage collected, if the host frees memory that way."""
        ...

    def models_on_device(
        self, modules: Sequence[nn.Module], *, activation_bytes: int
    ) -> AbstractContextManager[None]:
        """Hold torch modules on ``device()`` while the block lasts, then give them back.

        activation_bytes: the memory that computing with them takes besides their weights.
        A module that nobody else refers to when the block ends is not copied back. Call it from
        the node's own thread. Where memory is short, torch's own error is raised.
        """
        ...


# A uint8 RGB picture (H, W, 3), or what makes one where it is shown.
Preview = np.ndarray | Callable[[], np.ndarray]


class Progress(Protocol):
    """A progress bar over a known number of steps."""

    def update(self, done: int, *, preview: Preview | None = None) -> None:
        """Show how many steps are done, and at most two pictures a second.

        Raises like ``Interaction.check_cancelled``.
        """
        ...


class Interaction(Protocol):
    """What the user sees of a run, and how the user stops it."""

    def running_prompt(self) -> Mapping[str, Any]:  # Any: a prompt holds values of every type
        """Return the prompt that runs now, by node id; empty where nothing is kept between runs."""
        ...

    def check_cancelled(self) -> None:
        """Raise the host's exception if the user asked to stop. Only from the node's own thread."""
        ...

    def progress(self, total: int, label: str) -> AbstractContextManager[Progress]:
        """Show a progress bar over ``total`` steps."""
        ...


class Host(Folders, Device, Interaction, Protocol):
    """All three parts, and what the nodes of a graph ask besides."""

    @property
    def saves_metadata(self) -> bool:
        """Whether files may contain the workflow that made them."""
        ...

    @property
    def reads_anywhere(self) -> bool:
        """Whether graphs may read outside of the host's folders: False where strangers send them.

        Only ``reading.readable`` asks it.
        """
        ...

    def video_class(self) -> Callable[[str], Any]:  # Any: a class of ComfyUI or ours
        """Return the host's own class for a VIDEO that is a file; it is called with a path."""
        ...

    def register_video(self, kind: type) -> None:
        """Have the host accept objects of a class of ours as VIDEO."""
        ...

    def blocked(self, message: str) -> object:
        """Return an ``ExecutionBlocker``: the value of an output that was not made."""
        ...
