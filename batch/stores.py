"""Object stores by fsspec: what of a store is asked, and which of its errors are told and how.

Credentials come from the environment. Nothing of an address is told but its place and path, and
nothing of a library's own errors but their kind: they may hold more.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import secrets
import time
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import EncodeError, MissingLibraryError
from .addresses import STORES, Address
from .files import STATE

AT_ONCE = 16  # requests
CREATE_TRIES = 3  # of a file that others create too: stores may answer that they cannot tell
_TAGS = ("VersionId", "version_id", "generation", "ETag", "etag")
_TIMES = ("LastModified", "mtime", "updated", "last_modified", "created")


class Facts(NamedTuple):
    """What a store says of a file. tag: of its version. modified: seconds, by the store's clock."""

    size: int
    tag: str
    modified: float


class Store:
    """The files below an address, by names relative to it. Everything raises EncodeError."""

    def __init__(self, place: Address) -> None:
        self.shown = place.shown.rstrip("/")
        self._root = place.text.rstrip("/")
        self._files = filesystem(place, "write to")
        self._clock: tuple[float, float] | None = None  # the store's and ours, at one moment

    def put(self, name: str, file: Path) -> Facts:
        """Send a file, which appears whole, and return what is there then."""
        with self._telling("write", name):
            self._files.put_file(str(file), self._path(name))
            return facts_of(self._files.info(self._path(name)))

    def write(self, name: str, data: bytes) -> None:
        with self._telling("write", name):
            self._files.pipe_file(self._path(name), data)

    def create(self, name: str, data: bytes) -> bool:
        """Write a file if there is none, which one of many can; say whether it is ours.

        data: unlike what anybody else writes there.
        """
        for _ in range(CREATE_TRIES - 1):
            with contextlib.suppress(EncodeError):
                return self._create(name, data)
        return self._create(name, data)

    def _create(self, name: str, data: bytes) -> bool:
        with self._telling("write", name):
            try:
                self._files.pipe_file(self._path(name), data, mode="create")
            except Exception:
                # Each library has its own error for a file that is there; and where an answer was
                # lost and the request repeated, it is our own.
                if (found := self.read(name)) is None:
                    raise
                return found == data
        return True

    def creates_once(self) -> bool:
        """Say whether the store keeps to ``create``; some write over what is there."""
        name = f"{STATE}/{secrets.token_hex(8)}"
        try:
            return self._create(name, b"1") and not self._create(name, b"2")
        finally:
            with contextlib.suppress(EncodeError):  # of a store that was not written to either
                self.remove(name)

    def read(self, name: str) -> bytes | None:
        """Return what a file holds, None where there is none."""
        with self._telling("read", name):
            try:
                return self._files.cat_file(self._path(name))
            except FileNotFoundError:
                return None

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        """Return what many files hold, of those that are there."""
        wanted = list(names)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = dict(zip(wanted, pool.map(self.read, wanted), strict=True))
        return {name: data for name, data in found.items() if data is not None}

    def facts(self, name: str) -> Facts | None:
        """Return what is said of a file, None where there is none."""
        with self._telling("read", name):
            try:
                found = self._files.info(self._path(name))
            except FileNotFoundError:
                return None
            return facts_of(found) if found.get("type") == "file" else None

    def listed(self, folder: str = "") -> dict[str, Facts]:
        """Return what is said of all files below a folder, by their names."""
        path = self._path(folder).rstrip("/")
        with self._telling("list", folder):
            try:
                found = self._files.find(path, detail=True)
            except FileNotFoundError:
                return {}
            before = len(self._files._strip_protocol(self._root)) + 1
            return {name[before:]: facts_of(info) for name, info in found.items()}

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""
        with self._telling("remove", name), contextlib.suppress(FileNotFoundError):
            self._files.rm_file(self._path(name))

    def now(self) -> float:
        """Return the time by the store's clock, seconds."""
        if self._clock is None:
            name = f"{STATE}/{secrets.token_hex(8)}"
            self.write(name, b"")
            facts = self.facts(name)
            self._clock = (facts.modified if facts else time.time()), time.monotonic()
            self.remove(name)
        theirs, ours = self._clock
        return theirs + time.monotonic() - ours

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    @contextlib.contextmanager
    def _telling(self, what: str, name: str) -> Generator[None]:
        try:
            yield
        except EncodeError:
            raise
        except Exception as error:  # noqa: BLE001 - each store's library has its own
            place = f"{self.shown}/{name}".rstrip("/")
            raise EncodeError(f"Cannot {what} {place}: {reason(error)}.") from None


def filesystem(address: Address, purpose: str) -> Any:  # fsspec has no types
    """Return the library's view of an address's store. Raises MissingLibraryError."""
    library = STORES.get(address.scheme, "fsspec")
    # What it logs, with tracebacks, Python would write to stderr; the error itself is told.
    if not (log := logging.getLogger(library)).handlers:
        log.addHandler(logging.NullHandler())
    try:
        fsspec = importlib.import_module("fsspec")
        return fsspec.filesystem(address.scheme, use_listings_cache=False)
    except ImportError as error:
        raise MissingLibraryError(
            f"Expected the library {library} to {purpose} {address.scheme}://, but it is not "
            f"installed: pip install {library} (the extra remote)."
        ) from error


def tag_of(info: dict[str, Any]) -> str:  # Any: as the library gives it
    """Return the tag of a file's version, empty where the store has none."""
    return next((str(info[name]) for name in _TAGS if info.get(name)), "")


def facts_of(info: dict[str, Any]) -> Facts:  # Any: as the library gives it
    found = next((info[name] for name in _TIMES if info.get(name)), 0.0)
    if isinstance(found, str):
        found = datetime.fromisoformat(found.replace("Z", "+00:00"))
    seconds = found.timestamp() if isinstance(found, datetime) else float(found)
    return Facts(int(info.get("size") or 0), tag_of(info), seconds)


def reason(error: Exception) -> str:
    """Return why a store could not be used, without the library's own text."""
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, PermissionError):
        return "that is not permitted"
    return type(error).__name__
