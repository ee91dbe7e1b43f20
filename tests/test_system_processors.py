from __future__ import annotations

import os
from pathlib import Path

import pytest

from avatarvideo import system_processors
from avatarvideo.system_processors import our_processors


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
