"""Long work that lets whoever asked for it look and stop it between its steps.

It runs in the thread that asked: a second one with torch's own threads behind it would make more
of them than there are CPUs, and then every step of a network waits longer to begin.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch

Result = TypeVar("Result")


class Work:
    """The work of one run.

    poll: asked between the steps; shows progress, and ends the work by what it raises.
    poll_seconds: asked no more often than this.
    """

    def __init__(self, poll: Callable[[Work], None], *, poll_seconds: float) -> None:
        self._poll = poll
        self._poll_seconds = poll_seconds
        self._polled = -poll_seconds
        self.done = 0  # steps finished so far
        self.preview: np.ndarray | None = None  # the newest picture, uint8 RGB (H, W, 3)

    def check(self) -> None:
        """Ask whether to go on. Called between the blocks of a network."""
        if time.monotonic() - self._polled >= self._poll_seconds:
            self._ask()

    def show(self, picture: np.ndarray) -> None:
        """Show a picture, uint8 RGB (H, W, 3), at once: the next step may take seconds."""
        self.preview = picture
        self._ask()

    def run(self, task: Callable[[], Result], *, inference: bool = True) -> Result:
        """Return what the task returns; ask before and after it.

        inference: compute without any record for gradients; False where networks are made, whose
            weights must stay ordinary tensors.
        """
        self._ask()
        with torch.inference_mode(inference):
            result = task()
        self._ask()
        return result

    def _ask(self) -> None:
        self._poll(self)
        self._polled = time.monotonic()
