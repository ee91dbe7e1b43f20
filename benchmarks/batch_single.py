"""How much faster a job is in one `avatar batch` than in a command of its own.

What ``batch.py single`` runs: short jobs of one avatar in mode musetalk, with tiny networks.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import clone  # noqa: F401

from support.small_jobs import row, tiny_environment, write_inputs, write_list, write_planted

MAIN = "avatarvideo.cli.main"


def single(folder: Path, jobs: int, commands: int) -> dict[str, Any]:
    """Make jobs in one command, and some of them in commands of their own; return the seconds."""
    write_inputs(folder)
    write_planted(folder / "planted.png")
    planted = {"avatar": "planted.png", "mode": "musetalk"}
    rows = [row(f"{number}.mp4", speech=number % 3) | planted for number in range(jobs)]
    write_list(folder / "jobs.jsonl", rows)
    together = seconds_of(folder, "batch", "jobs.jsonl", "--output-dir", "out", "--workers", "1")
    reports = [json.loads(path.read_text()) for path in (folder / "out").glob("*.report.json")]
    alone = sum(
        seconds_of(folder, "video", "lipsync", "planted.png", f"speech{number % 3}.wav")
        for number in range(commands)
    )
    return {
        "jobs": jobs,
        "commands": commands,
        "made_by_musetalk": sum(report["mode"] == "musetalk" for report in reports),
        "seconds_a_job": round(together / jobs, 3),
        "seconds_a_command": round(alone / commands, 3),
        "times_as_fast": round(alone / commands / (together / jobs), 2),
    }


def seconds_of(folder: Path, *arguments: str) -> float:
    """Run our command from its start to its end."""
    script = f"import sys; from {MAIN} import main; sys.exit(main())"
    more: list[str] = []
    if arguments[0] == "video":
        more = ["--output", "alone.mp4", "--mode", "musetalk", "--quality", "low"]
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", script, *arguments, *more],
        cwd=folder,
        env=tiny_environment(),
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - began
