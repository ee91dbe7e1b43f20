"""`avatar batch --server` on a real ComfyUI: the same frames as without, and nothing twice."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np

from support.small_jobs import FRAMES, MOUTH, frames_of, left_over, row, write_inputs, write_list

from .conftest import ROOT, RealHost


def batch(host: RealHost, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command with the server's own Python, which has the same libraries."""
    command = [host.python, str(ROOT), "batch", "jobs.jsonl", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_rows_on_a_server_have_the_frames_of_rows_made_here(host: RealHost, tmp_path: Path) -> None:
    write_inputs(tmp_path)
    rows = [row(f"still{n}.mp4", n % 2, n) for n in range(3)]
    rows += [row(f"puppet{n}.mp4", n % 2, n, mode="puppet", mouth=MOUTH) for n in range(3)]
    write_list(tmp_path / "jobs.jsonl", rows)
    here = batch(host, tmp_path, "--output-dir", "here", "--workers", "0")
    assert here.returncode == 0, here.stderr
    there = batch(host, tmp_path, "--output-dir", "there", "--server", host.url)
    assert there.returncode == 0, there.stderr
    for one in rows:
        name = one["output"]
        made, wanted = (frames_of(tmp_path / folder / name) for folder in ("there", "here"))
        assert np.array_equal(made, wanted), name
        report = json.loads((tmp_path / "there" / f"{name}.report.json").read_text())
        assert (report["server"], report["mode"], report["frame_count"]) == (
            host.url,
            one["mode"],
            FRAMES,
        )
    assert left_over(tmp_path / "there") == []
    again = batch(host, tmp_path, "--output-dir", "there", "--server", host.url)
    assert "6 jobs: 0 made, 6 finished before" in again.stdout + again.stderr


def test_what_a_server_refuses_is_that_rows_failure(host: RealHost, tmp_path: Path) -> None:
    write_inputs(tmp_path)
    rows = [row("a.mp4", mode="puppet"), row("b.mp4"), row("c.mp4", threads=2)]
    write_list(tmp_path / "jobs.jsonl", rows)
    options = "--output-dir", "out", "--server", host.url, "--keep-going"
    done = batch(host, tmp_path, *options)
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert "Line 3: Expected no threads for a ComfyUI server" in said
    assert "Line 1: a.mp4: " in said
    assert "The puppet needs lips, but no face was found" in said
    assert [path.name for path in (tmp_path / "out").glob("*.mp4")] == ["b.mp4"]
