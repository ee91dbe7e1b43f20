"""Which task is next: what a worker holds, else the longest queue, of nobody's if there is one."""

from __future__ import annotations

from avatarvideo.batch.queues import Queues
from avatarvideo.batch.rows import Task


def tasks(**counts: int) -> list[Task]:
    return [
        Task(number, f"{avatar}{number}", (), avatar=avatar)
        for avatar, count in counts.items()
        for number in range(count)
    ]


def taken(queues: Queues, worker: str, count: int) -> list[str]:
    found = [queues.next_for(worker) for _ in range(count)]
    return [task.output for task in found if task is not None]


def test_a_worker_stays_with_its_avatar() -> None:
    queues = Queues(tasks(a=2, b=3))
    assert taken(queues, "one", 4) == ["b0", "b1", "b2", "a0"]


def test_another_takes_the_longest_that_nobody_holds() -> None:
    queues = Queues(tasks(a=5, b=2, c=3))
    assert taken(queues, "one", 1) == ["a0"]
    assert taken(queues, "two", 1) == ["c0"]
    assert taken(queues, "one", 1) == ["a1"]
    assert taken(queues, "three", 1) == ["b0"]


def test_where_all_are_held_it_helps_with_the_longest() -> None:
    queues = Queues(tasks(a=5, b=1))
    assert taken(queues, "one", 1) == ["a0"]
    assert taken(queues, "two", 3) == ["b0", "a1", "a2"]
    assert taken(queues, "one", 3) == ["a3", "a4"]
    assert len(queues) == 0


def test_a_task_that_is_put_back_is_the_next_of_its_avatar() -> None:
    queues = Queues(tasks(a=3))
    first = queues.next_for("one")
    assert first is not None
    queues.put_back(first)
    queues.lose("one")
    assert taken(queues, "two", 3) == ["a0", "a1", "a2"]
