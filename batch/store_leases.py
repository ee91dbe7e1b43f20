"""Leases on rows whose results go to an object store, which has to know a conditional put.

A row's leases are files with numbers. Whoever creates the next one, which a store lets one of
many do, holds the row; a lease counts as long as it is the highest and was written anew within a
minute by the store's own clock.
"""

from __future__ import annotations

import contextlib
import hashlib

from ..errors import EncodeError
from .files import STATE
from .leases import STALE_SECONDS, Lease
from .stores import Facts, Store

LEASES = f"{STATE}/leases"
BEAT_SECONDS = 15.0


class StoreLease(Lease):
    """One row's lease. token: its owner's."""

    def __init__(self, store: Store, name: str, token: str) -> None:
        self._store, self._name, self._token = store, name, token
        self.is_lost = False

    @property
    def beat_seconds(self) -> float:
        return BEAT_SECONDS

    def is_ours(self) -> bool:
        folder = self._name.rpartition("/")[0]
        is_last = max(self._store.listed(folder), default="") == self._name
        return is_last and self._store.read(self._name) == self._token.encode()

    def goes_on(self) -> bool:
        """Write it anew if it is ours; where the store does not answer, the commit asks again."""
        with contextlib.suppress(EncodeError):
            if not self.is_ours():
                return False
            self._store.write(self._name, self._token.encode())
        return True

    def release(self) -> None:
        with contextlib.suppress(EncodeError):
            if self.is_ours():
                self._store.remove(self._name)


def folder_of(output: str) -> str:
    return f"{LEASES}/{hashlib.sha256(output.encode()).hexdigest()[:32]}"


def take(store: Store, output: str, token: str) -> StoreLease | None:
    """Take a row's lease, None where another's is good. Raises EncodeError."""
    found = store.listed(folder_of(output))
    last = max(found, default="")
    if last and not is_stale(store, found[last]):
        return None
    number = int(last.rpartition("/")[2] or 0) + 1
    name = f"{folder_of(output)}/{number:08}"
    if not store.create(name, token.encode()):
        return None
    for older in found:
        store.remove(older)
    return StoreLease(store, name, token)


def is_stale(store: Store, facts: Facts) -> bool:
    return store.now() - facts.modified > STALE_SECONDS


def sweep(store: Store) -> None:
    """Remove leases that nobody holds any more."""
    for name, facts in store.listed(LEASES).items():
        if is_stale(store, facts):
            store.remove(name)
