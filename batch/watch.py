"""What can be seen of a batch while it runs: lines, events, a status file for other programs."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from ..json_values import JSON
from .files import BatchFolder, write_text
from .rows import Outcome, Problem, Task

STATUS_SECONDS = 1.0
TOTAL_SECONDS = 10.0


@dataclass
class Tally:
    """How many jobs came to what. skipped: finished before, or by another driver meanwhile."""

    total: int
    skipped: int = 0
    made: int = 0
    failed: list[Problem] = field(default_factory=list[Problem])

    @property
    def left(self) -> int:
        return self.total - self.skipped - self.made - len(self.failed)

    @property
    def shown(self) -> str:
        parts = [f"{self.made} made", f"{self.skipped} finished before"]
        parts += [f"{len(self.failed)} failed"] if self.failed else []
        parts += [f"{self.left} left"] if self.left else []
        return f"{self.total} jobs: {', '.join(parts)}"


@dataclass(frozen=True)
class Output:
    """Where is said what happens.

    result: a finished job's line. talk: all else. event: both, as JSON. error: what is wrong with
    a list.
    """

    result: Callable[[str], None]
    talk: Callable[[str], None]
    event: Callable[[Mapping[str, JSON]], None]
    error: Callable[[str], None]


class Watch:
    """Tells what happens to the jobs of a batch and counts it. via: as of ``write_text``."""

    def __init__(self, tally: Tally, output: Output, folder: BatchFolder, via: Path) -> None:
        self.tally = tally
        self._output = output
        self._folder, self._via = folder, via
        self._ended = 0  # jobs, since the first was handed out
        self._still = 0  # of those that were made, though their mode was auto
        self._started = _now()
        self._running: dict[str, tuple[str, float]] = {}  # by worker: the job, since when
        self._began: float | None = None  # when the first job was handed out
        self._told = self._written = 0.0
        self._state = "starting"
        with contextlib.suppress(OSError):
            folder.failures.unlink()

    def begin(self, seconds: float) -> None:
        """Note that the list is checked, which took so long."""
        self._event("checked", total=self.tally.total, seconds=round(seconds, 3))
        for problem in self.tally.failed:
            self._list_failure(problem.line, problem.output, problem.sentence)
        self._output.talk(f"{self.tally.shown} (checked in {seconds:.1f} s)")
        self._write_status(now=True)

    def ready(self, worker: str, seconds: float) -> None:
        self._event("ready", worker=worker, seconds=round(seconds, 3))
        self._output.talk(f"{worker} is ready after {seconds:.1f} s")

    def handed_out(self, task: Task, worker: str) -> None:
        if self._began is None:
            self._began = self._told = time.monotonic()
            self._state = "running"
        self._running[worker] = task.output, time.monotonic()
        self._event("started", job=task.output, line=task.line, worker=worker)

    def finished(self, task: Task, outcome: Outcome) -> None:
        self._running.pop(outcome.worker, None)
        self.tally.made += 1
        self._ended += 1
        details = outcome.details
        self._still += details.get("mode") == "static" and task.options.get("mode") == "auto"
        shown = {name: details.get(name) for name in ("key", "mode", "frame_count")}
        seconds = details.get("processing_seconds")
        self._event("finished", job=task.output, worker=outcome.worker, seconds=seconds, **shown)
        number = self.tally.total - self.tally.left
        made = f"{details['mode']}, {details['frame_count']} frames, " if "mode" in details else ""
        self._output.result(
            f"[{number}/{self.tally.total}] {task.output}: {made}made in {seconds} s by "
            f"{outcome.worker}"
        )

    def skipped(self, task: Task, outcome: Outcome) -> None:
        self._running.pop(outcome.worker, None)
        self.tally.skipped += 1
        self._event("skipped", job=task.output)

    def waits(self, task: Task, outcome: Outcome) -> None:
        """Note that a job waits again, and why."""
        self._running.pop(outcome.worker, None)
        self._event("again", job=task.output, why=outcome.kind, error=outcome.error)
        if outcome.kind != "busy":
            self._output.talk(f"{task.output}: {outcome.error} Trying again.")

    def failed(self, task: Task, worker: str, sentence: str) -> None:
        self._running.pop(worker, None)
        self.tally.failed.append(Problem(task.line, f"{task.output}: {sentence}"))
        self._ended += 1
        self._list_failure(task.line, task.output, sentence)
        self._output.talk(f"Line {task.line}: {task.output}: {sentence}")

    def _list_failure(self, line: int, output: str, sentence: str) -> None:
        self._event("failed", job=output, line=line, error=sentence)
        listed = json.dumps({"line": line, "output": output, "error": sentence})
        with (
            contextlib.suppress(OSError),
            self._folder.failures.open("a", encoding="utf-8") as file,
        ):
            file.write(listed + "\n")

    def tick(self) -> None:
        """Say now and then how far everything is."""
        now = time.monotonic()
        if self._began is not None and now - self._told > TOTAL_SECONDS:
            self._told = now
            self._output.talk(self._total())
        self._write_status()

    def end(self, state: str) -> None:
        """Say what came of it all. state: "done", or "stopped" where jobs are left."""
        self._state = state
        self._running.clear()
        self._event("end", **self._counts())
        self._output.talk(self._total(is_stopped=state == "stopped"))
        if self._still:
            self._output.talk(
                f"{self._still} of the videos made are still pictures (static), although the mode "
                "was auto: their reports have the reason."
            )
        self._write_status(now=True)

    def _rate(self) -> tuple[float | None, float | None]:
        """Return jobs per minute and the seconds left, None where they cannot be told yet."""
        done = self._ended
        if self._began is None or not done:
            return None, None
        seconds = max(time.monotonic() - self._began, 1e-3)
        return 60 * done / seconds, self.tally.left * seconds / done

    def _total(self, *, is_stopped: bool = False) -> str:
        per_minute, left = self._rate()
        rest = ": start the command again to continue" if is_stopped else ""
        if per_minute is None or left is None:
            return f"{self.tally.shown}{rest}"
        if self.tally.left and not is_stopped:
            rest = f", {_duration(left)} left"
        return f"{self.tally.shown}; {per_minute:.1f} a minute{rest}"

    def _counts(self) -> dict[str, JSON]:
        per_minute, left = self._rate()
        return {
            "state": self._state,
            "total": self.tally.total,
            "made": self.tally.made,
            "skipped": self.tally.skipped,
            "failed": len(self.tally.failed),
            "left": self.tally.left,
            "per_minute": None if per_minute is None else round(per_minute, 2),
            "seconds_left": None if left is None else round(left, 1),
        }

    def _write_status(self, *, now: bool = False) -> None:
        since = time.monotonic()
        if not now and since - self._written < STATUS_SECONDS:
            return
        self._written = since
        running = [
            {"worker": worker, "job": job, "seconds": round(since - begun, 1)}
            for worker, (job, begun) in self._running.items()
        ]
        status = {**self._counts(), "running": running, "pid": os.getpid()}
        status |= {"started": self._started, "updated": _now()}
        with contextlib.suppress(OSError):  # a full disk: the jobs say so
            write_text(self._folder.status, json.dumps(status, indent=1) + "\n", self._via)

    def _event(self, name: str, **details: JSON) -> None:
        self._output.event({"event": name, "time": _now(), **details})


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
