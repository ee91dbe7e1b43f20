"""The name of an output file: a template filled in, cleaned, inside its folder, with a counter.

Templates use ComfyUI's marks: %date:yyyy-MM-dd%, %year% %month% %day% %hour% %minute% %second%,
%width% %height%, and ours: %name%, the input's own name, and %counter%, the place of the number
(at the end by default).
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ...errors import EncodeError

MAX_NAME = 200  # bytes of one path component, leaving room for the counter and the extension
COUNTER_DIGITS = 5
COUNTER = "%counter%"
# Begins like the encoder's temporary names, so that its clean-up removes old markers too.
MARKER = ".avatarvideo-"
RESERVED = ".reserved"
RESERVE_TRIES = 1000
_FORBIDDEN = re.compile(r'[<>:"|?*\x00-\x1f\\]')
_DATE_PARTS = {"yyyy": "%Y", "yy": "%y", "MM": "%m", "dd": "%d", "hh": "%H", "mm": "%M", "ss": "%S"}
_CLOCK = {"year": "%Y", "month": "%m", "day": "%d", "hour": "%H", "minute": "%M", "second": "%S"}


@contextmanager
def reserved_file(
    folder: Path,
    template: str,
    extension: str,
    *,
    values: Mapping[str, str | int] | None = None,
    overwrite: bool = False,
    allowed: Sequence[Path] = (),
    now: datetime | None = None,
) -> Generator[Path]:
    """Give the path to write: ``folder/prefix_00001.ext``, or without a counter to overwrite.

    While the block lasts no other run gets the same number. Makes the folder.
    extension: without its dot. values: for the marks, such as width and height. allowed: folders
    in which absolute names may be.
    Raises EncodeError when the name is empty or outside these folders.
    """
    numbered = _numbered(folder, template, extension, values or {}, allowed, now or datetime.now())
    make_folder(numbered.parent)
    if overwrite:
        yield numbered.path(None)
        return
    number, marker = _reserve(numbered)
    try:
        yield numbered.path(number)
    finally:
        marker.unlink(missing_ok=True)


def check_name(folder: Path, template: str, allowed: Sequence[Path] = ()) -> None:
    """Raise EncodeError where ``reserved_file`` would refuse the name. Makes nothing."""
    _numbered(folder, template, "", {}, allowed, datetime.now())


@dataclass(frozen=True)
class _Numbered:
    """A name with a place for its number: ``before`` and ``after`` it."""

    parent: Path
    before: str
    after: str
    extension: str

    def path(self, number: int | None) -> Path:
        stem = (self.before + self.after).removesuffix("_") or "_"
        if number is not None:
            stem = self.stem(number)
        return self.parent / f"{stem}.{self.extension}"

    def stem(self, number: int) -> str:
        return f"{self.before}{number:0{COUNTER_DIGITS}}{self.after}"

    def next_number(self) -> int:
        # A sequence of pictures is a folder, without an extension.
        number = rf"{re.escape(self.before)}(\d+){re.escape(self.after)}"
        taken = re.compile(rf"(?:{number}(?:\.[^.]+)?|{re.escape(MARKER)}{number}{RESERVED})")
        names = [entry.name for entry in self.parent.iterdir()] if self.parent.is_dir() else []
        found = [int(match[1] or match[2]) for match in map(taken.fullmatch, names) if match]
        return max(found, default=0) + 1


def _numbered(
    folder: Path,
    template: str,
    extension: str,
    values: Mapping[str, str | int],
    allowed: Sequence[Path],
    now: datetime,
) -> _Numbered:
    try:
        filled = _fill(template, values, now)
        filled.encode()
    except UnicodeEncodeError as error:  # half of a pair of UTF-16
        raise EncodeError(
            f"Expected filename prefix in characters that file names can have, got "
            f"{template[:100]!a}: change it."
        ) from error
    given = Path(filled).expanduser() if filled.startswith("~") else Path(filled)
    if given.is_absolute():
        base, places, text = Path(given.anchor), list(allowed), str(given.relative_to(given.anchor))
    else:
        base, places, text = folder, [folder], filled
    parts = [_clean(part) for part in text.replace("\\", "/").split("/") if part not in ("", ".")]
    parent = base.joinpath(*parts[:-1])
    if not parts:
        raise EncodeError(
            f"Expected a file name as filename prefix, got {template!r}: write one, such as avatar."
        )
    inside = any(parent.resolve().is_relative_to(place.resolve()) for place in places)
    if ".." in parts or not inside:
        raise _outside(folder, template, allowed, is_absolute=given.is_absolute())
    before, mark, after = parts[-1].partition(COUNTER)
    return _Numbered(parent, before if mark else f"{before}_", after, extension)


def _outside(
    folder: Path, template: str, allowed: Sequence[Path], *, is_absolute: bool
) -> EncodeError:
    others = "".join(f" or {place}" for place in allowed)
    or_else = ", or let the administrator allow the folder" if is_absolute else ""
    return EncodeError(
        f"Expected a file name inside {folder}{others}, got {template!r}: make filename prefix a "
        f"name in there{or_else}."
    )


def _reserve(numbered: _Numbered) -> tuple[int, Path]:
    number = numbered.next_number()
    for _ in range(RESERVE_TRIES):
        marker = numbered.parent / f"{MARKER}{numbered.stem(number)}{RESERVED}"
        try:
            marker.touch(exist_ok=False)
        except FileExistsError:
            number = max(number + 1, numbered.next_number())
            continue
        except OSError as error:
            raise not_writable(numbered.parent, error) from error
        if not os.path.lexists(numbered.path(number)):
            return number, marker
        marker.unlink(missing_ok=True)  # just written, or taken in another case where both are one
        number += 1
    raise EncodeError(f"Expected a free number in {numbered.parent}, found none: clear the folder.")


def make_folder(folder: Path) -> Path:
    """Make an output folder and those above it. Raises EncodeError where that cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_writable(folder, error) from error
    return folder


def not_writable(folder: Path, error: OSError) -> EncodeError:
    return EncodeError(
        f"Expected an output folder that can be written, got {str(folder)!r} ({error.strerror}): "
        "choose another one."
    )


def _fill(template: str, values: Mapping[str, str | int], now: datetime) -> str:
    def replaced(match: re.Match[str]) -> str:
        mark = match.group(1)
        if mark.startswith("date:"):
            pattern = re.sub("yyyy|yy|MM|dd|hh|mm|ss", lambda m: _DATE_PARTS[m[0]], mark[5:])
            return now.strftime(pattern)
        if mark in _CLOCK:
            return now.strftime(_CLOCK[mark])
        if mark not in values:
            return match.group(0)
        return str(values[mark]).replace("/", "_").replace("\\", "_")

    return re.sub(r"%([^%/]+)%", replaced, template.strip())


def _clean(part: str) -> str:
    safe = _FORBIDDEN.sub("_", part).rstrip(" .") if part != ".." else part
    if safe.startswith("-"):
        safe = "_" + safe[1:]  # so that no program takes the name for an option
    if len(safe.encode()) > MAX_NAME:
        safe = safe.replace(COUNTER, "").encode()[:MAX_NAME].decode(errors="ignore")
    return safe or "_"
