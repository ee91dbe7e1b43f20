"""Open a file of an upscaling or face restoring model; ComfyUI has a node of its own for it."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from ...errors import CheckpointError, MissingLibraryError
from ...pasted import existing
from ..weights.safe_pickle import DAMAGE
from ..weights.state_dicts import read_saved

MOST_BYTES = 4 << 30  # of a file; the largest published ones are a tenth of it
ADVICE = "choose the file of an upscaling or face restoration model (.safetensors or .pth)"


def load_descriptor(named: str | Path) -> Any:  # Any: spandrel is not always there
    """Return spandrel's description of the model in a file, on the CPU.

    Safetensors and pickles are opened by our own reader, which runs nothing that they hold.
    Raises CheckpointError naming the file, MissingLibraryError where spandrel cannot be imported.
    """
    path = Path(existing(str(named)))
    if path.is_file() and path.stat().st_size > MOST_BYTES:
        raise CheckpointError(
            f"Expected an upscale model of at most {MOST_BYTES >> 30} GiB in {path}, found "
            f"{path.stat().st_size >> 30} GiB: {ADVICE}."
        )
    spandrel = _spandrel()
    saved = read_saved(path, advice=ADVICE)
    try:
        state = spandrel.canonicalize_state_dict(saved)
        descriptor = spandrel.ModelLoader("cpu").load_from_state_dict(state)
    except (spandrel.UnsupportedModelError, *DAMAGE) as error:
        reason = str(error).split("\n")[0].rstrip(". ")[:160] or "no network has such weights"
        raise CheckpointError(
            f"Expected a model that spandrel knows in {path}, found a different one ({reason}): "
            f"{ADVICE}."
        ) from error
    if not isinstance(descriptor, spandrel.ImageModelDescriptor):
        raise CheckpointError(
            f"Expected a model that takes one picture in {path}, found one that also wants a "
            f"mask: {ADVICE}."
        )
    return descriptor


def _spandrel() -> Any:  # Any: as above
    try:
        spandrel = importlib.import_module("spandrel")
    except ImportError as error:
        reason = str(error).split("\n")[0].rstrip(".")
        raise MissingLibraryError(
            f"Upscale models need the package spandrel, but {reason}: run pip install spandrel, "
            "or use no upscale model."
        ) from error
    try:  # architectures under other licences, where the user has them: CodeFormer
        extra = importlib.import_module("spandrel_extra_arches")
    except ImportError:
        return spandrel
    extra.install(ignore_duplicates=True)
    return spandrel
