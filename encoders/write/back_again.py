"""Pictures kept on disk, to be shown a second time from the last to the first."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ...errors import EncodeError


class BackAgain:
    """The pictures of an animation that plays forward, then backward, whatever their number.

    folder: where they lie, without a name, until ``close``.
    """

    def __init__(self, folder: Path) -> None:
        with _explained(folder):
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - ``close`` closes it
        self._folder = folder
        self._shape: tuple[int, ...] = ()
        self._ticks: list[int] = []

    def keep(self, picture: np.ndarray, tick: int) -> None:
        """Keep a picture, uint8 (H, W, C), all of one size, shown from that tick on."""
        self._shape = picture.shape
        with _explained(self._folder):
            self._file.write(np.ascontiguousarray(picture).data)
        self._ticks.append(tick)

    def backwards(self, end: int) -> Iterator[tuple[np.ndarray, int]]:
        """Yield the last picture but one to the second, with their ticks; forward ends at ``end``.

        The first and the last are shown once, so that the animation turns without a halt.
        """
        size = int(np.prod(self._shape))
        for number in range(len(self._ticks) - 2, 0, -1):
            with _explained(self._folder):
                self._file.seek(number * size)
                content = self._file.read(size)
            picture = np.frombuffer(content, np.uint8).reshape(self._shape)
            yield picture, end + self._ticks[-1] - self._ticks[number + 1]

    def close(self) -> None:
        self._file.close()


@contextmanager
def _explained(folder: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise EncodeError(
            f"Expected room in {folder} for the pictures of pingpong, got {error.strerror}: free "
            "some, or turn pingpong off."
        ) from error
