"""One temporary file for everything of a run that grows with its length."""

from __future__ import annotations

import logging
import math
import os
import secrets
import shutil
import weakref
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ...errors import MediaError
from ...host.owned_files import claim, sweep

log = logging.getLogger("avatarvideo.musetalk.pipeline.spool")


class Spool:
    """A file of arrays: written by one thread, read by any number of readers once flushed.

    It is read, not mapped, so that its pages never count as this process's memory. The file is
    removed with the object, or when ``release`` was called and the last reader has closed it.
    """

    def __init__(self, folder: Path, *, expected_bytes: int = 0) -> None:
        """expected_bytes: raises MediaError where the disk has less room than that."""
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if expected_bytes > free:
            raise MediaError(
                f"Expected {expected_bytes / 1e6:.0f} MB of room for intermediate pictures in "
                f"{folder}, found {free / 1e6:.0f} MB: make room or shorten the speech."
            )
        sweep(folder, "musetalk_*.spool")
        self.path = folder / f"musetalk_{secrets.token_hex(8)}.spool"
        self._finalizer = weakref.finalize(self, _remove, self.path, claim(self.path))

    @contextmanager
    def writer(self) -> Generator[SpoolWriter, None, None]:
        """Append for a while; what was written before stays where it is."""
        try:
            with self.path.open("ab") as file:
                yield SpoolWriter(file)
        except OSError as error:
            raise MediaError(
                f"Expected to write intermediate pictures to {self.path}, but {error}: make room."
            ) from error

    @contextmanager
    def reader(self) -> Generator[SpoolReader, None, None]:
        """Read from a position of its own; what was flushed before can be read."""
        try:
            file = self.path.open("rb")
        except OSError as error:
            raise MediaError(
                f"Expected the generated faces in {self.path}, but {error}: run the lip-sync again."
            ) from error
        try:
            with file:
                yield SpoolReader(file)
        finally:
            if not self._finalizer.alive:  # released meanwhile: Windows kept the open file
                _remove(self.path, None)

    def release(self) -> None:
        self._finalizer()


class SpoolWriter:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def append(self, array: np.ndarray) -> int:
        """Return the place at which the array's bytes now lie."""
        place = self._file.tell()
        self._file.write(np.ascontiguousarray(array).data)
        return place

    def flush(self) -> None:
        """Let readers see what was appended."""
        self._file.flush()


class SpoolReader:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, place: int, shape: tuple[int, ...], dtype: type[np.generic]) -> np.ndarray:
        """Return a new array from a place. MediaError when the file was cut."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        self._file.seek(place)
        data = self._file.read(size)
        if len(data) < size:
            raise MediaError(
                "Expected more generated faces than the temporary file holds: it was cut while it "
                "was in use; run the lip-sync again."
            )
        return np.frombuffer(bytearray(data), dtype).reshape(shape)


def _remove(path: Path, descriptor: int | None) -> None:
    try:
        if descriptor is not None:
            os.close(descriptor)
        path.unlink(missing_ok=True)
    except OSError as error:  # a reader on Windows still has it open; the temp folder is emptied
        log.debug("%s stays for now: %s", path, error)
