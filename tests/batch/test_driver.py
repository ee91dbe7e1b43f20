"""What the driver does with every outcome, by an executor whose outcomes are written down."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from avatarvideo.batch import driver as driver_module
from avatarvideo.batch.content import Hashes
from avatarvideo.batch.driver import MOST_LOST, Driver
from avatarvideo.batch.files import BatchFolder
from avatarvideo.batch.maker import _smaller
from avatarvideo.batch.rows import Job, Kind, Outcome, Problem, Task
from avatarvideo.batch.watch import Output, Tally, Watch
from avatarvideo.errors import Cancelled


class Scripted:
    """One worker, whose jobs end as a table by their outputs says; else they are finished."""

    def __init__(self, ends: dict[str, list[Kind]]) -> None:
        self.start_seconds = {"worker": 1.5}
        self.jobs: list[Job] = []
        self._ends = ends
        self._now: Job | None = None

    def idle(self) -> Sequence[str]:
        return ["worker"] if self._now is None else []

    def submit(self, worker: str, job: Job) -> None:
        self._now = job
        self.jobs.append(job)

    def collect(self, seconds: float) -> Sequence[Outcome]:
        job, self._now = self._now, None
        if job is None:
            return []
        ends = self._ends.get(job.task.output)
        kind = ends.pop(0) if ends else "finished"
        details = {"mode": "static", "frame_count": 5, "processing_seconds": 0.5, "key": job.key}
        return [Outcome(job.task.output, kind, f"It was {kind}.", details, "worker")]

    def stop(self) -> None:
        pass


class Batch:
    """A driver over tasks "a", "b", ..., all that it said, and its tally."""

    def __init__(self, folder: Path, ends: dict[str, list[Kind]], count: int = 3) -> None:
        self.folder = BatchFolder(folder)
        self.folder.make()
        self.said: list[str] = []
        self.results: list[str] = []
        self.events: list[str] = []
        self.executor = Scripted(ends)
        self.tally = Tally(count)
        output = Output(self.results.append, self.said.append, self._event, self.said.append)
        self.watch = Watch(self.tally, output, self.folder, self.folder.work)
        tasks = [Task(number + 1, "abcdefgh"[number], ()) for number in range(count)]
        self.driver = self.made(tasks)

    def _event(self, event: Mapping[str, Any]) -> None:
        self.events.append(event["event"])

    def made(self, tasks: list[Task], check: Callable[[], None] = lambda: None) -> Driver:
        hashes = Hashes(self.folder.hashes, self.folder.work)
        return Driver(tasks, self.executor, hashes, self.watch, retries=2, check=check)

    def run(self) -> list[str]:
        """Run it and return the outputs in the order in which they were handed out."""
        self.driver.run()
        self.watch.end("done")
        return [job.task.output for job in self.executor.jobs]


def test_every_job_is_made_once_and_told(tmp_path: Path) -> None:
    batch = Batch(tmp_path, {})
    assert batch.run() == ["a", "b", "c"]
    assert batch.results[1] == "[2/3] b: static, 5 frames, made in 0.5 s by worker"
    assert batch.said[0] == "worker is ready after 1.5 s"
    assert batch.said[-1].startswith("3 jobs: 3 made, 0 finished before; ")
    assert batch.events == [*["started", "finished"], "ready", *["started", "finished"] * 2, "end"]
    status = json.loads(batch.folder.status.read_text())
    shown = {name: status[name] for name in ("state", "made", "left", "running")}
    assert shown == {"state": "done", "made": 3, "left": 0, "running": []}


def test_still_pictures_that_nobody_asked_for_are_told_at_the_end(tmp_path: Path) -> None:
    batch = Batch(tmp_path, {}, count=0)
    modes = ("auto", "auto", "static")
    tasks = [Task(n, f"{n}.mp4", (), options={"mode": mode}) for n, mode in enumerate(modes)]
    batch.tally.total = len(tasks)
    batch.made(tasks).run()
    batch.watch.end("done")
    assert batch.said[-1].startswith("2 of the videos made are still pictures (static), although")


def test_what_is_stopped_says_that_a_second_start_goes_on(tmp_path: Path) -> None:
    batch = Batch(tmp_path, {})
    batch.watch.end("stopped")
    assert batch.said == [
        "3 jobs: 0 made, 0 finished before, 3 left: start the command again to continue"
    ]


def test_after_out_of_memory_batches_get_smaller_and_then_it_fails(tmp_path: Path) -> None:
    batch = Batch(tmp_path, {"a": ["memory", "memory"], "b": ["memory"] * 3})
    assert batch.run() == ["a", "a", "a", "b", "b", "b", "c"]
    assert [job.smaller for job in batch.executor.jobs] == [0, 1, 2, 0, 1, 2, 0]
    assert batch.tally.failed == [Problem(2, "b: It was memory.")]
    failures = [json.loads(line) for line in batch.folder.failures.read_text().splitlines()]
    assert failures == [{"line": 2, "output": "b", "error": "It was memory."}]


@pytest.mark.slow  # it loads PyTorch
def test_smaller_batches_are_half_as_large(tmp_path: Path) -> None:
    usual, once, often = _smaller(0), _smaller(1), _smaller(9)
    assert usual is None
    assert once is not None
    assert often is not None
    assert dict(once.largest_batches) == {"generate": (2, 8), "prepare": (1, 4)}
    assert dict(often.largest_batches) == {"generate": (1, 1), "prepare": (1, 1)}


def test_a_job_whose_worker_died_is_made_again_but_not_for_ever(tmp_path: Path) -> None:
    batch = Batch(tmp_path, {"a": ["lost"], "b": ["lost"] * 9})
    assert batch.run() == ["a"] * 2 + ["b"] * (MOST_LOST + 1) + ["c"]
    assert [job.smaller for job in batch.executor.jobs][:4] == [0, 0, 0, 0]
    assert batch.executor.jobs[-2].smaller == MOST_LOST - 1  # the system kills those too large
    assert batch.tally.failed == [Problem(2, "b: It was lost.")]


def test_what_somebody_else_makes_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver_module, "BUSY_SECONDS", 0.01)
    batch = Batch(tmp_path, {"a": ["busy", "busy", "already"]})
    assert sorted(batch.run()) == ["a", "a", "a", "b", "c"]
    assert (batch.tally.made, batch.tally.skipped, batch.tally.failed) == (2, 1, [])


def test_a_full_disk_ends_it_and_leaves_the_rest(tmp_path: Path) -> None:
    batch = Batch(tmp_path, {"b": ["full"]}, count=5)
    assert batch.run() == ["a", "b"]
    assert (batch.tally.made, batch.tally.left, batch.driver.is_full) == (1, 3, True)


def test_an_input_that_vanished_fails_its_job_alone(tmp_path: Path) -> None:
    batch = Batch(tmp_path, {})
    gone = Task(2, "b", (str(tmp_path / "gone.png"),))
    batch.driver = batch.made([Task(1, "a", ()), gone, Task(3, "c", ())])
    assert batch.run() == ["a", "c"]
    (problem,) = batch.tally.failed
    assert "gone.png': No such file or directory" in problem.sentence


def test_a_cancel_ends_it_between_two_outcomes(tmp_path: Path) -> None:
    batch = Batch(tmp_path, {})

    def check() -> None:
        if len(batch.executor.jobs) == 2:
            raise Cancelled("The run was cancelled.")

    batch.driver = batch.made([Task(1, "a", ()), Task(2, "b", ()), Task(3, "c", ())], check)
    with pytest.raises(Cancelled):
        batch.run()
    assert (batch.tally.made, batch.tally.left) == (2, 1)
