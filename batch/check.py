"""Checks a list as a whole, before the first job: every row becomes a task, or a sentence."""

from __future__ import annotations

import json
import os
import stat
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path, PurePosixPath

from ..encoders.write.codecs import container_for
from ..errors import AvatarVideoError, GraphError, MediaError
from ..headless.prompt import Declared, NodeTable, definitions
from ..headless.run import Setting, load_workflow, node_table
from ..headless.validate import validate
from ..headless.workflow_file import read_workflow
from ..json_values import JSON, is_list, is_object
from ..musetalk.interfaces import LipSyncConfig, named_files
from ..musetalk.score.numbers import needs_source, parse_limits
from ..pasted import existing, url_problem, url_to_write
from ..texts import shown
from .addresses import Address, address_in
from .files import OURS, REPORT_SUFFIX, folded
from .remote import Remote
from .results import Results, memory_problem
from .rows import Problem, Row, Task
from .server_graph import graph_of, server_problem

MOST_THREADS = 1024
MOST_CHARACTERS = 1000  # of an output's name
MOST_BYTES = 255  # of each part of it, as file systems have it
_CONTROL = {"Cc", "Cs", "Zl", "Zp"}  # and line ends, and halves of characters, which none has
COLUMNS = ("avatar", "audio", "output", "workflow", "set", "threads")
# Makes the options of a row, given by the names of the command line; texts as in CSV, or JSON.
ReadOptions = Callable[[Mapping[str, JSON], bool], LipSyncConfig]


class Checker:
    """The rules of one batch.

    inputs: where relative names are looked for. threads: of rows that name none; 0 leaves the
    number to the workers. limits: of the score, empty without. remote: looks at addresses; None
    refuses them. in_process: jobs are made in this process, whose memory:// is theirs.
    """

    def __init__(
        self,
        results: Results,
        inputs: Path,
        read_options: ReadOptions,
        *,
        threads: int = 0,
        limits: str = "",
        remote: Remote | None = None,
        in_process: bool = False,
    ) -> None:
        self._results = results
        self._shown = results.shown
        self._root = os.path.realpath(results.folder.path)
        self._inputs = inputs
        self._threads = threads
        self._limits = limits
        self._lines: dict[str, int] = {}  # by output
        self._folders: dict[str, int] = {}  # the same, by each folder that is above one
        self._read_options = read_options
        self._options: dict[tuple[str, bool], tuple[dict[str, JSON], tuple[str, ...]]] = {}
        self._folder_problem = cache(self._problem_with)
        self._file = cache(self._found_file)
        self._checked_workflow = cache(self._workflow_files)
        self._remote = remote
        self._in_process = in_process
        self._servers: Mapping[str, Declared] = {}

    def tasks(
        self, rows: Sequence[Row], servers: Mapping[str, Declared] | None = None
    ) -> tuple[list[Task], list[Problem]]:
        """Return the tasks of the good rows, and a problem for each of the others.

        servers: what the ComfyUI servers that make the files declare, by address; None without.
        """
        self._servers = servers or {}
        tasks: list[Task] = []
        problems: list[Problem] = []
        for row in rows:
            try:
                tasks.append(self._task(row))
            except (AvatarVideoError, ValueError) as error:
                named = row.values.get("output")
                output = named if isinstance(named, str) else ""
                problems.append(Problem(row.line, str(error), output))
        tasks = self._without_others(self._without_unreadable(tasks, problems), problems)
        return tasks, sorted(problems)

    def _without_unreadable(self, tasks: list[Task], problems: list[Problem]) -> list[Task]:
        """Leave out the tasks with an input elsewhere that cannot be read; all are looked at."""
        addresses = {path for task in tasks for path in task.inputs if not Path(path).is_absolute()}
        if not addresses or self._remote is None:
            return tasks
        errors = self._remote.look_up(sorted(addresses))
        kept: list[Task] = []
        for task in tasks:
            wrong = [str(errors[path]) for path in task.inputs if path in errors]
            if wrong:
                problems.append(Problem(task.line, wrong[0], task.output))
            else:
                kept.append(task)
        return kept

    def _without_others(self, tasks: list[Task], problems: list[Problem]) -> list[Task]:
        """Leave out the tasks whose result would replace what one is made from, or a stranger's."""
        addresses = {path for task in tasks for path in task.inputs}
        sources = {_identity(path) for path in addresses}
        kept: list[Task] = []
        for task in tasks:
            found = _identity(f"{self._root}/{task.output}")
            is_there = f"{self._shown}/{task.output}" in addresses
            if is_there or (found is not None and found in sources):
                sentence = (
                    f"Expected an output that is none of the inputs, but {task.output!r} is one."
                )
                problems.append(Problem(task.line, sentence, task.output))
            elif self._results.is_of_others(task.output):
                sentence = (
                    f"Expected a new output, but {task.output!r} exists and no batch made it: "
                    "move it away, or choose another name."
                )
                problems.append(Problem(task.line, sentence, task.output))
            else:
                kept.append(task)
        return kept

    def _task(self, row: Row) -> Task:
        given = {name: value for name, value in row.values.items() if value is not None}
        texts = {name: _text(given, name) for name in ("avatar", "audio", "workflow", "output")}
        output = self._output(texts["output"])
        limits = self._limits
        threads = _threads(given.get("threads"), row.as_text) or self._threads
        if texts["workflow"]:
            for name in given.keys() - {"workflow", "set", "output", "threads"}:
                raise MediaError(f"Expected no {name} in a row with a workflow: put it into set.")
            if limits and needs_source(parse_limits(limits)):
                raise MediaError(
                    "Expected no limit on change for a workflow, whose source is not known: leave "
                    "it out of --min-score."
                )
            task = self._workflow(texts["workflow"], given.get("set"))
            task = Task(row.line, output, threads=threads, limits=limits, **task)
        else:
            if "set" in given:
                raise MediaError(
                    "Expected set only in a row with a workflow: use the option itself."
                )
            avatar = self._file("avatar", texts["avatar"])
            audio = self._file("audio", texts["audio"])
            options, more = self._config(given, row.as_text)
            task = Task(
                row.line,
                output,
                inputs=(avatar, audio, *more),
                avatar=avatar,
                audio=audio,
                options=options,
                threads=threads,
                limits=limits,
            )
        if self._servers:
            self._check_servers(task)
        self._claim(output, row.line)
        return task

    def _check_servers(self, task: Task) -> None:
        """Raise GraphError where a server cannot make a task."""
        if problem := server_problem(task):
            raise GraphError(problem)
        if task.workflow:
            return
        for url, declared in self._servers.items():
            try:
                graph_of(task, Path(task.avatar), Path(task.audio), declared)
            except GraphError as error:
                raise GraphError(f"{url}: {error}") from error

    def _claim(self, output: str, line: int) -> None:
        name = folded(output)
        above = [name[:place] for place, one in enumerate(name) if one == "/"]
        if name in self._lines:
            raise MediaError(
                f"Expected an output of its own, but {output!r} is already used in line "
                f"{self._lines[name]}."
            )
        file = next((self._lines[one] for one in above if one in self._lines), 0)
        if other := file or self._folders.get(name, 0):
            raise MediaError(
                f"Expected an output that fits beside the others, but {output!r} and line "
                f"{other}'s would be a file and a folder of the same name."
            )
        self._lines[name] = line
        self._folders |= dict.fromkeys(above, line)

    def _config(
        self, given: Mapping[str, JSON], as_text: bool
    ) -> tuple[Mapping[str, JSON], tuple[str, ...]]:
        """Return the options, and the files that they name: those of further speakers, a model."""
        options = {name: value for name, value in given.items() if name not in COLUMNS}
        known = json.dumps(options, sort_keys=True), as_text
        if known not in self._options:
            config = self._read_options(options, as_text)
            found: dict[str, str] = {
                text: self._file(column, text) for column, text in named_files(config)
            }
            speakers = [
                replace(
                    one,
                    audio=found.get(str(one.audio), one.audio),
                    face=found.get(one.face.strip(), one.face),
                )
                for one in config.speakers
            ]
            config = replace(
                config,
                speakers=tuple(speakers),
                face=found.get(config.face.strip(), config.face),
                upscale_model=found.get(config.upscale_model, config.upscale_model),
            )
            self._options[known] = asdict(config), tuple(found.values())
        return self._options[known]

    def _output(self, text: str) -> str:
        if problem := url_to_write(text):
            raise MediaError(problem)
        name = text.replace("\\", "/") if os.sep == "\\" else text
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if not parts:
            raise MediaError("Expected a name for output, such as anna/hello.mp4, got none.")
        if not name.isprintable() and _CONTROL & set(map(unicodedata.category, name)):
            raise MediaError(f"Expected output without control characters, got {shown(text)}.")
        longest = max(len(part.encode()) for part in [*parts, parts[-1] + REPORT_SUFFIX])
        if len(name) > MOST_CHARACTERS or longest > MOST_BYTES:
            most = MOST_BYTES - len(REPORT_SUFFIX)
            raise MediaError(
                f"Expected an output of at most {MOST_CHARACTERS} characters, and at most {most} "
                f"bytes in each of its names, but {shown(text)} is longer."
            )
        output = "/".join(parts)
        path = f"{self._root}/{output}"
        is_outside = ".." in parts or name.startswith("/") or Path(name).is_absolute()
        problem = "is outside" if is_outside else self._folder_problem(path.rpartition("/")[0])
        if problem:
            raise MediaError(f"Expected an output in {self._shown}, but {text!r} {problem}.")
        if parts[0].casefold() in OURS:
            raise MediaError(
                f"Expected an output that is none of the batch's own files ({', '.join(OURS)}), "
                f"got {text!r}."
            )
        if container_for(PurePosixPath(output).suffix, None) == "png":
            raise MediaError(
                f"Expected a video as output, but {text!r} is a picture: end it in .mp4."
            )
        if os.path.isdir(path):  # noqa: PTH112 - of tens of thousands, and faster
            raise MediaError(f"Expected a file as output, but {text!r} is a folder.")
        return output

    def _problem_with(self, folder: str) -> str:
        """Return why no output can be in a folder, which need not be there; empty where it can."""
        above = Path(os.path.realpath(folder))
        if not above.is_relative_to(self._root):
            return "is outside"
        while not above.exists():
            above = above.parent
        return "" if above.is_dir() else f"would be below the file {above.name!r}"

    def _found_file(self, column: str, text: str) -> str:
        """Return the absolute path of an input. Raises MediaError."""
        if not text:
            raise MediaError(f"Expected a file as {column}, got none.")
        if (address := address_in(text)) is not None:
            return self._address(address, column)
        path = existing(self._inputs / os.path.expanduser(text))  # noqa: PTH111 - never raises
        try:
            mode = path.stat().st_mode
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise MediaError(
                f"Expected a file as {column}, but cannot read {text!r}: {why}."
            ) from error
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
            raise MediaError(f"Expected a file as {column}, but {text!r} is {kind}.")
        if not os.access(path, os.R_OK):
            raise MediaError(f"Expected a file as {column}, but reading {text!r} is not permitted.")
        return str(path.absolute())

    def _address(self, address: Address, column: str) -> str:
        if self._remote is None or column not in ("avatar", "audio"):
            raise MediaError(url_problem(address.text))
        if problem := memory_problem(address, column, self._in_process):
            raise MediaError(problem)
        return address.text

    def _workflow(self, text: str, given: JSON) -> dict[str, JSON]:
        path = self._file("workflow", text)
        settings = _settings(given)
        files = self._checked_workflow(path, settings)
        return {"workflow": path, "settings": settings, "inputs": (path, *files)}

    def _workflow_files(self, path: str, settings: tuple[Setting, ...]) -> tuple[str, ...]:
        """Check a workflow and return the files that it names."""
        nodes, ours = _nodes()
        wherever = self._servers.values() or [ours]
        prompt, *_ = [load_workflow(Path(path), one, settings).prompt for one in wherever]
        if not self._servers:  # they know their nodes, and refuse what is wrong
            validate(prompt, nodes)
        texts = {*_texts(read_workflow(path)), *_texts(prompt)}
        return tuple(sorted(filter(None, map(self._named_file, texts))))

    def _named_file(self, text: str) -> str | None:
        if not PurePosixPath(text).suffix or len(text) > 1000:
            return None
        path = self._inputs / text
        try:
            return str(path.absolute()) if path.is_file() else None
        except (OSError, ValueError):
            return None


def _identity(path: str) -> tuple[int, int] | None:
    """Return by what a file is the same under every name, None where there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - of tens of thousands
    except OSError:
        return None
    return found.st_dev, found.st_ino


@cache
def _nodes() -> tuple[NodeTable, Declared]:
    nodes, names = node_table()
    return nodes, definitions(nodes, names)


def _texts(value: JSON) -> set[str]:
    """Return every text in a JSON value."""
    found: set[str] = set()
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            found.add(one)
        elif is_object(one):
            waiting.extend(one.values())
        elif is_list(one):
            waiting.extend(one)
    return found


def _text(given: Mapping[str, JSON], name: str) -> str:
    value = given.get(name, "")
    if not isinstance(value, str):
        raise MediaError(f"Expected {name} as text, got {shown(value)}.")
    return value


def _threads(value: JSON, as_text: bool) -> int:
    if value is None:
        return 0
    number = int(value) if as_text and str(value).isdecimal() and len(value) < 6 else value
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= MOST_THREADS:
        raise MediaError(f"Expected threads from 1 to {MOST_THREADS}, got {shown(value)}.")
    return number


def _settings(given: JSON) -> tuple[Setting, ...]:
    """Return the settings of a workflow: names of inputs, and values as texts."""
    if given is None:
        return ()
    if not is_object(given):
        raise GraphError(f'Expected set as {{"NODE.INPUT": value}}, got {shown(given)}.')
    found: list[Setting] = []
    for name, value in sorted(given.items()):
        if "." not in name.strip("."):
            raise GraphError(f"Expected NODE.INPUT in set, got {shown(name)}.")
        found.append((name, value if isinstance(value, str) else json.dumps(value)))
    return tuple(found)
