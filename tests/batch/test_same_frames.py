"""Frames are equal to the bit in whatever process they are made, with threads fixed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.small_jobs import (
    FRAMES,
    MOUTH,
    frames_of,
    lines_of,
    row,
    tiny_environment,
    write_inputs,
    write_list,
    write_planted,
)

PLANTED = {"avatar": "planted.png", "mode": "musetalk"}


def twelve_rows() -> list[dict[str, Any]]:
    """Return three rows of each kind: musetalk, puppet, static, and static with a second voice."""
    rows: list[dict[str, Any]] = []
    for speech in range(3):
        puppet = {"mode": "puppet", "mouth": MOUTH}
        speaker = {"audio": f"speech{2 - speech}.wav", "face": "1"}
        rows.append(row(f"musetalk{speech}.mp4", speech=speech) | PLANTED)
        rows.append(row(f"puppet{speech}.mp4", avatar=speech % 2, speech=speech) | puppet)
        rows.append(row(f"static{speech}.mp4", avatar=speech % 2, speech=speech))
        rows.append(row(f"two{speech}.mp4", speech=speech) | {"speakers": [speaker]})
    return rows


def made(folder: Path, name: str, workers: int) -> dict[str, str]:
    """Make the list in a process of its own, and return the mode of each row."""
    command = [sys.executable, "-m", "avatarvideo", "batch", "jobs.jsonl"]
    command += ["--output-dir", name, "--workers", str(workers), "--threads", "1"]
    done = subprocess.run(
        command, cwd=folder, env=tiny_environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return {one["output"]: one["mode"] for one in lines_of(folder / name / "results.jsonl")}


@pytest.mark.slow
def test_twelve_rows_are_the_same_in_this_process_and_in_others(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    write_planted(tmp_path / "planted.png")
    rows = twelve_rows()
    write_list(tmp_path / "jobs.jsonl", rows)
    modes = made(tmp_path, "here", 0)
    assert modes == {one["output"]: one["mode"] for one in rows}
    assert made(tmp_path, "there", 2) == modes
    for name in modes:
        frames = frames_of(tmp_path / "here" / name)
        assert len(frames) == FRAMES
        assert np.array_equal(frames, frames_of(tmp_path / "there" / name)), name
