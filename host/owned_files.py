"""Temporary files and folders whose owner is known to live, so that what killed ones left can go.

An owner holds a lock, which the system takes back however the process ends. Systems without such
locks keep what is left until their own clean-up.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path

logger = logging.getLogger("avatarvideo.host.owned_files")

MARKER = "owner"  # the locked file in a folder
TEMPORARY_PREFIX = "avatarvideo-"
_UNCLAIMED = ".new"
CLAIM_SECONDS = 60.0  # whoever has not claimed a file by then was killed

if sys.platform == "win32":

    def _lock(descriptor: int) -> bool:
        return False
else:
    import fcntl

    def _lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # somebody's, or a file system without locks
            return False
        return True


def claim(path: Path) -> int:
    """Create a file that is ours until the returned descriptor is closed. Raises OSError."""
    # Nobody looks at a file of another name before it is locked.
    unclaimed = path.with_name(path.name + _UNCLAIMED)
    descriptor = os.open(unclaimed, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        _lock(descriptor)
        unclaimed.replace(path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def is_claimed(path: Path) -> bool:
    """Say whether the owner of a claimed file lives, or may where nobody can tell."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        return not _lock(descriptor)
    finally:
        os.close(descriptor)


def sweep(folder: Path, pattern: str) -> None:
    """Remove the files and folders of a pattern whose owners are gone."""
    for path in folder.glob(pattern):
        with contextlib.suppress(OSError):
            descriptor = os.open(path / MARKER if path.is_dir() else path, os.O_RDWR)
            try:
                if not _lock(descriptor):
                    continue
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
                logger.info("removed %s, left by a killed process", path)
            finally:
                os.close(descriptor)
    for path in (
        *folder.glob(pattern + _UNCLAIMED),
        *folder.glob(f"{pattern}/{MARKER}{_UNCLAIMED}"),
    ):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > CLAIM_SECONDS:
                path.unlink()
                if path.name == MARKER + _UNCLAIMED:
                    path.parent.rmdir()  # nothing was put into it before it was claimed


@contextlib.contextmanager
def temporary_folder() -> Generator[Path]:
    """Give a folder for the time of the block; those of killed processes go."""
    sweep(Path(tempfile.gettempdir()), f"{TEMPORARY_PREFIX}*")
    with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, ignore_cleanup_errors=True) as name:
        descriptor = claim(Path(name) / MARKER)
        try:
            yield Path(name)
        finally:
            os.close(descriptor)
