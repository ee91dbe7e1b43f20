"""Inputs that lie on object stores or web servers: known by their versions, fetched when needed.

Stores are read by fsspec and its libraries (the extra ``remote``), which take their credentials
from the environment. Nothing of an address is told but its place and path.
"""

from __future__ import annotations

import hashlib
import queue
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from ..errors import AvatarVideoError, MediaError, MissingLibraryError
from ..headless.bounds import cancellable
from ..texts import one_line
from . import web
from .addresses import WEB, Address, address_in
from .rows import Stamp
from .stores import filesystem, reason, tag_of

MOST_BYTES = 8 << 30  # of one input
BLOCK = 4 << 20
LOOK_SECONDS = 60.0  # for which a look at an address holds
LOOKS = 16  # at the same time
KEPT = 4  # files that a worker keeps for its next jobs
CHECK_SECONDS = 0.05
AS_FETCHED = "sha256:"  # a tag of ours, where the place has none


class InputChangedError(AvatarVideoError):
    """An input that is no longer what its stamp says."""


class Remote:
    """What is known of addresses. check: called while something is read; may raise.

    folder: where a file without a version is fetched to be hashed.
    """

    def __init__(self, folder: Path, check: Callable[[], None] = lambda: None) -> None:
        self._folder = folder
        self._check = check
        self._known: dict[str, tuple[float, Stamp | MediaError]] = {}

    def stamp(self, text: str) -> Stamp:
        """Return by what a file is known now, or was a minute ago. Raises MediaError."""
        when, found = self._known.get(text, (0.0, None))
        if found is None or time.monotonic() - when > LOOK_SECONDS:
            found = self._look_at([text])[text]
        if isinstance(found, MediaError):
            raise found
        return found

    def look_up(self, texts: Iterable[str]) -> dict[str, MediaError]:
        """Look at many addresses at once, and return what is wrong with some of them."""
        found = self._look_at(list(dict.fromkeys(texts)))
        return {text: one for text, one in found.items() if isinstance(one, MediaError)}

    def _look_at(self, texts: Sequence[str]) -> dict[str, Stamp | MediaError]:
        """Look at addresses, each once, and keep what is found.

        Raises what the check raises, at once.
        """
        waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
        looked: queue.SimpleQueue[tuple[str, Stamp | Exception]] = queue.SimpleQueue()
        is_over = threading.Event()

        def look() -> None:
            with suppress(queue.Empty):
                while not is_over.is_set():
                    text = waiting.get_nowait()
                    try:
                        looked.put((text, self._looked(text)))
                    except Exception as error:  # noqa: BLE001 - raised again by the caller
                        looked.put((text, error))

        for text in texts:
            waiting.put(text)
        for _ in range(min(LOOKS, len(texts))):
            # Not of a pool: nobody waits for a server that is silent when all is to end.
            threading.Thread(target=look, name="avatarvideo-look", daemon=True).start()
        found: dict[str, Stamp | MediaError] = {}
        try:
            while len(found) < len(texts):
                self._check()
                with suppress(queue.Empty):
                    text, one = looked.get(timeout=CHECK_SECONDS)
                    if not isinstance(one, (Stamp, MediaError)):
                        raise one
                    found[text] = one
        finally:
            is_over.set()
        now = time.monotonic()
        self._known |= {text: (now, one) for text, one in found.items()}
        return found

    def forget(self, text: str) -> None:
        self._known.pop(text, None)

    def _looked(self, text: str) -> Stamp | MediaError:
        try:
            size, tag = _look(_address(text))
            if tag:
                return Stamp(text, size or 0, 0, 0, tag)
            target = self._folder / hashlib.sha256(text.encode()).hexdigest()
            try:
                return fetch(Stamp(text, 0, 0, 0), target, self._check)
            finally:
                target.unlink(missing_ok=True)
        except MediaError as error:
            return error


class Fetched:
    """The inputs of a worker's jobs as files of its own; those of the last jobs are kept."""

    def __init__(self, folder: Path, check: Callable[[], None]) -> None:
        self._folder = folder
        self._check = check
        self._kept: OrderedDict[Stamp, Path] = OrderedDict()

    def file(self, path: str, stamps: Iterable[Stamp]) -> str:
        """Return the path of an input, fetched where it lies elsewhere.

        stamps: of the job, which say what it has to be. Raises MediaError and InputChangedError.
        """
        stamp = next((stamp for stamp in stamps if stamp.path == path and stamp.tag), None)
        if stamp is None:
            return path
        if stamp not in self._kept:
            name = hashlib.sha256(f"{stamp.path} {stamp.tag}".encode()).hexdigest()[:32]
            self._folder.mkdir(parents=True, exist_ok=True)
            target = self._folder / (name + _suffix(path))
            cancellable(lambda: fetch(stamp, target, self._check), self._check)
            self._kept[stamp] = target
        self._kept.move_to_end(stamp)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)[1].unlink(missing_ok=True)
        return str(self._kept[stamp])


def fetch(stamp: Stamp, target: Path, check: Callable[[], None]) -> Stamp:
    """Fetch what a stamp names, whole or not at all. Raises MediaError, and InputChangedError.

    Returns the stamp of what was fetched, by its contents where the given one has no tag.
    """
    address = _address(stamp.path)
    digest, size, tag = hashlib.sha256(), 0, ""
    partial = target.with_name(f"{target.name}.{secrets.token_hex(4)}")  # a former one may go on
    try:
        with partial.open("wb") as file, closing(_blocks(address)) as blocks:
            for block, tag in blocks:  # noqa: B007 - of the last block
                check()
                size += len(block)
                if size > MOST_BYTES:
                    raise _unreadable(address, f"it is larger than {MOST_BYTES >> 30} GiB")
                digest.update(block)
                file.write(block)
        found = AS_FETCHED + digest.hexdigest()
        if stamp.tag and stamp.tag not in (tag, found):
            raise InputChangedError(f"{address.shown} changed while the job was using it.")
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return stamp if stamp.tag else Stamp(stamp.path, size, 0, 0, found)


def _address(text: str) -> Address:
    found = address_in(text)
    if found is None:
        raise MediaError(f"Expected an address, got the path {text[:100]!r}.")
    return found


@contextmanager
def _reading(address: Address) -> Generator[None]:
    """Say of whatever goes wrong which address could not be read, and why."""
    try:
        yield
    except (MissingLibraryError, InputChangedError):
        raise
    except MediaError as error:
        raise _unreadable(address, str(error)) from None
    except Exception as error:  # noqa: BLE001 - each store's library has its own
        raise _unreadable(address, reason(error)) from None


def _look(address: Address) -> tuple[int | None, str]:
    with _reading(address):
        if address.scheme in WEB:
            size, tag = web.look(address)
        else:
            size, tag = _of_store(filesystem(address, "read").info(address.text))
    if size is not None and size > MOST_BYTES:
        raise _unreadable(address, f"it is larger than {MOST_BYTES >> 30} GiB")
    return size, tag


def _of_store(info: dict[str, Any]) -> tuple[int | None, str]:  # Any: as the library gives it
    if info.get("type") != "file":
        raise MediaError("it is a folder")
    return info.get("size"), tag_of(info)


def _blocks(address: Address) -> Generator[tuple[bytes, str]]:
    with _reading(address):
        if address.scheme in WEB:
            yield from web.read(address)
            return
        store = filesystem(address, "read")
        tag = _of_store(store.info(address.text))[1]
        with store.open(address.text, "rb", block_size=BLOCK) as file:
            while block := file.read(BLOCK):
                yield block, tag
        if _of_store(store.info(address.text))[1] != tag:
            raise InputChangedError(f"{address.shown} changed while it was fetched.")
        yield b"", tag


def _unreadable(address: Address, why: str) -> MediaError:
    return MediaError(f"Cannot read {address.shown}: {one_line(why)}.")


def _suffix(text: str) -> str:
    suffix = PurePosixPath(urlsplit(text).path).suffix
    return suffix if suffix[1:].isalnum() and len(suffix) <= 8 else ""
