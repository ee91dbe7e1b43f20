"""What the nodes' inputs share: the menu path, widgets, and combos of files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from ..errors import MediaError
from ..host.reading import SAMPLES_DIRECTORY, readable
from ..json_values import is_list
from ..options import Option
from ..pasted import unescaped, unquoted, url_problem

if TYPE_CHECKING:
    from ..host.contract import Host

CATEGORY = "avatar video"
SAMPLES_PREFIX = "samples/"  # combo values of the bundled files begin with it
IMAGE_EXTENSIONS = frozenset(
    {".bmp", ".heic", ".heif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
)
VIDEO_EXTENSIONS = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"})
LONGEST_PATH = 4096  # characters; no system takes more
MOST_SHOWN = 200  # characters of a name in a message
AUDIO_EXTENSIONS = frozenset({".aac", ".flac", ".m4a", ".mp3", ".ogg", ".opus", ".wav"})

Values = dict[str, Any]  # Any: what the host passes to a node, or takes from it, by name
Widget = tuple[Any, Values]  # Any: the name of a type, or choices


def widget(option: Option, **own: Any) -> Widget:  # Any: settings of all kinds
    """Return the widget of an option; ``own`` are settings that replace the option's.

    Without a choice of words the kind follows the default: BOOLEAN, STRING, or FLOAT where the
    option moves by a fraction, else INT.
    """
    limits = {"min": option.low, "max": option.high, "step": option.step}
    settings: Values = {"default": option.default, **limits, "tooltip": option.help} | own
    choices = settings.pop("choices", option.choices)
    settings = {name: value for name, value in settings.items() if value is not None}
    if isinstance(settings["default"], bool):
        return "BOOLEAN", settings
    if isinstance(settings["default"], str):
        return list(choices) or "STRING", settings
    number = float if isinstance(option.step, float) else int
    for name in settings.keys() & {"default", "min", "max"}:
        settings[name] = number(settings[name])
    return number.__name__.upper(), settings


def rate_widget(option: Option, **own: Any) -> Widget:  # Any: as in widget
    """Return the widget of a frame rate: a link may bring a whole number too."""
    return "FLOAT,INT", widget(option, **own)[1] | {"widgetType": "FLOAT"}


def own_widget(default: str | bool, tooltip: str) -> Widget:
    """Return the widget of what is no option of a configuration."""
    return widget(Option(default=default, help=tooltip))


def file_names(
    host: Host, extensions: frozenset[str], *, but: frozenset[str] = frozenset()
) -> list[str]:
    """Return a combo's values: the bundled samples ``but`` some, the files of the input folder."""
    samples = [path.name for path in _files(SAMPLES_DIRECTORY, extensions)]
    inputs = [path.name for path in _files(host.input_directory, extensions)]
    return [SAMPLES_PREFIX + name for name in samples if name not in but] + inputs


def _files(folder: Path, extensions: frozenset[str]) -> list[Path]:
    entries = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in entries if path.suffix.lower() in extensions and path.is_file())


def find_file(host: Host, name: object) -> Path:
    """Return the file or folder that a combo value or a path names, if graphs may read it.

    ``samples/NAME`` is a bundled one unless the input folder has it; ``NAME [output]``, ``[temp]``
    and ``[input]`` name the host's folders. Raises MediaError naming where it looked.
    """
    places = [readable(host, place) for place in _places(host, name)]
    for place in places:
        if _is_there(place):
            return place
    looked = " and ".join(str(place)[:MOST_SHOWN] for place in places)
    raise MediaError(
        f"Expected a file named {str(name)[:MOST_SHOWN]!r}, found none at {looked}: check the name "
        "or upload it."
    )


def _places(host: Host, name: object) -> list[Path]:
    """Return where a named file may lie, by names alone. Raises MediaError for what is no name."""
    if not isinstance(name, str) or "\0" in name or not 0 < len(name.strip()) <= LONGEST_PATH:
        shown = repr(name)[:MOST_SHOWN] if name else "an empty one"
        raise MediaError(f"Expected the name of a file, got {shown}: choose a file.")
    text, folder, mark = unquoted(name), host.input_directory, ""
    marks = {"[input]": folder, "[output]": host.output_directory, "[temp]": host.temp_directory}
    for candidate, place in marks.items():
        if text.endswith(candidate):
            text, folder, mark = text[: -len(candidate)].strip(), place, candidate
    if not text:
        raise MediaError("Expected the name of a file, got an empty one: choose a file.")
    if problem := url_problem(text):
        raise MediaError(problem)
    # Links in the folder lead where they lead, as in ComfyUI; only the name must stay inside.
    folder = Path(os.path.abspath(folder))  # noqa: PTH100 - Path has no such function
    places = [Path(os.path.abspath(folder / text))]  # noqa: PTH100 - the same
    if not Path(text).is_absolute() and not places[0].is_relative_to(folder):
        raise MediaError(f"Expected a file inside {folder}, got {text!r}: use a name in it.")
    if not mark and text.startswith(SAMPLES_PREFIX):
        places.append(SAMPLES_DIRECTORY / Path(text).name)
    if (plain := unescaped(text)) != text:
        places.append(Path(os.path.abspath(folder / plain)))  # noqa: PTH100 - the same
    return places


def _is_there(place: Path) -> bool:
    try:
        return place.exists()
    except (OSError, ValueError) as error:  # too long, or no name on this system
        why = error.strerror if isinstance(error, OSError) else "no file can have such a name"
        raise MediaError(
            f"Expected the name of a file, got {str(place)[:MOST_SHOWN]!r}: {why}."
        ) from error


def is_filled(path: object) -> bool:
    """Say whether a path's widget was filled in."""
    return path is not None and bool(str(path).strip())


def files_behind(host: Host, prompt: Values, class_type: str) -> list[Path]:
    """Return the files named in nodes of a class and in all nodes before them.

    A tensor does not say which file it came from, but the prompt does.
    """
    left = dict(prompt)
    waiting = [key for key, node in prompt.items() if node.get("class_type") == class_type]
    found: list[Path] = []
    while waiting:
        node = left.pop(waiting.pop(), {})
        for value in node.get("inputs", {}).values():
            if is_link(value):
                waiting.append(str(value[0]))
            elif isinstance(value, str):
                with contextlib.suppress(MediaError):  # no file's name
                    found += filter(_is_there, _places(host, value))
    return found


def is_link(value: object) -> TypeGuard[Sequence[Any]]:  # Any: a node's id and a number
    """Tell whether an input in a prompt is a link to another node's output."""
    return is_list(value) and len(value) == 2


def videos_in(folder: Path) -> list[Path]:
    """Return the video files of a folder, by name. Raises MediaError when it has none."""
    found = _files(folder, VIDEO_EXTENSIONS)
    if not found:
        raise MediaError(f"Expected a folder with videos, but {str(folder)!r} has none.")
    return found


def check_file(host: Host, name: object) -> bool | str:
    """Return True when a combo's file exists, else a sentence on what is wrong."""
    if name is None:  # linked: known only when the graph runs
        return True
    try:
        find_file(host, name)
    except MediaError as error:
        return str(error)
    return True


def fingerprint(host: Host, name: object) -> tuple[float, ...]:
    """Return what changes when a combo's file changes, without reading it."""
    status = find_file(host, name).stat()
    return (status.st_mtime, float(status.st_size))
