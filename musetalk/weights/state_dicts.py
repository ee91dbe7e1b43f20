"""Open checkpoint files of every published format and fill a network with them, strictly."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError
from safetensors.torch import (
    load_file,  # pyright: ignore[reportUnknownVariableType]  # it takes os.PathLike without a type
)
from torch import Tensor, nn

from ...errors import CheckpointError
from .catalogue import looks_like
from .download_command import download_command
from .safe_pickle import DAMAGE, ZIP_MAGIC, read_pickle

REPLACE_ADVICE = f"replace it, or run `{download_command()}` to get it again"
HEAD_BYTES = 512  # of a file, which say what it is
TAR_MAGIC_AT = 257
NAMED_KEYS = 3  # of each kind of mismatch, so that the message stays one readable sentence

# Training checkpoints hold the weights beside other things, under one of these names.
_WRAPPERS = ("state_dict", "model_state_dict")
# A counter of training steps that inference never reads; old files and converted ones lack it.
_STEP_COUNTER = ".num_batches_tracked"
# That, and heads of the face parser that only its training used.
_SUPERFLUOUS = re.compile(r"conv_out(16|32)\.|.*\.num_batches_tracked$")


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Return the file's tensors on the CPU under the keys they were published with.

    Formats: safetensors and ``torch.save``'s zip archive (both mapped: pages are read when
    used), ``torch.save``'s older row of pickles. The content decides, not the file's name.
    Pickles never run anything. CheckpointError, one sentence, for every other content.
    """
    with _naming_damage(path, REPLACE_ADVICE):
        return _tensors_of(_saved(path, REPLACE_ADVICE))


def read_saved(path: Path, *, advice: str) -> Mapping[str, object]:
    """Return what a file holds under its own keys: tensors, or mappings of them; likewise safe.

    advice: what to do about a file that cannot be read, part of the CheckpointError's sentence.
    """
    with _naming_damage(path, advice):
        saved = _saved(path, advice)
        if not isinstance(saved, Mapping):
            raise ValueError("it holds no state dict")
        state = cast("Mapping[object, object]", saved)  # isinstance does not tell what it holds
        return {str(key): value for key, value in state.items()}


def _saved(path: Path, advice: str) -> object:
    kind = _kind(path)
    if kind == "safetensors":
        return load_file(path)
    if kind == "pickle":
        return _unpickled(path)
    raise _unreadable(path, kind, advice)


@contextmanager
def _naming_damage(path: Path, advice: str) -> Generator[None, None, None]:
    try:
        yield
    except (SafetensorError, *DAMAGE) as error:
        reason = str(error).split(". ")[0].rstrip(".").replace("\n", " ") or type(error).__name__
        raise _unreadable(path, f"a damaged file ({reason[:160]})", advice) from error


def load_into(
    module: nn.Module,
    state: Mapping[str, Tensor],
    *,
    source: Path,
    dtype: torch.dtype | None = None,
    between_tensors: Callable[[], None] | None = None,
) -> None:
    """Fill a module built on the meta device with ``state``, by assignment, for inference.

    state: keys of the module; counters of training steps may be absent or superfluous, and so
        may the face parser's training heads.
    source: the file, for messages.
    dtype: of the floating weights; None keeps the file's.
    between_tensors: called while they are converted, if given; it may raise to stop.
    Raises CheckpointError naming the file and the first keys that do not fit.
    """
    wanted = module.state_dict()
    fitted = {
        key: tensor for key, tensor in state.items() if key in wanted or not _SUPERFLUOUS.match(key)
    }
    for key in wanted:
        if key.endswith(_STEP_COUNTER) and key not in fitted:
            fitted[key] = torch.zeros((), dtype=torch.int64)
    if problem := _mismatch(wanted, fitted):
        guess = looks_like(state)
        seems = f"; it seems to hold {guess[1]}" if guess else ""
        raise CheckpointError(
            f"Expected the weights of {type(module).__name__} in {source}, found {problem}{seems}: "
            f"{REPLACE_ADVICE}."
        )
    if dtype is not None:
        for key, tensor in fitted.items():
            if between_tensors:
                between_tensors()
            fitted[key] = tensor.to(dtype) if tensor.is_floating_point() else tensor
    module.load_state_dict(fitted, strict=True, assign=True)
    module.eval().requires_grad_(False)
    left = [name for name, buffer in module.named_buffers() if buffer.is_meta]
    assert not left, f"buffers that no file fills: {left}"


def _kind(path: Path) -> str:
    """Return "safetensors", "pickle", or in words what else the file is."""
    if path.is_dir():
        return "a folder"
    if not path.is_file():
        return "no file"
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        return "an empty file"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < size:
        return "safetensors"
    if head.startswith((ZIP_MAGIC, b"\x80")):
        return "pickle"
    if head.startswith(b"version https://git-lfs"):
        return "only a Git LFS pointer to the file"
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page"
    if head[TAR_MAGIC_AT:].startswith(b"ustar"):
        # PyTorch's oldest format: unpacking it is not safe, and no file we need is in it.
        return "a tar archive"
    if not any(head):
        return "zeros where it should begin, as a broken download leaves them"
    return "something that is not a checkpoint"


def _unpickled(path: Path) -> object:
    with path.open("rb") as file:
        is_zip = file.read(len(ZIP_MAGIC)) == ZIP_MAGIC
    try:
        with warnings.catch_warnings():  # of another protocol than the one that PyTorch writes
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError:
        # It names classes that PyTorch does not know, as training checkpoints do.
        return read_pickle(path)


def _tensors_of(saved: object) -> dict[str, Tensor]:
    if not isinstance(saved, Mapping):
        raise ValueError("it holds no state dict")
    state = cast("Mapping[object, object]", saved)  # isinstance does not tell what it holds
    for name in _WRAPPERS:
        if isinstance(inner := state.get(name), Mapping):
            state = cast("Mapping[object, object]", inner)  # likewise
            break
    tensors: dict[str, Tensor] = {}
    # A plain dict, because the file chooses the attributes of any other mapping.
    for key, tensor in dict(state).items():
        if not isinstance(key, str) or not isinstance(tensor, Tensor):
            raise ValueError(f"{str(key)[:80]!r} in it is not a tensor")
        tensors[key] = tensor
    return tensors


def _mismatch(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    missing = [key for key in wanted if key not in found]
    unknown = [key for key in found if key not in wanted]
    shapes = [
        f"{key} {_form(found[key])} instead of {_form(tensor)}"
        for key, tensor in wanted.items()
        if key in found and _form(found[key]) != _form(tensor)
    ]
    parts = (
        (missing, f"of {len(wanted)} keys missing"),
        (unknown, "unknown keys" if len(unknown) > 1 else "unknown key"),
        (shapes, "of another form"),
    )
    return "; ".join(f"{len(keys)} {what} ({_first(keys)})" for keys, what in parts if keys)


def _form(tensor: Tensor) -> str:
    return f"{'' if tensor.is_floating_point() else 'integer '}{list(tensor.shape)}"


def _first(keys: Sequence[str]) -> str:
    return ", ".join(keys[:NAMED_KEYS]) + (", ..." if len(keys) > NAMED_KEYS else "")


def _unreadable(path: Path, what: str, advice: str) -> CheckpointError:
    return CheckpointError(f"Expected model weights in {path}, found {what}: {advice}.")
