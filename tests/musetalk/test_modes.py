"""The table of modes: what a mode that cannot says, and who knows the table."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from avatarvideo.encoders.encoder import encode_frames
from avatarvideo.musetalk.modes import MODES
from support.worked_examples import Copy, steps_of

SCRIPT = """
import json, sys
import avatarvideo
from avatarvideo.errors import AvatarVideoError
from avatarvideo.musetalk import LipSyncConfig, MuseTalkLipSync
from avatarvideo.musetalk.inputs import load_avatar, load_speech
from avatarvideo.nodes import MuseTalkLipSync as Node

picture, video, speech = sys.argv[1:]
engine, speech = MuseTalkLipSync(), load_speech(speech)
asked = engine.run(load_avatar(picture), speech, LipSyncConfig(mode="nod"))
auto = engine.run(load_avatar(picture), speech)
moving = engine.run(load_avatar(video), speech)
try:
    engine.run(load_avatar(video), speech, LipSyncConfig(mode="nod"))
except AvatarVideoError as error:
    refusal = str(error)
still = load_avatar(picture).first_frame()
kind, options = Node.INPUT_TYPES()["required"]["mode"]
print(json.dumps({
    "package": avatarvideo.__file__,
    "modes": [asked.mode, auto.mode, moving.mode],
    "reasons": [run.report["reason"] for run in (asked, auto, moving)],
    "lowest": max(
        shift for shift in range(still.shape[0] // 10) for frame in asked.open_frames()
        if (frame[shift:] == still[:len(still) - shift]).all()
    ),
    "refusal": refusal,
    "choices": kind,
    "help": options["tooltip"],
}))
"""


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """A copy of the package that has one more file and one more row, those of docs/ADDING.md."""
    copy = Copy(tmp_path / "with nod")
    for step in steps_of("An engine"):
        if step.path.startswith("musetalk/"):
            copy.write(step)
    return copy


@pytest.mark.slow
def test_a_mode_is_one_file_and_one_row(
    copy: Copy, clips: Any, picture: Path, tone: Path, tmp_path: Path
) -> None:
    video = tmp_path / "moving.mp4"
    encode_frames(clips.frames(".."), video, frame_rate=Fraction(25))
    found = copy.run(sys.executable, "-c", SCRIPT, str(picture), str(video), str(tone))
    assert found.returncode == 0, found.stdout
    told = json.loads(found.stdout)
    assert told["package"].startswith(str(copy.root))
    assert told["choices"] == ["auto", "musetalk", "nod", "puppet", "static"]
    assert "; nod nods with the speech; " in told["help"]
    missing = "MuseTalk's files are not installed"
    assert told["modes"] == ["nod", "nod", "static"]
    assert told["reasons"][:2] == ["a whole picture can nod", f"{missing}; a whole picture can nod"]
    assert told["reasons"][2].startswith(f"{missing}; only a whole picture can nod; ")
    assert told["refusal"] == (
        "Expected the mode nod to be possible, but only a whole picture can nod: "
        "choose another one."
    )
    assert told["lowest"] == 180 * 0.05


def test_options_know_the_modes_without_importing_one() -> None:
    code = (
        "import sys; from avatarvideo.musetalk.interfaces import LipSyncConfig;"
        "from avatarvideo.options import options_of;"
        "print(options_of(LipSyncConfig)['mode'].choices);"
        "print([m for m in sys.modules if m == 'torch' or 'musetalk.modes.' in m])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == f"{('auto', *MODES)}\n[]\n"
