from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from avatarvideo.host import system_processors
from avatarvideo.host.system_processors import WorkOfOthers, free_processors, our_processors


@pytest.fixture
def limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 16 processors of which 8 are ours, and its container's limits."""
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(system_processors, "CONTAINER_LIMITS", tmp_path / "cpu.max")
    return tmp_path / "cpu.max"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("max 100000", 8), ("250000 100000", 2), ("50000 100000", 1), ("6400000 100000", 8)],
)
def test_a_containers_limit_counts(limits: Path, text: str, expected: int) -> None:
    limits.write_text(text + "\n")
    assert our_processors() == expected


def test_without_a_limit_it_is_what_the_system_gives(
    limits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert our_processors() == 8
    monkeypatch.delattr(os, "sched_getaffinity")
    assert our_processors() == 16


@pytest.mark.parametrize(
    ("busy", "free"), [(None, 8), (0.0, 8), (1.2, 7), (2.4, 7), (15.2, 1), (30.0, 1)]
)
def test_busy_processors_are_spread_over_ours_and_the_rest(
    limits: Path, busy: float | None, free: int
) -> None:
    """Eight of sixteen are ours."""
    assert free_processors(busy) == free


@pytest.mark.parametrize(("busy", "free"), [(0.0, 4), (8.0, 4), (10.0, 3), (16.0, 1)])
def test_a_containers_quota_is_of_whatever_is_idle(limits: Path, busy: float, free: int) -> None:
    limits.write_text("400000 100000\n")
    assert free_processors(busy) == free


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux says it")


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


@linux
def test_our_own_work_is_not_that_of_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of 16 processors 10 s each: others 30 s, we as long as it takes to count some."""
    statistics = tmp_path / "stat"
    monkeypatch.setattr(system_processors, "STATISTICS", statistics)
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    tick = os.sysconf("SC_CLK_TCK")
    statistics.write_text(f"cpu {5 * tick} 0 0 0 0 0 0 0 0 0\n")
    others, began = WorkOfOthers(), time.process_time()
    while time.process_time() < began + 0.3:
        pass
    statistics.write_text(f"cpu {20 * tick} {5 * tick} 0 {130 * tick} 0 0 0 {10 * tick} 0 0\n")
    assert others.seconds() == pytest.approx(29.7, abs=0.1)
    assert others.processors() == pytest.approx(2.97, abs=0.01)


@pytest.mark.parametrize("text", ["", "cpu\n", "cpu a b c d e f g h\n"])
def test_what_the_system_does_not_say_is_not_known(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    monkeypatch.setattr(system_processors, "STATISTICS", tmp_path / "stat")
    for _ in range(2):
        others = WorkOfOthers()
        assert others.seconds() is None
        assert others.processors() is None
        (tmp_path / "stat").write_text(text)


def test_no_time_is_no_figure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(system_processors, "STATISTICS", tmp_path / "stat")
    (tmp_path / "stat").write_text("cpu 9 9 9 9 9 9 9 9 9 9\n")
    assert WorkOfOthers().processors() is None
