"""A batch that is killed again and again loses nothing and makes nothing twice: a small run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "batch.py"
NEEDS_RAY = pytest.mark.skipif(find_spec("ray") is None, reason="needs ray (the extra ray)")


def run(*arguments: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, str(BENCHMARK), *arguments, "--json"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kills as POSIX does")
@pytest.mark.parametrize("more", [[], pytest.param(["--ray"], marks=NEEDS_RAY)])
def test_30_jobs_and_4_kills(more: list[str]) -> None:
    """On processes, and on a cluster of two nodes; of seed 3 are drivers and workers killed."""
    found = run("kills", "--jobs", "30", "--avatars", "4", "--kills", "4", "--seed", "3", *more)
    killed = found.pop("killed")
    assert isinstance(killed, dict)
    assert sum(killed.values()) == 4
    assert found.pop("starts") == 1 + killed.get("driver", 0)
    assert found == {
        "jobs": 30,
        "exit_status": 0,
        "lost": 0,
        "finished_twice": 0,
        "half": 0,
        "left_over": [],
        "lines_twice": 0,
        "made_by_a_last_start": 0,
    }


@pytest.mark.slow
def test_a_list_is_checked_against_a_ledger() -> None:
    found = run("check", "--rows", "200")
    assert (found["rows"], found["finished_before"], found["made"]) == (200, 199, 1)
