"""Memory and CPUs of this machine, containers included, with and without psutil."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from avatarvideo.host.machine import (
    UNKNOWN_FREE,
    CPUTimes,
    Machine,
    Memory,
    PsutilSystem,
    System,
    WorkOfOthers,
    available_memory,
    peak_memory,
    return_memory,
    total_memory,
)

FREE = 19 << 30
MODULE = str(Path(__file__).resolve().parents[2] / "host" / "machine.py")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux says it")


@dataclass
class FixedSystem(System):
    """A machine of 16 CPUs of which 8 are ours. times: what it says in turn, the last for ever."""

    times: list[CPUTimes | None] = field(default_factory=lambda: [None])

    def memory(self) -> Memory:
        return Memory(FREE, 2 * FREE)

    def cpu_times(self) -> CPUTimes | None:
        return self.times.pop(0) if len(self.times) > 1 else self.times[0]

    def cpu_count(self) -> int:
        return 16

    def allowed_cpu_count(self) -> int:
        return 8


@pytest.fixture
def groups(tmp_path: Path) -> Path:
    (tmp_path / "memory").mkdir()
    return tmp_path


@pytest.fixture
def machine(groups: Path) -> Machine:
    return Machine(FixedSystem(), groups)


def test_this_machine_has_some_and_not_more_than_all() -> None:
    assert 0 < available_memory() <= total_memory()
    assert peak_memory() > 1 << 20


@linux
def test_psutil_says_what_linux_says() -> None:
    plain, by_psutil = System(), PsutilSystem()
    assert by_psutil.memory().total == pytest.approx(plain.memory().total, rel=0.01)
    assert by_psutil.memory().available == pytest.approx(plain.memory().available, rel=0.2)
    assert by_psutil.cpu_count() == plain.cpu_count()
    assert by_psutil.allowed_cpu_count() == plain.allowed_cpu_count()
    times, plain_times = by_psutil.cpu_times(), plain.cpu_times()
    assert times is not None
    assert plain_times is not None
    assert times == pytest.approx(plain_times, abs=5)


# --- containers


def test_without_a_container_it_is_what_the_system_says(machine: Machine) -> None:
    assert machine.available_memory() == FREE
    assert machine.usable_cpus() == 8


def test_a_container_s_limit_counts(machine: Machine, groups: Path) -> None:
    (groups / "memory.max").write_text("3000000\n")
    (groups / "memory.current").write_text("1000000\n")
    assert machine.available_memory() == 2_000_000


def test_files_that_were_read_are_not_in_the_way(machine: Machine, groups: Path) -> None:
    (groups / "memory.max").write_text("3000000\n")
    (groups / "memory.current").write_text("2900000\n")
    (groups / "memory.stat").write_text("anon 400000\ninactive_file 2500000\nactive_file 7\n")
    assert machine.available_memory() == 2_600_000


def test_the_older_kind_of_container_counts_too(machine: Machine, groups: Path) -> None:
    (groups / "memory" / "memory.limit_in_bytes").write_text("5000000\n")
    (groups / "memory" / "memory.usage_in_bytes").write_text("4000000\n")
    (groups / "memory" / "memory.stat").write_text("inactive_file 1\ntotal_inactive_file 500000\n")
    assert machine.available_memory() == 1_500_000


def test_no_limit_is_no_limit(machine: Machine, groups: Path) -> None:
    (groups / "memory.max").write_text("max\n")
    (groups / "memory.current").write_text("1000000\n")
    assert machine.available_memory() == FREE


def test_a_full_container_has_nothing_left(machine: Machine, groups: Path) -> None:
    (groups / "memory.max").write_text("1000000\n")
    (groups / "memory.current").write_text("1200000\n")
    assert machine.available_memory() == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [("max 100000", 8), ("250000 100000", 2), ("50000 100000", 1), ("6400000 100000", 8)],
)
def test_a_container_s_cpus_count(machine: Machine, groups: Path, text: str, expected: int) -> None:
    (groups / "cpu.max").write_text(text + "\n")
    assert machine.usable_cpus() == expected


# --- CPUs that others keep busy


@pytest.mark.parametrize(
    ("busy", "free"), [(None, 8), (0.0, 8), (1.2, 7), (2.4, 7), (15.2, 1), (30.0, 1)]
)
def test_busy_cpus_are_spread_over_ours_and_the_rest(
    machine: Machine, busy: float | None, free: int
) -> None:
    """Eight of sixteen are ours."""
    assert machine.free_cpus(busy) == free


@pytest.mark.parametrize(("busy", "free"), [(0.0, 4), (8.0, 4), (10.0, 3), (16.0, 1)])
def test_a_container_s_quota_is_of_whatever_is_idle(
    machine: Machine, groups: Path, busy: float, free: int
) -> None:
    (groups / "cpu.max").write_text("400000 100000\n")
    assert machine.free_cpus(busy) == free


@pytest.mark.slow
@linux
def test_work_of_another_process_is_seen() -> None:
    program = "import time\nend = time.monotonic() + 20\nwhile time.monotonic() < end: pass"
    tick = os.sysconf("SC_CLK_TCK")
    others, used = WorkOfOthers(), 0.0
    with subprocess.Popen([sys.executable, "-c", program]) as busy:
        try:
            while used < 0.3:
                assert busy.poll() is None
                time.sleep(0.02)
                fields = Path(f"/proc/{busy.pid}/stat").read_text().rpartition(")")[2].split()
                used = int(fields[11]) / tick
            seen = others.seconds()
        finally:
            busy.kill()
    assert seen is not None
    assert seen >= used - 0.1


@pytest.mark.slow
def test_our_own_work_is_not_that_of_others() -> None:
    """Of 16 CPUs 10 s each: others 30 s, we as long as it takes to count some."""
    system = FixedSystem([CPUTimes(5, 5), CPUTimes(35, 165)])
    others, began = WorkOfOthers(Machine(system)), time.process_time()
    while time.process_time() < began + 0.3:
        pass
    assert others.seconds() == pytest.approx(29.7, abs=0.1)
    assert others.cpus() == pytest.approx(2.97, abs=0.01)


@pytest.mark.parametrize("times", [[None], [None, CPUTimes(1, 2)], [CPUTimes(1, 2), None]])
def test_what_the_system_does_not_say_is_not_known(times: list[CPUTimes | None]) -> None:
    others = WorkOfOthers(Machine(FixedSystem(times)))
    assert others.seconds() is None
    assert others.cpus() is None


def test_no_time_is_no_figure() -> None:
    assert WorkOfOthers(Machine(FixedSystem([CPUTimes(9, 18)]))).cpus() is None


# --- where psutil is missing


@linux
def test_without_psutil_linux_is_read_as_before(tmp_path: Path) -> None:
    tick = os.sysconf("SC_CLK_TCK")
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    2048 kB\n")
    (tmp_path / "stat").write_text(f"cpu {3 * tick} {tick} 0 {130 * tick} {tick} 0 0 {tick} 0 0\n")
    system = System(tmp_path)
    assert system.memory() == (2 << 20, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    assert system.cpu_times() == (5, 136)


@pytest.mark.parametrize("text", [None, "", "cpu\n", "cpu a b c d e f g h\n"])
def test_without_psutil_busy_cpus_may_be_unknown(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "stat").write_text(text)
    assert System(tmp_path).cpu_times() is None


PROGRAM = """
import logging, sys
logging.basicConfig(format="%(message)s", stream=sys.stdout)
sys.path.insert(0, {tests!r})
import conftest, os
{before}
from avatarvideo.host.machine import *
from avatarvideo.host.machine import usable_cpus, WorkOfOthers
print(available_memory(), total_memory(), usable_cpus(), WorkOfOthers().seconds() is not None)
print(available_memory() == {guess}, peak_memory() > 0)
"""
TESTS = Path(__file__).resolve().parents[1]
# What Linux has and the other systems have not; no file of /proc or of the control groups opens.
NOT_ON_WINDOWS = """
for name in ("sysconf", "sysconf_names", "sched_getaffinity"):
    vars(os).pop(name, None)
sys.modules["resource"] = None
"""
HIDE_PROC = """
def hide(event, arguments):
    if event == "open" and str(arguments[0]).startswith(("/proc", "/sys/fs/cgroup")):
        raise FileNotFoundError(2, "hidden", arguments[0])
sys.addaudithook(hide)
"""


def answers(before: str, **environment: str) -> list[str]:
    code = PROGRAM.format(tests=str(TESTS), before=before, guess=UNKNOWN_FREE)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    return done.stdout.splitlines()


@pytest.mark.slow
def test_without_psutil_it_is_said_once_and_guessed() -> None:
    said, figures, guessed = answers(f"sys.modules['psutil'] = None\n{HIDE_PROC}{NOT_ON_WINDOWS}")
    assert said.endswith("pip install psutil.")
    assert figures.split()[:2] == [str(UNKNOWN_FREE), "0"]
    assert guessed.split() == ["True", "False"]


@pytest.mark.slow
def test_a_hidden_proc_does_not_break_what_psutil_cannot_read() -> None:
    """On Linux psutil itself reads /proc."""
    *said, figures, _guessed = answers(HIDE_PROC)
    if sys.platform.startswith("linux"):
        assert len(said) == 1
    assert int(figures.split()[1]) > 1 << 28


# Frees 64 blocks of 4 MiB that the C library keeps for itself, since a later one is in use.
HELD_BACK = """
import numpy, runpy, sys, threading
return_memory = runpy.run_path(sys.argv[1])["return_memory"]
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096
def work():
    numpy.ones(31 << 20, numpy.uint8)  # freed at once: blocks below its size come from the heap
    blocks = [numpy.ones(4 << 20, numpy.uint8) for _ in range(64)]
    last = numpy.ones(1 << 16, numpy.uint8)
    before = resident()
    del blocks
    freed = resident()
    return_memory()
    print(before - freed, before - resident(), last.sum())
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


@linux
@pytest.mark.slow
def test_freed_memory_is_given_back_to_the_system() -> None:
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("this C library gives memory back by itself, or never")
    command = [sys.executable, "-c", HELD_BACK, MODULE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    by_itself, given_back, _ = map(int, done.stdout.split())
    assert by_itself < 200 << 20
    assert given_back > 250 << 20


def test_giving_memory_back_is_no_error_where_the_library_cannot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []

    class Musl:
        def __init__(self, name: object) -> None:
            asked.append(name)

    monkeypatch.setattr("ctypes.CDLL", Musl)
    return_memory()
    monkeypatch.setattr(sys, "platform", "win32")
    return_memory()
    assert len(asked) <= 1
