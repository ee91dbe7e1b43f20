"""Which task is next for a worker: one whose avatar it holds, else from the longest queue."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from .rows import Task


class Queues:
    """Tasks that wait, a queue for each avatar or workflow."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._queues: dict[str, deque[Task]] = {}
        self._held: dict[str, str] = {}  # by worker
        for task in tasks:
            self._queues.setdefault(task.holds, deque()).append(task)

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def next_for(self, worker: str) -> Task | None:
        """Take the next task of a worker, None where none waits."""
        name = self._held.get(worker)
        if name not in self._queues:
            name = self._longest(worker)
        if name is None:
            return None
        queue = self._queues[name]
        task = queue.popleft()
        if not queue:
            del self._queues[name]
        self._held[worker] = name
        return task

    def _longest(self, worker: str) -> str | None:
        """Return the longest queue, of those that no other worker holds if there are such."""
        others = {held for one, held in self._held.items() if one != worker}
        free = [name for name in self._queues if name not in others]
        return max(free or self._queues, key=lambda name: len(self._queues[name]), default=None)

    def put_back(self, task: Task) -> None:
        """Let a task wait again, before the others of its avatar."""
        self._queues.setdefault(task.holds, deque()).appendleft(task)

    def lose(self, worker: str) -> None:
        """Note that a worker holds nothing any more."""
        self._held.pop(worker, None)
