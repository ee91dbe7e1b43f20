"""A job's key: the hash of its inputs' contents, its options and the version that makes it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from .. import __version__
from ..encoders.read.file_clip import file_hash
from ..errors import MediaError
from ..json_values import is_list, is_object, parse_json
from .addresses import address_in
from .files import write_text
from .model_files import ModelFiles
from .remote import AS_FETCHED, Remote
from .rows import Stamp, Task

STEADY_SECONDS = 2.0  # a file written later could change again under the same time
SAVE_SECONDS = 10.0


def stamp_of(path: str) -> Stamp:
    """Return what a file is known by. Raises MediaError where it is gone."""
    try:
        found = os.stat(path)  # noqa: PTH116 - of tens of thousands, and faster
    except OSError as error:
        raise MediaError(f"Cannot read {path!r}: {error.strerror}.") from error
    return Stamp(path, found.st_size, found.st_mtime_ns, found.st_ino)


class Hashes:
    """Digests of files, kept between starts as long as their stamps stay the same.

    path: where they are kept. via: as of ``write_text``. check: called while a long file is read.
    remote: answers for addresses. models: the model files that jobs use; None for none.
    """

    def __init__(
        self,
        path: Path,
        via: Path,
        check: Callable[[], None] = lambda: None,
        remote: Remote | None = None,
        models: ModelFiles | None = None,
    ) -> None:
        self._path, self._via = path, via
        self._models = models
        self._remote = remote or Remote(via, check)
        self._check = check
        self._known: dict[str, tuple[Stamp, str]] = {}
        self._saved, self._changed = time.monotonic(), False
        with contextlib.suppress(OSError, ValueError, TypeError):
            self._load(parse_json(path.read_bytes()))

    def _load(self, kept: object) -> None:
        for path, values in kept.items() if is_object(kept) else ():
            if is_list(values) and len(values) == 4:
                size, mtime_ns, inode, digest = values  # of files here only
                self._known[path] = Stamp(path, size, mtime_ns, inode), str(digest)

    def stamp(self, path: str) -> Stamp:
        """Return by what a file is known, here or elsewhere. Raises MediaError."""
        return stamp_of(path) if address_in(path) is None else self._remote.stamp(path)

    def forget(self, path: str) -> None:
        """Look anew at an address the next time."""
        self._remote.forget(path)

    def of(self, stamp: Stamp) -> str:
        """Return a file's digest, or what stands for it. Raises MediaError."""
        if stamp.tag:
            address = address_in(stamp.path)
            if address is None or stamp.tag.startswith(AS_FETCHED):
                return stamp.tag
            return f"{address.shown} {stamp.tag}"
        known = self._known.get(stamp.path)
        if known is not None and known[0] == stamp:
            return known[1]
        try:
            digest = file_hash(Path(stamp.path), check=self._check)
        except OSError as error:
            raise MediaError(f"Cannot read {stamp.path!r}: {error.strerror}.") from error
        if time.time() - stamp.mtime_ns / 1e9 > STEADY_SECONDS:
            self._known[stamp.path] = stamp, digest
            self._changed = True
        return digest

    def of_models(self, task: Task) -> Mapping[str, str]:
        """Return the digests of the model files that a task would use. Raises MediaError."""
        if self._models is None:
            return {}
        return self._models.digests(task, lambda path: self.of(stamp_of(path)))

    def save(self, *, now: bool = False) -> None:
        """Keep what is known, once in a while or now; without it files are only read again."""
        if self._changed and (now or time.monotonic() - self._saved > SAVE_SECONDS):
            kept = {path: [*stamp[1:4], digest] for path, (stamp, digest) in self._known.items()}
            with contextlib.suppress(OSError):
                write_text(self._path, json.dumps(kept), self._via)
            self._saved, self._changed = time.monotonic(), False


def key_of(task: Task, hashes: Hashes) -> tuple[str, tuple[Stamp, ...]]:
    """Return a task's key and the stamps of what was hashed. Raises MediaError."""
    stamps = tuple(map(hashes.stamp, task.inputs))
    parts = {
        "version": __version__,
        "output": task.output,
        "inputs": [hashes.of(stamp) for stamp in stamps],
        "options": task.options,
        "settings": task.settings,
        "threads": task.threads,
        "limits": task.limits,
        "models": hashes.of_models(task),
    }
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest(), stamps


def changed_inputs(stamps: tuple[Stamp, ...]) -> str:
    """Return a sentence where an input here is no longer what was hashed, else nothing."""
    for stamp in stamps:
        if stamp.tag:
            continue  # what was fetched is a copy of that version
        try:
            found = stamp_of(stamp.path)
        except MediaError as error:
            return str(error)
        if found != stamp:
            return f"{Path(stamp.path).name!r} changed while the job was using it."
    return ""
