"""A lock file shared by processes; the system releases the lock when its holder dies."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path

log = logging.getLogger("avatarvideo.musetalk.weights.file_lock")

POLL_SECONDS = 0.05
_HELD = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK)  # each system has its own
_LOCKLESS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_ROUNDS = 100

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


@contextlib.contextmanager
def locked(
    path: Path,
    *,
    on_wait: Callable[[], None],
    check_cancelled: Callable[[], None],
    is_needed: bool = False,
) -> Generator[None, None, None]:
    """Hold a lock on the file ``path``, which is created and removed with the lock.

    on_wait: called once when another process holds it. check_cancelled: called every 50 ms until it
    is free; may raise to stop. Where the file system has no locks, logs that and continues without.
    is_needed: raise OSError where it has them, but the file cannot be made, as on a full disk.
    """
    descriptor = None
    try:
        descriptor = _acquire(path, on_wait, check_cancelled)
    except OSError as error:
        if is_needed and error.errno not in _LOCKLESS:
            raise
        log.warning(
            "Cannot lock %s (%s): continuing without a lock; do not let another command write to "
            "this folder.",
            path,
            error.strerror or error,
        )
    try:
        yield
    finally:
        if descriptor is not None:
            _release(path, descriptor)


def _acquire(path: Path, on_wait: Callable[[], None], check_cancelled: Callable[[], None]) -> int:
    has_reported = False
    for _ in range(_ROUNDS):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            while not _try_lock(descriptor, path):
                if not has_reported:
                    on_wait()
                    has_reported = True
                check_cancelled()
                time.sleep(POLL_SECONDS)
            if _is_file_of(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder removed the file: lock the new one
    raise OSError(errno.ENOLCK, "the file keeps changing")


def _try_lock(descriptor: int, path: Path) -> bool:
    try:
        _lock(descriptor)
    except OSError as error:
        if error.errno in _HELD:
            return False
        with contextlib.suppress(OSError):
            path.unlink()  # no process can hold it
        raise
    return True


def _is_file_of(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _release(path: Path, descriptor: int) -> None:
    # Removed while held, else it could be the next holder's; Windows removes no open file.
    with contextlib.suppress(OSError):
        path.unlink()
    with contextlib.suppress(OSError):
        _unlock(descriptor)
    os.close(descriptor)
    if sys.platform == "win32":
        with contextlib.suppress(OSError):  # open elsewhere: its next holder removes it
            path.unlink()
