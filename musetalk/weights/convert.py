"""Write a network's weights as one safetensors file in half or full precision.

In half precision the UNet needs 1.7 GB of disk and of reading instead of 3.4. The file is written
tensor by tensor, so a conversion takes little memory.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ...errors import CheckpointError
from ..interfaces import Model
from .build import load_network
from .catalogue import CATALOGUE, Precision, Role, converted_path, file_sha256, readable_size
from .download_command import download_command
from .search import FileStatus

DTYPES: dict[Precision, torch.dtype] = {"half": torch.float16, "full": torch.float32}
_FORMAT_NAMES = {torch.float16: "F16", torch.float32: "F32", torch.int64: "I64"}
_HEADER_ALIGNMENT = 8

Report = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Conversion:
    """One file of ``size`` bytes; those of networks that look at faces are always "full"."""

    path: Path
    precision: Precision
    size: int


def convert_all(
    files: Mapping[Role, FileStatus],
    model: Model,
    root: Path,
    precision: Precision,
    *,
    report: Report = lambda _done, _total: None,
    check_cancelled: Callable[[], None] = lambda: None,
) -> Iterator[Conversion]:
    """Convert the files that ``find`` returned, one a step; converted ones are skipped."""
    for role, found in files.items():
        wanted = "full" if CATALOGUE[role].half == "never" else precision
        if found.path is None or found.precision == wanted:
            continue
        if found.precision == "half":
            raise CheckpointError(
                f"Expected a published file to convert to full precision, found only {found.path} "
                f"in half: run `{download_command()}` first."
            )
        target = converted_path(role, model, wanted, root)
        yield convert(
            role, found.path, target, wanted, report=report, check_cancelled=check_cancelled
        )


def convert(
    role: Role,
    source: Path,
    target: Path,
    precision: Precision,
    *,
    report: Report = lambda _done, _total: None,
    check_cancelled: Callable[[], None] = lambda: None,
    network: nn.Module | None = None,
) -> Conversion:
    """Write ``source``, of any published layout, to ``target``.

    At its ``converted_path`` it is found and preferred from then on. It appears when complete.
    report: called with bytes done and in all.
    network: on the meta device, which the weights must fill; None takes the role's.
    Raises CheckpointError when the source does not fit the network, holds values too large for
    half precision, or the file cannot be written.
    """
    if target.exists() and target.samefile(source):
        raise CheckpointError(
            f"Expected a file to convert other than the result, but {target} is the source itself: "
            "move it, so that the original is not lost."
        )
    filled = load_network(role, source, network=network)
    dtype = DTYPES[precision]
    metadata = {
        "format": "pt",
        "written_by": "avatarvideo",
        "role": role,
        "dtype": str(dtype).removeprefix("torch."),
        "source": source.name,
        "source_sha256": file_sha256(source, check_cancelled),
    }
    part = target.with_name(f".{target.name}.part")
    tensors = filled.state_dict()
    layout = _layout(tensors, dtype, metadata)

    def step(done: int, total: int | None) -> None:
        check_cancelled()
        report(done, total)

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _check_space(target.parent, layout.size)
        _write(part, layout, tensors, source, step)
        part.replace(target)
    except OSError as error:
        raise CheckpointError(
            f"Expected to write {target}, but {error.strerror or error}: free some room or choose "
            "another folder of models."
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return Conversion(target, precision, target.stat().st_size)


@dataclass(frozen=True)
class _Layout:
    """Which value goes where in the file; widest first, so that each lies at its own multiple."""

    dtypes: dict[str, torch.dtype]
    header: dict[str, object]
    size: int


def _layout(tensors: Mapping[str, Tensor], dtype: torch.dtype, metadata: dict[str, str]) -> _Layout:
    kinds = ((key, dtype if one.is_floating_point() else one.dtype) for key, one in tensors.items())
    dtypes = dict(sorted(kinds, key=lambda kind: (-kind[1].itemsize, kind[0])))
    header: dict[str, object] = {"__metadata__": metadata}
    end = 0
    for key, kind in dtypes.items():
        begin, end = end, end + tensors[key].numel() * kind.itemsize
        header[key] = {
            "dtype": _FORMAT_NAMES[kind],
            "shape": list(tensors[key].shape),
            "data_offsets": [begin, end],
        }
    return _Layout(dtypes, header, end)


def _write(
    path: Path, layout: _Layout, tensors: Mapping[str, Tensor], source: Path, step: Report
) -> None:
    done = 0
    with path.open("wb") as file:
        # https://github.com/huggingface/safetensors: length, JSON padded by spaces, then values.
        text = json.dumps(layout.header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % _HEADER_ALIGNMENT)
        file.write(len(text).to_bytes(8, "little") + text)
        for key, dtype in layout.dtypes.items():
            values = tensors[key].to(dtype)
            if values.is_floating_point() and not torch.isfinite(values).all():
                raise CheckpointError(
                    f"Expected values within the range of {dtype} in {source}, found larger ones "
                    f"in {key}: convert to full precision instead, or replace the file."
                )
            file.write(values.contiguous().reshape(-1).view(torch.uint8).numpy().data)
            done += values.numel() * values.element_size()
            step(done, layout.size)


def _check_space(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise CheckpointError(
            f"Expected {readable_size(size)} of free space in {folder}, found "
            f"{readable_size(free)}: free some room or choose another folder of models."
        )
