"""Reads a list of jobs: JSON lines, CSV, or a folder of avatars and one of speeches."""

from __future__ import annotations

import codecs
import csv
import io
import json
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..errors import MediaError
from ..json_values import JSON, is_object, parse_json
from .files import folded
from .rows import Problem, Row

log = logging.getLogger("avatarvideo.batch.manifest")

AVATARS = frozenset(
    {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp", ".heic"}
    | {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"}
)
SPEECHES = frozenset({".aac", ".flac", ".m4a", ".mp3", ".ogg", ".opus", ".wav"})
JSON_LINES = (".jsonl", ".ndjson")
MOST_BYTES = 1 << 30
MOST_NAMED = 5  # files that are left out
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
        data = path.read_bytes()
        wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # as PowerShell writes
        return data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise MediaError(
            f"Expected jobs in UTF-8, but {path.name!r} is not: save it as UTF-8, in "
            "Excel as 'CSV UTF-8'."
        ) from error
    except OSError as error:
        raise MediaError(f"Cannot read the jobs in {path.name!r}: {error.strerror}.") from error


def _json_rows(text: str) -> tuple[list[Row], list[Problem]]:
    rows: list[Row] = []
    problems: list[Problem] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = parse_json(line, names_once=True)
        except json.JSONDecodeError as error:
            why = f"it is broken at column {error.colno}: {error.msg}."
            problems.append(Problem(number, f"Expected a JSON object on one line, but {why}"))
            continue
        except ValueError as error:
            problems.append(Problem(number, f"Expected a JSON object on one line, got {error}."))
            continue
        if is_object(value):
            rows.append(Row(number, value))
        else:
            kind = type(value).__name__
            problems.append(Problem(number, f"Expected a JSON object, got a {kind}."))
    return rows, problems


def _csv_rows(text: str, name: str) -> tuple[list[Row], list[Problem]]:
    rows: list[Row] = []
    problems: list[Problem] = []
    columns: list[str] = []
    for line, cells in _records(list(io.StringIO(text, newline=""))):
        if isinstance(cells, csv.Error):
            problems.append(Problem(line, f"Expected CSV, but it is broken: {cells}."))
        elif not any(map(str.strip, cells)):
            continue
        elif not columns:
            columns = [_column(cell) for cell in cells]
            _check_columns(columns, name)
        elif any(map(str.strip, cells[len(columns) :])):
            sentence = f"Expected {len(columns)} cells, got {len(cells)}: quote those with"
            problems.append(Problem(line, f"{sentence} the separator in them."))
        elif any(c.strip() for column, c in zip(columns, cells, strict=False) if not column):
            problems.append(Problem(line, "Expected no cell in a column without a name."))
        else:
            rows.append(Row(line, _cells(columns, cells), as_text=True))
    return rows, problems


def _records(lines: Sequence[str]) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """Yield each row with the number of its first line; after a broken one it is the next line."""
    head = next((line for line in lines if line.strip()), "")
    delimiter, begin = max(",;\t", key=head.count), 0
    if told := re.fullmatch(r'"?sep=(.)"?\s*', head):  # Excel's own
        delimiter, begin = told[1], lines.index(head) + 1
    while begin < len(lines):
        # Not the lines themselves: csv would read on behind the quote that breaks a row.
        rest = map(lines.__getitem__, range(begin, len(lines)))
        reader = csv.reader(rest, delimiter=delimiter, strict=True)
        first = begin
        try:
            for cells in reader:
                yield first + 1, cells
                first = begin + reader.line_num
            return
        except csv.Error as error:
            yield first + 1, error
            begin = first + 1


def _column(cell: str) -> str:
    """Return a column's name as ours are written, as spreadsheets and their users do not."""
    return cell.strip() if "." in cell else "_".join(cell.lower().split())


def _check_columns(columns: list[str], name: str) -> None:
    twice = [column for column, count in Counter(columns).items() if count > 1 and column]
    if twice or "output" not in columns:
        found = f"{twice[0]!r} twice" if twice else ", ".join(columns)[:200]
        raise MediaError(
            f"Expected the column names in the first line of {name!r}, including output, got "
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
    """Return the files of a kind, hidden ones left out. Raises MediaError."""
    if not folder.is_dir():
        raise MediaError(f"Expected a folder of {what}, but {str(folder)!r} is not a folder.")
    found: list[Path] = []
    others: list[str] = []
    for path in sorted(path for path in folder.iterdir() if not path.name.startswith(".")):
        if path.suffix.lower() in suffixes and path.is_file():
            found.append(path.absolute())
        else:
            others.append(path.name)
    if not found:
        raise MediaError(f"Expected a folder of {what}, but {str(folder)!r} has none.")
    if others:
        named = ", ".join(others[:MOST_NAMED]) + (", ..." if len(others) > MOST_NAMED else "")
        log.warning("%s: left out, because they are not %s: %s", folder, what, named)
    return found


def _named(files: list[Path]) -> dict[str, Path]:
    """Return files by names of their own: the stem, or the whole name where others have that."""
    taken = Counter(name for path in files for name in {folded(path.stem), folded(path.name)})
    return {path.stem if taken[folded(path.stem)] == 1 else path.name: path for path in files}
