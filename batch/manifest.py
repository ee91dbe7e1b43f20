"""Reads a list of jobs: JSON lines, CSV, or a folder of avatars and one of speeches."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..errors import MediaError
from ..json_values import JSON, is_object, parse_json
from .rows import Problem, Row

AVATARS = frozenset(
    {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp", ".heic"}
    | {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"}
)
SPEECHES = frozenset({".aac", ".flac", ".m4a", ".mp3", ".ogg", ".opus", ".wav"})
JSON_LINES = (".jsonl", ".ndjson")
MOST_BYTES = 1 << 30
FORMS = "a .jsonl or .csv file, or a folder of avatars and a folder of speeches"


def read_rows(jobs: Sequence[Path]) -> tuple[list[Row], list[Problem]]:
    """Return the rows of a list and what is wrong with others. Raises MediaError for no list."""
    if len(jobs) == 2:
        return _pairs(*jobs), []
    if len(jobs) != 1 or not jobs[0].is_file():
        named = " and ".join(repr(str(path)) for path in jobs)
        raise MediaError(f"Expected jobs as {FORMS}, got {named}.")
    suffix = jobs[0].suffix.lower()
    if suffix in JSON_LINES:
        rows, problems = _json_rows(_text_of(jobs[0]))
    elif suffix == ".csv":
        rows, problems = _csv_rows(_text_of(jobs[0]), jobs[0].name)
    else:
        raise MediaError(f"Expected jobs as {FORMS}, got {jobs[0].name!r}.")
    if not rows and not problems:
        raise MediaError(f"Expected a job on each line of {jobs[0].name!r}, but it has none.")
    return rows, problems


def _text_of(path: Path) -> str:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise MediaError(f"Expected less than 1 GiB of jobs, but {path.name!r} is larger.")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise MediaError(f"Expected jobs in UTF-8, but {path.name!r} is something else.") from error
    except OSError as error:
        raise MediaError(f"Cannot read the jobs in {path.name!r}: {error.strerror}.") from error


def _json_rows(text: str) -> tuple[list[Row], list[Problem]]:
    rows: list[Row] = []
    problems: list[Problem] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = parse_json(line)
        except ValueError as error:
            problems.append(Problem(number, f"Expected a JSON object, but it is broken: {error}."))
            continue
        if is_object(value):
            rows.append(Row(number, value))
        else:
            kind = type(value).__name__
            problems.append(Problem(number, f"Expected a JSON object, got a {kind}."))
    return rows, problems


def _csv_rows(text: str, name: str) -> tuple[list[Row], list[Problem]]:
    head = text.partition("\n")[0]
    delimiter = ";" if head.count(";") > head.count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[Row] = []
    problems: list[Problem] = []
    columns: list[str] = []
    try:
        for cells in reader:
            if not columns:
                columns = [cell.strip() for cell in cells]
                _check_columns(columns, name)
            elif len(cells) > len(columns):
                sentence = f"Expected {len(columns)} cells, got {len(cells)}: quote those with a"
                problems.append(Problem(reader.line_num, f"{sentence} {delimiter!r} in them."))
            elif any(cells):
                rows.append(Row(reader.line_num, _cells(columns, cells), as_text=True))
    except csv.Error as error:
        problems.append(Problem(reader.line_num, f"Expected CSV, but it is broken: {error}."))
    return rows, problems


def _check_columns(columns: list[str], name: str) -> None:
    twice = [column for column, count in Counter(columns).items() if count > 1]
    if twice or "output" not in columns:
        found = f"{twice[0]!r} twice" if twice else ", ".join(columns)[:200]
        raise MediaError(
            f"Expected the columns' names in the first line of {name!r}, among them output, got "
            f"{found}."
        )


def _cells(columns: list[str], cells: list[str]) -> dict[str, JSON]:
    """Return a row's cells by column; a column with a dot in its name sets a workflow's input."""
    given = {c: cell.strip() for c, cell in zip(columns, cells, strict=False) if cell.strip()}
    settings = {column: given.pop(column) for column in list(given) if "." in column}
    return given | ({"set": settings} if settings else {})


def _pairs(avatars: Path, speeches: Path) -> list[Row]:
    """Return a row for every avatar with every speech: FOLDER OF THE AVATAR/SPEECH.mp4."""
    people = _named(_files(avatars, AVATARS, "pictures or videos"))
    sounds = _named(_files(speeches, SPEECHES, "speech"))
    pairs = ((person, sound) for person in people for sound in sounds)
    return [
        Row(
            number,
            {
                "avatar": str(people[person]),
                "audio": str(sounds[sound]),
                "output": f"{person}/{sound}.mp4",
            },
        )
        for number, (person, sound) in enumerate(pairs, 1)
    ]


def _files(folder: Path, suffixes: Iterable[str], what: str) -> list[Path]:
    if not folder.is_dir():
        raise MediaError(f"Expected a folder of {what}, but {str(folder)!r} is not a folder.")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes)
    found = [path.absolute() for path in found if path.is_file()]
    if not found:
        raise MediaError(f"Expected a folder of {what}, but {str(folder)!r} has none.")
    return found


def _named(files: list[Path]) -> dict[str, Path]:
    """Return files by a name of their own: the stem, with the suffix where two would share it."""
    stems = Counter(path.stem.casefold() for path in files)
    return {
        path.stem if stems[path.stem.casefold()] == 1 else path.name.replace(".", "_"): path
        for path in files
    }
