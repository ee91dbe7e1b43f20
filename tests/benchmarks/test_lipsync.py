"""What computes beside the compared networks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
# Starts the load as the benchmark does, says so, and waits to be killed.
STARTS_A_LOAD = """
import sys
import lipsync
lipsync.BUSY_AFTER = 0.5
with lipsync.beside("loop"):
    print("computing", flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
def test_what_computes_beside_ends_with_a_benchmark_that_is_killed() -> None:
    pipe = subprocess.PIPE
    program = [sys.executable, "-c", STARTS_A_LOAD]
    with subprocess.Popen(program, cwd=BENCHMARKS, stdin=pipe, stdout=pipe) as benchmark:
        assert benchmark.stdout is not None
        assert benchmark.stdout.readline().strip() == b"computing"
        benchmark.kill()
        # The load holds this pipe open too, so that there is an end only when it ends.
        assert benchmark.stdout.read() == b""
