"""What a batch is made of: rows as they are written, tasks that were checked, jobs handed out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from ..json_values import JSON

Kind = Literal["finished", "already", "busy", "changed", "memory", "full", "failed", "lost"]


@dataclass(frozen=True)
class Row:
    """One row as it is written. as_text: every value is a text, as in CSV."""

    line: int
    values: Mapping[str, JSON]
    as_text: bool = False


class Problem(NamedTuple):
    """What is wrong with a row; line 0 is the list as a whole. output: as it is written there."""

    line: int
    sentence: str
    output: str = ""

    def __str__(self) -> str:
        return f"Line {self.line}: {self.sentence}" if self.line else self.sentence


@dataclass(frozen=True)
class Task:
    """A checked row: lip-sync of an avatar and a speech, or a workflow with settings.

    output: the name in the output folder, by which logs and events call the job.
    inputs: the files whose contents the result depends on. Paths are absolute, or addresses.
    options: of LipSyncConfig, as JSON. threads: 0 leaves the number to the worker.
    limits: of the score, as ``--min-score`` takes them.
    """

    line: int
    output: str
    inputs: tuple[str, ...]
    avatar: str = ""
    audio: str = ""
    options: Mapping[str, JSON] = field(default_factory=dict[str, JSON])
    workflow: str = ""
    settings: tuple[tuple[str, str], ...] = ()
    threads: int = 0
    limits: str = ""

    @property
    def holds(self) -> str:
        """What a worker that made this task still has in memory: its avatar, or its workflow."""
        return self.avatar or self.workflow


class Stamp(NamedTuple):
    """By what a file is known to be unchanged since it was read.

    tag: of its version, where path is an address instead; the times are 0 then.
    """

    path: str
    size: int
    mtime_ns: int
    inode: int
    tag: str = ""


@dataclass(frozen=True)
class Job:
    """A task as it is handed to a worker.

    key: hash of all that the result depends on. stamps: of the inputs, when they were hashed.
    smaller: how often batches of faces are halved, after memory ran out.
    """

    task: Task
    key: str
    stamps: tuple[Stamp, ...]
    smaller: int = 0

    def as_json(self) -> dict[str, JSON]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: JSON) -> Job:
        task = dict(value["task"])
        task["inputs"] = tuple(task["inputs"])
        task["settings"] = tuple((name, text) for name, text in task["settings"])
        stamps = tuple(Stamp(*stamp) for stamp in value["stamps"])
        return cls(Task(**task), value["key"], stamps, value["smaller"])


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    kind: "already": it was finished by somebody else; "busy": somebody else makes it now;
        "changed": an input changed meanwhile; "memory", "full": what ran out, the disk for the
        latter; "lost": its worker died.
    error: a sentence, unless the job is finished. details: of what was made, for JSON.
    """

    output: str
    kind: Kind
    error: str = ""
    details: Mapping[str, JSON] = field(default_factory=dict[str, JSON])
    worker: str = ""


@dataclass(frozen=True)
class Setup:
    """What a worker has to know of the command, which may run on another machine.

    version: of this package. outputs: the folder or the address of the results. driver: the token
    of the driver's ``Owner``. models, formats: where the command looks for them. log_level: of the
    package's log.
    """

    version: str
    inputs: Path
    outputs: str
    driver: str
    models: tuple[Path, ...]
    formats: Path
    log_level: int
