from __future__ import annotations

import importlib
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from avatarvideo.cli import own_process
from avatarvideo.host.machine import CPUTimes, Machine, Memory, System, WorkOfOthers

cli = importlib.import_module("avatarvideo.cli.main")  # the module, not the function
SAMPLES = Path(own_process.__file__).parents[1] / "web" / "samples"

PAGES_OF = """
import resource, torch
from avatarvideo.cli.own_process import keep_heap
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


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is on Linux")
def test_kept_memory_is_not_asked_of_the_system_again() -> None:
    assert pages_taken("assert keep_heap()") < 100


class SixteenCPUs(System):
    """Of them ``busy`` are busy for an hour once somebody has looked."""

    def __init__(self, busy: float) -> None:
        self._seconds = iter([0])
        self._busy = busy

    def memory(self) -> Memory:
        return Memory(1 << 30, 1 << 30)

    def cpu_times(self) -> CPUTimes:
        seconds = next(self._seconds, 3600)
        return CPUTimes(self._busy * seconds, 16 * seconds)

    def cpu_count(self) -> int:
        return 16

    allowed_cpu_count = cpu_count


def gauge(busy: float) -> WorkOfOthers:
    """Return a gauge that has seen so many of 16 CPUs busy for an hour."""
    return WorkOfOthers(Machine(SixteenCPUs(busy), Path("not", "there")))


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The number of threads of a machine whose eight cores count as two CPUs each."""
    for name in own_process.THREADS_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(8)
    yield 8
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.parametrize(("busy", "expected"), [(0.0, 8), (6.0, 8), (13.0, 3)])
def test_torch_gets_no_more_threads_than_are_free(threads: int, busy: float, expected: int) -> None:
    assert torch.get_num_threads() == threads
    own_process.leave_busy_cpus(gauge(busy))
    assert torch.get_num_threads() == expected


@pytest.mark.parametrize("name", own_process.THREADS_VARIABLES)
def test_the_users_number_of_threads_stays(
    monkeypatch: pytest.MonkeyPatch, threads: int, name: str
) -> None:
    monkeypatch.setenv(name, "8")
    own_process.leave_busy_cpus(gauge(16.0))
    assert torch.get_num_threads() == threads


def test_an_empty_variable_gives_no_number(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    own_process.leave_busy_cpus(gauge(14.0))
    assert torch.get_num_threads() == 2


def test_fewer_threads_are_told(threads: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="avatarvideo"):
        own_process.leave_busy_cpus(gauge(6.0))
        assert not caplog.messages
        own_process.leave_busy_cpus(gauge(13.0))
    assert caplog.messages == ["other programs keep 13.0 CPUs busy: computing with 3 threads"]


def test_a_process_without_a_gauge_keeps_its_threads(threads: int) -> None:
    own_process.leave_busy_cpus(None)
    assert torch.get_num_threads() == threads


@pytest.mark.slow
@pytest.mark.parametrize("command", ["lipsync", "run"])
def test_commands_that_compute_leave_busy_cpus(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    threads: int,
    command: str,
) -> None:
    load = {"class_type": "LoadImage", "inputs": {"image": "portrait.png"}}
    save = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
    graph, output = tmp_path / "graph.json", tmp_path / "out.mp4"
    graph.write_text(json.dumps({"1": load, "2": save}))
    speaking = ["video", "lipsync", f"{SAMPLES / 'portrait.png'}", f"{SAMPLES / 'speech.flac'}"]
    arguments = {
        "lipsync": [*speaking, "-o", f"{output}", "--mode", "static", "--duration", "0.04"],
        "run": ["run", f"{graph}", "--input-dir", f"{SAMPLES}", "--output-dir", f"{tmp_path}"],
    }
    monkeypatch.setattr(sys, "argv", ["avatar", *arguments[command]])
    assert cli.main(settle=lambda: gauge(13.0)) == 0
    assert torch.get_num_threads() == 3


def test_a_process_of_somebody_else_is_left_alone() -> None:
    def never() -> WorkOfOthers:
        raise AssertionError

    assert cli.main(["--version"], settle=never) == 0


def test_our_own_process_is_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    settled: list[WorkOfOthers] = []

    def settle() -> WorkOfOthers:
        settled.append(gauge(0.0))
        return settled[0]

    monkeypatch.setattr(sys, "argv", ["avatar", "--version"])
    assert cli.main(settle=settle) == 0
    assert settled


ENDS = """
import atexit
from avatarvideo.cli import own_process
class Library:
    def __del__(self):
        print("taken apart")
own_process.settle()
atexit.register(print, "last words")
library, own_process.ENDING.code = Library(), {code}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "status", "said"),
    [("3", 3, ["last words"]), ("None", 0, ["last words", "taken apart"])],
)
def test_our_own_process_ends_without_taking_libraries_apart(
    code: str, status: int, said: list[str]
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", ENDS.format(code=code)], capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout.split("\n")[:-1]) == (status, said)
