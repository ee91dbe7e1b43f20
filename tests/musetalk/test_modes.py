"""The table of modes: what it costs to add one, and what a mode that cannot says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from avatarvideo.encoders.encoder import encode_frames

ROOT = Path(__file__).resolve().parents[2]
ROW = '    "toy": "turns the picture upside down",\n'
TOY = """
import numpy as np

from ..job import Job, Made, NotPossible
from ..source_frames import read_frames
from .context import Context


def make(job: Job, context: Context) -> Made | NotPossible:
    if not job.avatar.is_still:
        return NotPossible("only a picture can be turned")
    return Made(
        open_frames=lambda: (frame[::-1].copy() for frame in read_frames(job.avatar, job.indices)),
        mask=np.ones((job.avatar.height, job.avatar.width), np.float32),
        passed_through=np.zeros(job.indices.size, bool),
        location=context.location(job),
        reason="a picture can be turned",
    )
"""
SCRIPT = """
import json, sys
import avatarvideo
from avatarvideo.errors import AvatarVideoError
from avatarvideo.musetalk import LipSyncConfig, MuseTalkLipSync
from avatarvideo.musetalk.inputs import load_avatar, load_speech
from avatarvideo.nodes import MuseTalkLipSync as Node

picture, video, speech = sys.argv[1:]
engine, speech = MuseTalkLipSync(), load_speech(speech)
asked = engine.run(load_avatar(picture), speech, LipSyncConfig(mode="toy"))
auto = engine.run(load_avatar(picture), speech)
moving = engine.run(load_avatar(video), speech)
try:
    engine.run(load_avatar(video), speech, LipSyncConfig(mode="toy"))
except AvatarVideoError as error:
    refusal = str(error)
kind, options = Node.INPUT_TYPES()["required"]["mode"]
print(json.dumps({
    "package": avatarvideo.__file__,
    "modes": [asked.mode, auto.mode, moving.mode],
    "reasons": [run.report["reason"] for run in (asked, auto, moving)],
    "turned": bool((next(asked.open_frames()) == load_avatar(picture).first_frame()[::-1]).all()),
    "refusal": refusal,
    "choices": kind,
    "help": options["tooltip"],
}))
"""


@pytest.fixture
def with_toy(tmp_path: Path) -> Any:
    """Run Python on a copy of the package that has one more file and one more row."""
    copy = tmp_path / "copy" / "avatarvideo"
    leave = shutil.ignore_patterns(".*", "__pycache__", "tests", "benchmarks", "output", "shared")
    shutil.copytree(ROOT, copy, ignore=leave)
    table = copy / "musetalk" / "modes" / "__init__.py"
    first = '    "puppet": '
    assert table.read_text().count(first) == 1
    table.write_text(table.read_text().replace(first, ROW + first))
    (table.parent / "toy.py").write_text("from __future__ import annotations\n" + TOY)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        path = f"{copy.parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        kept = {"HOME": str(tmp_path), "AVATAR_MODELS": str(tmp_path), "PYTHONPATH": path}
        return subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            env=os.environ | kept,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_a_mode_is_one_file_and_one_row(
    with_toy: Any, clips: Any, picture: Path, tone: Path, tmp_path: Path
) -> None:
    video = tmp_path / "moving.mp4"
    encode_frames(clips.frames(".."), video, frame_rate=Fraction(25))
    found = with_toy("-c", SCRIPT, str(picture), str(video), str(tone))
    assert found.returncode == 0, found.stderr
    told = json.loads(found.stdout)
    assert told["package"].startswith(str(tmp_path))
    assert told["choices"] == ["auto", "musetalk", "toy", "puppet", "static"]
    assert "; toy turns the picture upside down; " in told["help"]
    missing = "MuseTalk's files are not installed"
    assert told["modes"] == ["toy", "toy", "static"]
    assert told["reasons"][:2] == ["a picture can be turned", f"{missing}; a picture can be turned"]
    assert told["reasons"][2].startswith(f"{missing}; only a picture can be turned; ")
    assert told["refusal"] == (
        "Expected the mode toy to be possible, but only a picture can be turned: "
        "choose another one."
    )
    assert told["turned"]


def test_the_command_offers_the_new_mode(
    with_toy: Any, picture: Path, tone: Path, tmp_path: Path
) -> None:
    made = with_toy(
        *("-m", "avatarvideo", "video", "lipsync", str(picture), str(tone)),
        *("-o", "out.mp4", "--mode", "toy"),
    )
    assert (made.returncode, made.stderr) == (0, "Mode toy: a picture can be turned\n")
    assert (tmp_path / "out.mp4").is_file()


def test_options_know_the_modes_without_importing_one() -> None:
    code = (
        "import sys; from avatarvideo.musetalk.interfaces import LipSyncConfig;"
        "from avatarvideo.options import options_of;"
        "print(options_of(LipSyncConfig)['mode'].choices);"
        "print([m for m in sys.modules if m == 'torch' or 'musetalk.modes.' in m])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "('auto', 'musetalk', 'puppet', 'static')\n[]\n"
