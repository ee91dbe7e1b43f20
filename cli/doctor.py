"""``avatar doctor``: what this machine offers, for people and bug reports. Nothing is changed."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import __version__
from .session import json_option, session, verbose_option

if TYPE_CHECKING:
    from ..host.contract import Device, Folders, Host
    from ..musetalk.weights.search import FileStatus

GIBIBYTE = 1 << 30
_BROKEN = (ImportError, AttributeError, RuntimeError, OSError, TypeError, ValueError)
LIBRARIES = (
    "numpy",
    "torch",
    "torchaudio",
    "cv2",
    "av",
    "PIL",
    "safetensors",
    "huggingface_hub",
    "psutil",
)
# name: (what is imported, what is lacking without it)
EXTRAS = {
    "pillow-heif": ("pillow_heif", "HEIC pictures are refused"),
    "pocketsphinx": ("pocketsphinx", "the puppet takes m, b and p from the sound alone"),
    "spandrel": ("spandrel", "--upscale-model cannot load files"),
    "websocket-client": ("websocket", "--server shows no progress"),
}


@click.command()
@json_option
@verbose_option
def doctor(as_json: bool) -> None:
    """Show what this machine offers: versions, device, memory, face finders, model files."""
    with session() as host:
        found = facts(host)
    if as_json:
        click.echo(json.dumps(dict(found), indent=2))
        return
    width = max(len(name) for name, _ in found)
    for name, value in found:
        click.echo(f"{name:<{width}}  {value}")


def facts(host: Host) -> list[tuple[str, str]]:
    """Return names and values, in the order in which they help."""
    folders = enumerate(host.model_directories, 1)
    return [
        ("avatarvideo", f"{__version__} in {Path(__file__).parents[1]}"),
        ("Python", f"{platform.python_version()} on {platform.platform()}"),
        *((name, _version(name)) for name in LIBRARIES),
        *((name, _extra(*extra)) for name, extra in EXTRAS.items()),
        ("FFmpeg", _ffmpeg()),
        ("own ffmpeg", _own_ffmpeg()),
        ("device", _device(host)),
        ("fast paths", _fast_paths()),
        ("memory", _memory()),
        *((f"locator: {name}", value) for name, value in _locators(host)),
        *((f"model folder {i}", f"{f}{'' if f.is_dir() else ' (not there)'}") for i, f in folders),
        ("voices", _voices()),
        ("mode auto", _mode(host)),
        *_model_files(host),
    ]


def _memory() -> str:
    from ..host.machine import available_memory, total_memory

    free, total = _gib(available_memory()), total_memory()
    if total:
        return f"{free} free of {_gib(total)}"
    return f"unknown, assumed to be {free} free: pip install psutil"


def _gib(size: int) -> str:
    return f"{size / GIBIBYTE:.1f} GiB"


def _version(name: str) -> str:
    try:
        module = importlib.import_module(name)
    except _BROKEN as error:  # a library that is there but broken is just what this is for
        first_line = str(error).split("\n")[0]
        return f"does not import: {first_line}" if importlib.util.find_spec(name) else "missing"
    return str(getattr(module, "__version__", "unknown version"))


def _extra(module: str, lacking: str) -> str:
    version = _version(module)
    return f"missing (optional): {lacking}" if version == "missing" else version


def _own_ffmpeg() -> str:
    from ..encoders.write.ffmpeg_command import find_ffmpeg
    from ..errors import EncodeError

    try:
        return str(find_ffmpeg())
    except EncodeError as error:
        return f"none (optional, for --backend 'own ffmpeg'): {error}"


def _ffmpeg() -> str:
    try:
        import av
    except (ImportError, OSError) as error:
        return f"not reachable: {error}"
    names = ("libavcodec", "libavformat")
    return ", ".join(f"{n} {'.'.join(map(str, av.library_versions[n]))}" for n in names)


def _device(host: Device) -> str:
    try:
        import torch
    except (ImportError, OSError) as error:
        return f"torch does not import: {error}"
    device = host.device()
    if not device.startswith("cuda"):
        return f"{device} ({torch.get_num_threads()} threads)"
    from ..musetalk.networks.fast.fused import kernels

    free, total = torch.cuda.mem_get_info(device)
    name = torch.cuda.get_device_name(device)
    try:
        works = kernels(torch.device(device)) is not None
    except torch.OutOfMemoryError:
        works = False
    triton = "works" if works else "is missing or failed its trial, so half precision is slower"
    return f"{device}: {name}, {_gib(free)} free of {_gib(total)}; Triton {triton}"


def _fast_paths() -> str:
    from ..host.environment import FAST_VARIABLE, fast_paths_are_on

    return "on" if fast_paths_are_on() else f"off ({FAST_VARIABLE}={os.environ[FAST_VARIABLE]})"


def _locators(host: Folders) -> list[tuple[str, str]]:
    from ..musetalk.face.finder import FINDERS
    from ..musetalk.weights.search import list_files

    rows = list_files(host.model_directories)
    present = {row.role for row in rows if row.state == "present" and not _problem(row)}
    return [state for finder in FINDERS for state in finder.states(present).items()]


def _problem(row: FileStatus) -> str | None:
    """Return what is wrong with a file; of the face mesh the hash is small work, so it is asked."""
    from ..errors import CheckpointError
    from ..musetalk.weights.mesh_file import read_mesh

    if row.role != "face mesh" or row.path is None or row.problem:
        return row.problem
    try:
        read_mesh(row.path)
    except CheckpointError as error:
        return str(error)
    return None


def _voices() -> str:
    from ..errors import CheckpointError
    from ..musetalk.weights.silero_file import find_silero, load_silero

    path = find_silero()
    if path is None:
        return "by loudness; silero-vad, which tells them from music, is not installed"
    try:
        load_silero(path)
    except CheckpointError as error:
        return f"by loudness; {error}"
    return "silero-vad"


def _mode(host: Folders) -> str:
    from ..musetalk.interfaces import LipSyncConfig
    from ..musetalk.weights.search import MissingFiles, find

    model = LipSyncConfig().model
    if isinstance(find(model, host.model_directories), MissingFiles):
        return "puppet where lips are found, else static: model files of MuseTalk are missing"
    return f"musetalk {model}"


def _model_files(host: Folders) -> list[tuple[str, str]]:
    from ..musetalk.weights.catalogue import CATALOGUE
    from ..musetalk.weights.search import list_files

    found: list[tuple[str, str]] = []
    for row in list_files(host.model_directories):
        title = CATALOGUE[row.role].title
        name = f"{title} {row.model}" if row.model else title
        wrong = _problem(row)
        problem = f", {wrong}" if wrong else ""
        absent = "not there (optional)" if row.is_extra else "missing"
        value = f"{row.path}{problem}" if row.path is not None else f"{absent}: {row.wanted.name}"
        found.append((name, value))
    return found
