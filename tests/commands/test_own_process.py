from __future__ import annotations

import os
import subprocess
import sys

import pytest

from avatarvideo.commands import own_process

PAGES_OF = """
import resource, torch
from avatarvideo.commands.own_process import keep_heap
{before}
def use():
    (torch.empty(48 << 20, dtype=torch.uint8)).fill_(1)
for _ in range(20): use()  # the heap grows for the first few
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10): use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def pages_taken(before: str) -> int:
    code = PAGES_OF.format(before=before)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is on Linux")
def test_kept_memory_is_not_asked_of_the_system_again() -> None:
    assert pages_taken("assert keep_heap()") < 100


def test_threads_leave_busy_processors_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(own_process, "our_processors", lambda: 8)
    for load, threads in ((0.0, 8), (1.2, 7), (7.6, 1), (30.0, 1)):
        monkeypatch.setattr(os, "getloadavg", lambda load=load: (load, 0.0, 0.0), raising=False)
        assert own_process.free_processors() == threads


def test_the_users_number_of_threads_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_process, "keep_heap", lambda: True)
    monkeypatch.setenv(own_process.THREADS_VARIABLE, "3")
    own_process.settle()
    assert os.environ[own_process.THREADS_VARIABLE] == "3"


def test_a_process_of_somebody_else_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from avatarvideo import cli

    def never() -> None:
        raise AssertionError

    monkeypatch.setattr(cli, "settle", never)
    assert cli.main(["--version"]) == 0


def test_our_own_process_is_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    from avatarvideo import cli

    settled: list[bool] = []
    monkeypatch.setattr(cli, "settle", lambda: settled.append(True))
    monkeypatch.setattr(sys, "argv", ["avatar", "--version"])
    assert cli.main() == 0
    assert settled
