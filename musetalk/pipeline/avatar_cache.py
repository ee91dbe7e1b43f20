"""The avatar cache: prepared avatars kept for the next run, in bounded memory and on disk.

Every entry is a few plain tensors under a hash of all they depend on, so a changed source, option
or network never meets an old entry. Files are safetensors: nothing in them can run.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import secrets
import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from safetensors import (
    SafetensorError,
    safe_open,  # pyright: ignore[reportUnknownVariableType]  # it has no types
)
from safetensors.torch import (
    load_file,  # pyright: ignore[reportUnknownVariableType]  # it takes os.PathLike without a type
    save_file,  # pyright: ignore[reportUnknownVariableType]  # the same
)
from torch import Tensor

log = logging.getLogger("avatarvideo.musetalk.pipeline.avatar_cache")

MEMORY_BYTES = 64 << 20  # a still, or about twenty seconds of a video avatar
HASH = "sha256"  # by this name a file states the hash of its tensors
STALE_SECONDS = 3600  # an entry is written within seconds
FORMAT = 1  # part of every key: raise it when the meaning of an entry changes

Entry = dict[str, Tensor]


def content_key(*parts: object) -> str:
    """Return a hash of everything an entry depends on; ``parts`` must have a telling ``repr``."""
    digest = hashlib.sha256(repr(FORMAT).encode())
    for part in parts:
        data = part if isinstance(part, bytes) else repr(part).encode()
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


class AvatarCache:
    """Entries by key, the least recently used evicted first; safe from several threads.

    directory: where entries are kept between processes too; None keeps them in memory only.
    """

    def __init__(self, directory: Path | None = None, *, memory_bytes: int = MEMORY_BYTES) -> None:
        if directory is not None and directory.exists() and not directory.is_dir():
            log.warning(
                "Expected a folder to keep avatars in, got the file %s: they are kept only in "
                "memory; give AVATAR_CACHE a folder.",
                directory,
            )
            directory = None
        self._directory = directory
        self._limit = memory_bytes
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def get(self, key: str) -> Entry | None:
        """Return the entry, or None where there is none that can be read."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key]
        return self._read(key)

    def put(self, key: str, entry: Entry, *, in_memory: bool = True) -> None:
        """Keep an entry. A full disk is only logged.

        in_memory: False where the entries of one avatar do not fit together: read in turn they
            would evict each other.
        """
        self._write(key, entry)
        size = _size(entry)
        if not in_memory or size > self._limit:
            return
        with self._lock:
            if key in self._entries:
                self._size -= _size(self._entries.pop(key))
            self._entries[key] = entry
            self._size += size
            while self._size > self._limit:
                self._size -= _size(self._entries.popitem(last=False)[1])

    def fits(self, size: int) -> bool:
        """Say whether entries of ``size`` bytes in all can be kept in memory together."""
        return size <= self._limit

    def _read(self, key: str) -> Entry | None:
        path = self._path(key)
        if path is None or not path.is_file():
            return None
        try:
            # Copied, because tensors mapped from a file go bad when somebody replaces it.
            entry = {name: tensor.clone() for name, tensor in load_file(path).items()}
            open_entry: Any = safe_open  # it has no types
            with open_entry(path, "pt") as file:
                metadata: dict[str, str] = file.metadata() or {}
        except (SafetensorError, OSError) as error:
            log.warning("%s cannot be read (%s): it is made again", path, error)
            return None
        if metadata.get(HASH) == _hash(key, entry):
            return entry
        log.warning("%s does not hold what was kept there: it is made again", path)
        return None

    def _write(self, key: str, entry: Entry) -> None:
        path = self._path(key)
        if path is None:
            return
        unfinished = path.with_name(f"{path.name}.{secrets.token_hex(6)}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove_stale(path.parent)
            whole = {name: tensor.contiguous() for name, tensor in entry.items()}
            save_file(whole, unfinished, metadata={HASH: _hash(key, whole)})
            unfinished.replace(path)
        except (SafetensorError, OSError) as error:
            log.warning("%s cannot be written (%s): it is made again next time", path, error)
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)

    def _path(self, key: str) -> Path | None:
        return self._directory / f"{key}.safetensors" if self._directory else None


def _remove_stale(folder: Path) -> None:
    """Remove what killed processes did not finish."""
    for part in folder.glob("*.safetensors.*.part"):
        with contextlib.suppress(OSError):
            if time.time() - part.stat().st_mtime > STALE_SECONDS:
                part.unlink()


def _hash(key: str, entry: Entry) -> str:
    """Return a hash of an entry's bytes and of the key they were made for."""
    digest = hashlib.sha256(key.encode())
    for name, tensor in sorted(entry.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _size(entry: Entry) -> int:
    return sum(tensor.numel() * tensor.itemsize for tensor in entry.values())
