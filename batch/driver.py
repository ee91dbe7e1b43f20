"""Hands jobs to workers until every row is finished or has failed. It never computes itself."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence

from ..errors import MediaError
from .content import Hashes, key_of
from .executor import Executor
from .queues import Queues
from .results import Results
from .rows import Job, Outcome, Task
from .watch import Watch

COLLECT_SECONDS = 0.1
BUSY_SECONDS = 1.0  # until a row that another driver's worker makes is asked for again
MOST_LOST = 4  # workers that one job may cost
MOST_CHANGES = 3  # of a job's inputs while it is made
SMALLER_AFTER = 1  # lost workers: the system kills those that take too much memory


def unfinished(
    tasks: Sequence[Task], ledger: Results, hashes: Hashes
) -> tuple[list[Task], list[str]]:
    """Return the tasks that are to be made, and the keys of those that are finished.

    Only what has a report is hashed: new rows cost a look for it.
    """
    left: list[Task] = []
    keys: list[str] = []
    ledger.look_up([task.output for task in tasks])
    for task in tasks:
        report = ledger.report_of(task.output)
        key = "" if report is None else _key_or_none(task, hashes)
        is_same = report is not None and key != "" and report.get("key") == key
        if report is not None and is_same and ledger.is_whole(task.output, report):
            keys.append(key)
        else:
            left.append(task)
    return left, keys


def _key_or_none(task: Task, hashes: Hashes) -> str:
    try:
        return key_of(task, hashes)[0]
    except MediaError:
        return ""  # told when it is its turn


class Driver:
    """One run over the tasks that are left.

    retries: how often a job is made again after memory ran out, each time with smaller batches.
    check: raises Cancelled where the user wants to stop.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        executor: Executor,
        hashes: Hashes,
        watch: Watch,
        *,
        retries: int,
        check: Callable[[], None],
    ) -> None:
        self._queues = Queues(tasks)
        self._executor = executor
        self._hashes = hashes
        self._watch = watch
        self._retries = retries
        self._check = check
        self._running: dict[str, Job] = {}  # by output
        self._busy: list[tuple[float, Task]] = []  # until when they are left alone
        self._smaller: Counter[str] = Counter()
        self._again: Counter[tuple[str, str]] = Counter()  # by output and why
        self._ready: set[str] = set()
        self.is_full = False

    def run(self) -> None:
        """Make everything that can be made. Raises Cancelled, and what the executor raises."""
        while self._running or (not self.is_full and (len(self._queues) or self._busy)):
            self._check()
            self._wake()
            self._hand_out()
            for outcome in self._executor.collect(COLLECT_SECONDS):
                self._note(outcome)
            self._tell_ready()
            self._watch.tick()
            self._hashes.save()

    def _wake(self) -> None:
        now = time.monotonic()
        for due, task in [one for one in self._busy if one[0] <= now]:
            self._busy.remove((due, task))
            self._queues.put_back(task)

    def _hand_out(self) -> None:
        for worker in self._executor.idle() if not self.is_full else ():
            while (task := self._queues.next_for(worker)) is not None:
                try:
                    key, stamps = key_of(task, self._hashes)
                except MediaError as error:
                    self._watch.failed(task, worker, str(error))
                    continue
                job = Job(task, key, stamps, self._smaller[task.output])
                self._running[task.output] = job
                self._watch.handed_out(task, worker)
                self._executor.submit(worker, job)
                break

    def _note(self, outcome: Outcome) -> None:
        task = self._running.pop(outcome.output).task
        if outcome.kind == "lost":
            self._queues.lose(outcome.worker)
        if outcome.kind == "finished":
            self._watch.finished(task, outcome)
        elif outcome.kind == "already":
            self._watch.skipped(task, outcome)
        elif self._may_wait(task, outcome):
            self._watch.waits(task, outcome)
            if outcome.kind == "busy":
                self._busy.append((time.monotonic() + BUSY_SECONDS, task))
            else:
                for path in task.inputs:
                    self._hashes.forget(path)
                self._queues.put_back(task)
        else:
            self.is_full |= outcome.kind == "full"
            self._watch.failed(task, outcome.worker, outcome.error)

    def _may_wait(self, task: Task, outcome: Outcome) -> bool:
        """Say whether a job that is not finished is made again; the next time may be smaller."""
        most = {"busy": None, "lost": MOST_LOST, "changed": MOST_CHANGES, "memory": self._retries}
        if outcome.kind not in most:
            return False
        place = task.output, outcome.kind
        self._again[place] += 1
        is_large = outcome.kind == "lost" and self._again[place] > SMALLER_AFTER
        if is_large or outcome.kind == "memory":
            self._smaller[task.output] += 1
        limit = most[outcome.kind]
        return limit is None or self._again[place] <= limit

    def _tell_ready(self) -> None:
        started = self._executor.start_seconds
        for worker in started.keys() - self._ready:
            self._ready.add(worker)
            self._watch.ready(worker, started[worker])
