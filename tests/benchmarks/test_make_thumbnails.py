"""The pictures of the template browser are drawn on demand only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def pictures() -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (ROOT / "workflows").glob("*.jpg")}


@pytest.mark.slow
def test_asking_for_help_draws_nothing() -> None:
    before = pictures()
    command = [sys.executable, str(ROOT / "benchmarks" / "make_thumbnails.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--output FOLDER" in done.stdout
    assert before
    assert pictures() == before
