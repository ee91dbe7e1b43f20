"""What makes the jobs: workers, each with one job at a time.

    while jobs or running:
        for worker in executor.idle():
            executor.submit(worker, jobs.pop())
        for outcome in executor.collect(0.1):
            ...

An executor replaces workers that die; their job comes back with the kind "lost".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from .rows import Job, Outcome


class Executor(Protocol):
    """Where jobs are made. start_seconds: of the workers that have started, by their names."""

    @property
    def start_seconds(self) -> Mapping[str, float]: ...

    def idle(self) -> Sequence[str]:
        """Return the names of the workers that wait for a job."""
        ...

    def submit(self, worker: str, job: Job) -> None:
        """Hand a job to an idle worker."""
        ...

    def collect(self, seconds: float) -> Sequence[Outcome]:
        """Wait until something ended, at most so long where nothing does, and return it.

        Raises Cancelled, and AvatarVideoError where no worker can be started.
        """
        ...

    def stop(self) -> None:
        """Stop every worker and what it makes; nothing half-written is left."""
        ...
