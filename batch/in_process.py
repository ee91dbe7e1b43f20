"""The executor without a process of its own: jobs are made by whoever collects them."""

from __future__ import annotations

from collections.abc import Sequence

from .maker import Maker
from .rows import Job, Outcome

NAME = "this process"


class InProcess:
    """One worker, in the calling thread."""

    def __init__(self, maker: Maker) -> None:
        self._maker = maker
        self._waiting: Job | None = None
        self.start_seconds: dict[str, float] = {}  # it runs already

    def idle(self) -> Sequence[str]:
        return () if self._waiting is not None else (NAME,)

    def submit(self, worker: str, job: Job) -> None:
        self._waiting = job

    def collect(self, seconds: float) -> Sequence[Outcome]:
        job, self._waiting = self._waiting, None
        return () if job is None else (self._maker.make(job),)

    def stop(self) -> None:
        self._waiting = None
        self._maker.close()
