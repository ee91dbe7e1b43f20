"""Read the tensors of a training checkpoint without running anything the file asks for.

PyTorch's own ``weights_only`` refuses files that name classes it does not know. Here each of them
becomes an object that does nothing, so the tensors beside it can still be read. Both layouts of
``torch.save`` are read: the zip archive (mapped, not copied) and the older row of pickles.
"""

from __future__ import annotations

import io
import mmap
import pickle
import struct
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

ZIP_MAGIC = b"PK\x03\x04"
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
MAX_PICKLE_BYTES = 64 << 20  # the structure alone; the tensors lie beside it
_LOCAL_HEADER_BYTES = 30  # of a zip entry, before its name and extra field

DTYPES = {
    "BFloat16Storage": torch.bfloat16,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
    "CharStorage": torch.int8,
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
    "ShortStorage": torch.int16,
}

# What one file can raise when it is damaged or made to harm; anything else is our own bug.
DAMAGE = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


class Inert:
    """Stands for anything unknown: takes every argument, item and state, and does nothing."""

    def __init__(self, *_arguments: object, **_named: object) -> None:
        pass

    def __call__(self, *_arguments: object, **_named: object) -> Inert:
        return self

    def _ignore(self, *_arguments: object) -> None:
        pass

    __setstate__ = __setitem__ = append = extend = add = _ignore


def read_pickle(path: Path) -> object:
    """Return what ``torch.save`` wrote, with ``Inert`` in the place of every unknown object.

    Nothing named by the file is imported or called. Raises one of ``DAMAGE``.
    """
    with path.open("rb") as file:
        if file.read(len(ZIP_MAGIC)) == ZIP_MAGIC:
            return _read_zip(file)
        file.seek(0)
        return _read_legacy(file)


class _Unpickler(pickle.Unpickler):
    """Knows how tensors are put together; every other name is ``Inert``."""

    def __init__(self, file: io.BufferedIOBase, storage: Callable[..., Tensor]) -> None:
        super().__init__(file, encoding="utf-8")
        self._storage = storage

    def find_class(self, module_name: str, global_name: str, /) -> Any:  # Any: as in pickle
        if module_name in ("torch", "torch.storage") and global_name in DTYPES:
            return DTYPES[global_name]
        return _KNOWN.get((module_name, global_name), Inert)

    def persistent_load(self, pid: Any) -> Tensor:  # Any: as in pickle
        if pid[0] != "storage" or not isinstance(pid[1], torch.dtype):
            raise pickle.UnpicklingError("it holds something other than tensors")
        return self._storage(*pid[1:])


def _rebuild_tensor(
    storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_unused: object
) -> Tensor:
    # as_strided checks the bounds; set_, which torch uses here, would grow the storage instead.
    return storage.as_strided(size, stride, offset)


def _rebuild_parameter(tensor: Tensor, *_unused: object) -> Tensor:
    return tensor


_KNOWN: dict[tuple[str, str], object] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "Size"): tuple,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _rebuild_parameter,
}


def _read_zip(file: io.BufferedIOBase) -> object:
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        name = next((name for name in entries if name.endswith("/data.pkl")), "")
        folder = name.removesuffix("data.pkl")
        if not name or f"{folder}constants.pkl" in entries:
            raise pickle.UnpicklingError("it is an archive, but not of a state dict")
        if entries[name].file_size > MAX_PICKLE_BYTES:
            raise pickle.UnpicklingError("the structure of its contents is too large")
        byte_order = f"{folder}byteorder"
        if byte_order in entries and archive.read(byte_order) != b"little":
            raise pickle.UnpicklingError("it was written by a big-endian machine")
        structure = archive.read(name)
    # A private map: pages are read when a tensor is used, and writing to one changes no file.
    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    storages: dict[str, Tensor] = {}

    def storage(dtype: torch.dtype, key: str, _location: str, count: int, *_: object) -> Tensor:
        if key not in storages:
            entry = entries[f"{folder}data/{key}"]
            is_plain = entry.compress_type == zipfile.ZIP_STORED
            if not is_plain or entry.file_size != count * dtype.itemsize:
                raise pickle.UnpicklingError(f"its tensor data {key} has an unexpected size")
            storages[key] = _mapped_tensor(mapped, entry, dtype, count)
        return storages[key]

    return _Unpickler(io.BytesIO(structure), storage).load()


def _mapped_tensor(
    mapped: mmap.mmap, entry: zipfile.ZipInfo, dtype: torch.dtype, count: int
) -> Tensor:
    if not count:
        return torch.empty(0, dtype=dtype)
    # The lengths in the local header may differ from those in the directory at the end.
    lengths = struct.unpack_from("<HH", mapped, entry.header_offset + 26)
    offset = entry.header_offset + _LOCAL_HEADER_BYTES + sum(lengths)
    tensor = torch.frombuffer(mapped, dtype=dtype, count=count, offset=offset)
    return tensor.clone() if offset % dtype.itemsize else tensor


def _read_legacy(file: io.BufferedIOBase) -> object:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    promised = 0
    storages: dict[str, Tensor] = {}

    def storage(
        dtype: torch.dtype,
        key: str,
        _location: str,
        count: int,
        view: tuple[str, int, int] | None = None,  # its key, offset and length
    ) -> Tensor:
        nonlocal promised
        if key not in storages:
            promised += count * dtype.itemsize
            if count < 0 or promised > size:
                raise pickle.UnpicklingError("it claims more tensor data than it holds")
            storages[key] = torch.empty(count, dtype=dtype)
        return storages[key] if view is None else storages[key].narrow(0, *view[1:])

    def load() -> Any:  # Any: whatever the file holds
        return _Unpickler(file, storage).load()

    if load() != LEGACY_MAGIC or load() != LEGACY_PROTOCOL:
        raise pickle.UnpicklingError("it was not written by torch.save")
    if not load().get("little_endian", True):
        raise pickle.UnpicklingError("it was written by a big-endian machine")
    saved = load()
    _fill(file, storages, load())
    return saved


def _fill(file: io.BufferedIOBase, storages: Mapping[str, Tensor], keys: Iterable[str]) -> None:
    for key in keys:
        (count,) = struct.unpack("<q", file.read(8))
        target = storages[key]
        if count != target.numel():
            raise pickle.UnpicklingError(f"its tensor data {key} has an unexpected size")
        buffer = target.view(torch.uint8).numpy().data
        if file.readinto(buffer) != len(buffer):
            raise EOFError("it ends too early")
