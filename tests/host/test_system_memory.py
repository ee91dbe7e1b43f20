"""What is left of memory, containers included."""

from __future__ import annotations

from pathlib import Path

import pytest

from avatarvideo.host import system_memory
from avatarvideo.host.system_memory import available_memory, peak_memory, total_memory


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(system_memory, "CONTROL_GROUPS", tmp_path)
    (tmp_path / "memory").mkdir()
    return tmp_path


def test_this_machine_has_some_and_not_more_than_all() -> None:
    assert 0 < available_memory() <= total_memory()
    assert peak_memory() > 1 << 20


def test_a_container_s_limit_counts(groups: Path) -> None:
    (groups / "memory.max").write_text("3000000\n")
    (groups / "memory.current").write_text("1000000\n")
    assert available_memory() == 2_000_000


def test_files_that_were_read_are_not_in_the_way(groups: Path) -> None:
    (groups / "memory.max").write_text("3000000\n")
    (groups / "memory.current").write_text("2900000\n")
    (groups / "memory.stat").write_text("anon 400000\ninactive_file 2500000\nactive_file 7\n")
    assert available_memory() == 2_600_000


def test_the_older_kind_of_container_counts_too(groups: Path) -> None:
    (groups / "memory" / "memory.limit_in_bytes").write_text("5000000\n")
    (groups / "memory" / "memory.usage_in_bytes").write_text("4000000\n")
    (groups / "memory" / "memory.stat").write_text("inactive_file 1\ntotal_inactive_file 500000\n")
    assert available_memory() == 1_500_000


def test_no_limit_is_no_limit(groups: Path) -> None:
    before = available_memory()
    (groups / "memory.max").write_text("max\n")
    (groups / "memory.current").write_text("1000000\n")
    assert available_memory() > before / 2
