"""The newest frame of an encode, shown while it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from ..host.contract import Progress


class LivePicture:
    """Hands each frame's picture to the progress bar, which makes those that it shows.

    ``see`` takes what makes the picture of a frame, ``update`` the count of frames after it.
    """

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._make: Callable[[], np.ndarray] | None = None

    def see(self, make: Callable[[], np.ndarray]) -> None:
        self._make = make

    def update(self, done: int) -> None:
        make, self._make = self._make, None  # while an encoder finishes there is no new one
        self._bar.update(done, preview=make)
