"""The name of an output file: a template filled in, cleaned, inside its folder, with a counter.

Templates use ComfyUI's marks: %date:yyyy-MM-dd%, %year% %month% %day% %hour% %minute% %second%,
%width% %height%, and our %name%, the avatar's or input's own name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from .errors import EncodeError

MAX_NAME = 200  # bytes of one path component, leaving room for the counter and the extension
COUNTER_DIGITS = 5
_FORBIDDEN = re.compile(r'[<>:"|?*\x00-\x1f\\]')
_DATE_PARTS = {"yyyy": "%Y", "yy": "%y", "MM": "%m", "dd": "%d", "hh": "%H", "mm": "%M", "ss": "%S"}
_CLOCK = {"year": "%Y", "month": "%m", "day": "%d", "hour": "%H", "minute": "%M", "second": "%S"}


def output_file(
    folder: Path,
    template: str,
    extension: str,
    *,
    values: Mapping[str, str | int] | None = None,
    overwrite: bool = False,
    now: datetime | None = None,
) -> Path:
    """Return the path to write: ``folder/prefix_00001.ext``, or without a counter to overwrite.

    extension: without its dot. values: for the marks, such as width and height.
    Raises EncodeError when the name would leave the folder or is empty.
    """
    filled = _fill(template, values or {}, now or datetime.now())
    parts = [_clean(part) for part in filled.replace("\\", "/").split("/") if part not in ("", ".")]
    if not parts or ".." in parts or filled.startswith("/"):
        raise EncodeError(
            f"Expected a file name inside {folder}, got {template!r}: use a relative name."
        )
    stem = folder.joinpath(*parts)
    if not stem.parent.resolve().is_relative_to(folder.resolve()):
        raise EncodeError(f"Expected a file name inside {folder}, got {template!r}.")
    if overwrite:
        return stem.with_name(f"{stem.name}.{extension}")
    return stem.with_name(f"{stem.name}_{_next_counter(stem):0{COUNTER_DIGITS}}.{extension}")


def make_folder(folder: Path) -> Path:
    """Make an output folder and those above it. Raises EncodeError where that cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EncodeError(
            f"Expected to write into the folder {folder}, which cannot be made "
            f"({error.strerror}): choose another folder."
        ) from error
    return folder


def _fill(template: str, values: Mapping[str, str | int], now: datetime) -> str:
    def replaced(match: re.Match[str]) -> str:
        mark = match.group(1)
        if mark.startswith("date:"):
            pattern = re.sub("yyyy|yy|MM|dd|hh|mm|ss", lambda m: _DATE_PARTS[m[0]], mark[5:])
            return now.strftime(pattern)
        if mark in _CLOCK:
            return now.strftime(_CLOCK[mark])
        return str(values.get(mark, match.group(0)))

    return re.sub(r"%([^%/]+)%", replaced, template.strip())


def _clean(part: str) -> str:
    safe = _FORBIDDEN.sub("_", part).rstrip(" .") if part != ".." else part
    if safe.startswith("-"):
        safe = "_" + safe[1:]  # no program may take the name for an option
    return safe.encode()[:MAX_NAME].decode(errors="ignore") or "_"


def _next_counter(stem: Path) -> int:
    numbered = re.compile(re.escape(stem.name) + r"_(\d+)\.[^.]+$")
    names = [entry.name for entry in stem.parent.iterdir()] if stem.parent.is_dir() else []
    taken = [int(match[1]) for match in map(numbered.match, names) if match]
    return max(taken, default=0) + 1
