"""The stand-in for core's node that loads an upscale model, as ComfyUI 0.33 has it."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import MediaError
from ..host.contract import Host
from ..host.current import current_host
from ..host.reading import readable
from ..pasted import unquoted, url_problem
from .prompt import Value

FOLDER = "upscale_models"  # in a folder of models, as ComfyUI names it
EXTENSIONS = frozenset({".bin", ".ckpt", ".pkl", ".pt", ".pth", ".safetensors", ".sft"})


class UpscaleModelLoader:
    """The upscaling or face restoring model of a file."""

    FUNCTION = "load"
    RETURN_TYPES = ("UPSCALE_MODEL",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Value]:
        return {"required": {"model_name": (_names(current_host()),)}}

    @classmethod
    def VALIDATE_INPUTS(cls, model_name: Value = None) -> bool | str:
        if model_name is None:  # linked: known only when the graph runs
            return True
        try:
            _find(current_host(), model_name)
        except MediaError as error:
            return str(error)
        return True

    @classmethod
    def IS_CHANGED(cls, model_name: Value) -> tuple[float, ...]:
        status = _find(current_host(), model_name).stat()
        return (status.st_mtime, float(status.st_size))

    def load(self, model_name: Value) -> tuple[Value]:
        from ..musetalk.upscale.file import load_descriptor

        return (load_descriptor(_find(current_host(), model_name)),)


def _folders(host: Host) -> list[Path]:
    return [Path(os.path.abspath(each / FOLDER)) for each in host.model_directories]  # noqa: PTH100 - Path has no such function


def _names(host: Host) -> list[str]:
    """Return the files below the folders, as the node's combo has them."""
    names: set[str] = set()
    for folder in _folders(host):
        found = (path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS)
        names.update(str(path.relative_to(folder)) for path in found if path.is_file())
    return sorted(names)


def _find(host: Host, name: Value) -> Path:
    """Return the file of a name below the folders, or of a whole path if graphs may read it.

    Raises MediaError naming where it looked.
    """
    text = unquoted(name) if isinstance(name, str) else ""
    if not text or "\0" in text:
        raise MediaError("Expected the name of an upscale model's file, got none: choose a file.")
    if problem := url_problem(text):
        raise MediaError(problem)
    if Path(text).is_absolute():
        places = [readable(host, text)]
    else:
        folders = [(folder, Path(os.path.abspath(folder / text))) for folder in _folders(host)]  # noqa: PTH100 - as above
        places = [place for folder, place in folders if place.is_relative_to(folder)]
    for place in places:
        if os.path.isfile(place):  # noqa: PTH113 - Path's raises where a name is too long
            return place
    looked = ", ".join(map(str, places)) or f"no folder: the name leads out of {FOLDER}"
    raise MediaError(
        f"Expected an upscale model in {text[:200]!r}, found none at {looked[:1000]}: put it "
        "there, or give its full path."
    )
