"""Parts of one computation, taken by threads: all of them once, in the caller's ways of PyTorch."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator

import pytest
import torch

from avatarvideo.musetalk.networks.fast.workers import MOST_WORKERS, compute_parts, worker_count


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_every_part_is_computed_once_in_the_threads_that_made_workers() -> None:
    done: list[tuple[int, int]] = []
    made: list[int] = []

    def make() -> Callable[[int], None]:
        made.append(threading.get_ident())
        return lambda part: done.append((threading.get_ident(), part))

    compute_parts(make, range(50))
    assert sorted(part for _, part in done) == list(range(50))
    assert 1 <= len(made) <= 2  # a quick thread may take both turns
    assert {thread for thread, _ in done} <= set(made)
    assert threading.get_ident() not in made


def test_both_threads_compute_at_the_same_time() -> None:
    together = threading.Barrier(2, timeout=20)

    def meet(_part: int) -> None:
        together.wait()

    compute_parts(lambda: meet, [0, 1])
    assert not together.broken


def test_steps_of_a_part_use_one_thread_and_the_callers_keep_theirs() -> None:
    seen: list[tuple[int, bool, bool]] = []

    def make() -> Callable[[int], None]:
        def note(_part: int) -> None:
            modes = torch.is_inference_mode_enabled(), torch.is_grad_enabled()
            seen.append((torch.get_num_threads(), *modes))

        return note

    with torch.inference_mode():
        compute_parts(make, range(4))
    compute_parts(make, range(4))
    assert set(seen[:4]) == {(1, True, False)}
    assert set(seen[4:]) == {(1, False, True)}
    later: list[int] = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert torch.get_num_threads() == 2
    assert later == [2]


@pytest.mark.parametrize("parts", [1, 0])
def test_what_cannot_be_shared_stays_in_the_thread_that_asks(parts: int) -> None:
    threads: list[int] = []
    compute_parts(lambda: lambda _: threads.append(threading.get_ident()), range(parts))
    assert threads == [threading.get_ident()] * parts


def test_an_error_comes_out_when_all_have_stopped() -> None:
    done: list[int] = []

    def compute(part: int) -> None:
        if part == 3:
            raise MemoryError("no room for a part")
        done.append(part)

    with pytest.raises(MemoryError, match="no room for a part"):
        compute_parts(lambda: compute, range(20))
    rest = list(done)
    assert 3 not in rest
    compute_parts(lambda: compute, [30, 31])  # the threads go on
    assert sorted(done[len(rest) :]) == [30, 31]


def test_no_more_workers_than_python_can_start_steps_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    assert worker_count() == MOST_WORKERS


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
def test_a_forked_process_makes_threads_of_its_own() -> None:
    compute_parts(lambda: lambda _part: None, range(4))
    child = os.fork()
    if child == 0:
        done: list[int] = []
        compute_parts(lambda: done.append, range(4))
        os._exit(0 if sorted(done) == [0, 1, 2, 3] else 1)
    for _ in range(200):
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            break
        threading.Event().wait(0.05)
    else:
        os.kill(child, 9)
        os.waitpid(child, 0)
        pytest.fail("the forked process waits for threads that it does not have")
    assert status == 0
