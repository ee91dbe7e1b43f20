"""Leases on rows: whose work counts, though a worker thought dead may still be at it.

A lease names its owner; the owner's claim on a file of its own says that it lives, and the lease's
time, renewed every few seconds, that it is not stuck.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from pathlib import Path

from ..encoders.write.output_names import not_writable
from ..host.owned_files import MARKER, claim, is_claimed
from .files import BatchFolder, write_text

BEAT_SECONDS = 5.0
STALE_SECONDS = 60.0  # without a beat: a process that was stopped, or a system without locks


class Owner:
    """Whoever holds leases: one worker, for as long as its process lives.

    work: its folder, for what is not finished; on the disk of the results.
    """

    def __init__(self, folder: BatchFolder) -> None:
        """Make its folder. Raises EncodeError."""
        self.token = secrets.token_hex(8)
        self.work = folder.work / self.token
        try:
            self.work.mkdir(parents=True)
            self._claim = claim(self.work / MARKER)
        except OSError as error:
            shutil.rmtree(self.work, ignore_errors=True)
            raise not_writable(folder.path, error) from error

    def close(self) -> None:
        os.close(self._claim)
        shutil.rmtree(self.work, ignore_errors=True)


class Lease(ABC):
    """One row's lease, which somebody holds. is_lost: it was found to be another's."""

    is_lost: bool

    @property
    @abstractmethod
    def beat_seconds(self) -> float: ...

    @abstractmethod
    def is_ours(self) -> bool: ...

    @abstractmethod
    def goes_on(self) -> bool:
        """Renew it, and return False where it is another's instead."""
        ...

    @abstractmethod
    def release(self) -> None:
        """Give it back, if it is ours. Raises nothing."""
        ...

    @contextlib.contextmanager
    def beating(self, on_lost: Callable[[], None]) -> Generator[None]:
        """Renew the lease while the block lasts. on_lost: called once if it is another's."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(self.beat_seconds):
                if not self.goes_on():
                    self.is_lost = True
                    on_lost()
                    return

        thread = threading.Thread(target=beat, name="avatarvideo-lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


class FileLease(Lease):
    """A lease in a folder, held by ``owner``."""

    def __init__(self, path: Path, owner: Owner) -> None:
        self._path = path
        self._owner = owner
        self.is_lost = False

    @property
    def beat_seconds(self) -> float:
        return BEAT_SECONDS

    def is_ours(self) -> bool:
        return _owner_of(self._path) == self._owner.token

    def goes_on(self) -> bool:
        if not self.is_ours():
            return False
        with contextlib.suppress(OSError):
            os.utime(self._path)
        return True

    def release(self) -> None:
        with contextlib.suppress(OSError):
            if self.is_ours():
                self._path.unlink()


def lease_path(folder: BatchFolder, output: str) -> Path:
    return folder.leases / hashlib.sha256(output.encode()).hexdigest()[:32]


def take(folder: BatchFolder, output: str, owner: Owner) -> Lease | None:
    """Take a row's lease, None where another's is good. Only within the ledger's lock."""
    path = lease_path(folder, output)
    if is_held(folder, path):
        return None
    write_text(path, owner.token, owner.work)
    return FileLease(path, owner)


def sweep_leases(folder: BatchFolder) -> None:
    """Remove leases that nobody holds any more. Only within the ledger's lock."""
    for path in folder.leases.iterdir():
        if not is_held(folder, path):
            path.unlink(missing_ok=True)


def is_held(folder: BatchFolder, path: Path) -> bool:
    """Say whether a lease's owner lives and goes on."""
    holder = _owner_of(path)
    if not holder or not is_claimed(folder.work / holder / MARKER):
        return False
    try:
        return abs(time.time() - path.stat().st_mtime) < STALE_SECONDS  # clocks are put back, too
    except FileNotFoundError:
        return False


def _owner_of(path: Path) -> str:
    """Return the token in a lease, empty where there is none."""
    try:
        token = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""
    return token if token.isalnum() else ""
