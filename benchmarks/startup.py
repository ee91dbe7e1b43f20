"""How long until the first frame and until a clip of two seconds, from the start of the process.

    python benchmarks/startup.py
    python benchmarks/startup.py --models DIR --rounds 3 --json    # MuseTalk too, with these files
    python benchmarks/startup.py --models DIR --quality medium low --only "musetalk, first frame"

Every run is the command line in a process of its own, as a user starts it; a clip of one frame is
the first frame. "torch" only imports PyTorch: what everything but the help has to wait for.
DIR: what ``make_random_checkpoints.py`` writes, or the published files; ``avatar models convert``
puts safetensors beside them, and low wants ``--only taesd`` of them too. Rounds take turns; medians
of those in which others kept still. Ends with 1 where the help took more than 0.3 s.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from alternating import Comparison, in_turns

SAMPLES = Path(__file__).resolve().parent.parent / "web" / "samples"
FRAME, CLIP = 0.04, 2.0  # seconds of speech: one frame at 25 a second, and fifty
HELP_GOAL = 0.3  # seconds


def python(*arguments: str, models: Path | None = None) -> Callable[[], object]:
    """Return what runs our interpreter and fails when that does."""
    # Without what another run prepared.
    surroundings = {**os.environ, "AVATAR_MODELS": str(models or ""), "AVATAR_CACHE": ""}

    def run() -> None:
        done = subprocess.run(
            [sys.executable, *arguments], env=surroundings, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(done.stderr)

    return run


def speaking(
    seconds: float, folder: Path, models: Path | None = None, quality: str = "medium"
) -> Callable[[], object]:
    """Return what lets the bundled portrait speak for so long."""
    files = [str(SAMPLES / "portrait.png"), str(SAMPLES / "speech.flac")]
    options = ["--mode", "musetalk" if models else "puppet", "--duration", str(seconds)]
    output = ["--output", str(folder / "out.mp4")]
    options += ["--quality", quality]
    command = ["-m", "avatarvideo", "video", "lipsync", *files, *output, *options]
    return python(*command, models=models)


def runs(
    folder: Path, models: Path | None, qualities: Sequence[str]
) -> dict[str, Callable[[], object]]:
    """Return everything that is timed, by name."""
    timed = {
        "help": python("-m", "avatarvideo", "--help"),
        "torch": python("-c", "import torch"),
        "puppet, first frame": speaking(FRAME, folder),
        "puppet, 2 s": speaking(CLIP, folder),
    }
    for quality in qualities if models is not None else ():
        timed[f"musetalk, first frame, {quality}"] = speaking(FRAME, folder, models, quality)
        timed[f"musetalk, 2 s, {quality}"] = speaking(CLIP, folder, models, quality)
    return timed


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", type=Path, help="a folder of MuseTalk's files")
    parser.add_argument(
        "--quality", nargs="+", choices=("high", "medium", "low"), default=["medium"]
    )
    parser.add_argument("--only", default="", help="what the name begins with")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        timed = runs(Path(name), options.models and options.models.resolve(), options.quality)
        timed = {run: do for run, do in timed.items() if run.startswith(options.only)}
        comparison = in_turns(options.rounds, timed)
    report = {"seconds": seconds_of(comparison, list(timed)), **comparison.contention()}
    report["processor_seconds"] = {run: round(comparison.cpu(run), 3) for run in timed}
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        for run, seconds in report["seconds"].items():
            spent = report["processor_seconds"][run]
            print(f"{run:>29}: {seconds:8.3f} s, {spent:8.3f} s of processors")
        if report["contended"]:
            print("(the machine was busy, or the rounds were fewer than three)")
    return 0 if report["seconds"].get("help", 0.0) <= HELP_GOAL else 1


def seconds_of(comparison: Comparison, names: list[str]) -> dict[str, Any]:
    return {name: round(comparison.wall(name), 3) for name in names}


if __name__ == "__main__":
    sys.exit(main())
