from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

MakeVideo = Callable[..., Path]


def test_x264_works_on_several_pictures_at_once(tmp_path: Path, make_video: MakeVideo) -> None:
    # It writes its settings into the file; slices make it wait for each picture and files larger.
    path = make_video(tmp_path / "a.mp4", 3, size=(64, 64))
    settings = re.search(rb"x264 - core \d+.*?options: ([^\0]+)", path.read_bytes())

    assert settings is not None
    assert b"sliced_threads=0" in settings[1]


@pytest.mark.slow
@pytest.mark.parametrize(("wanted", "is_told"), [({}, False), ({"SVT_LOG": "3"}, True)])
def test_svt_av1_prints_its_settings_only_to_who_asks(
    tmp_path: Path, make_video: MakeVideo, wanted: dict[str, str], is_told: bool
) -> None:
    source = make_video(tmp_path / "a.mp4", 1, size=(64, 64))
    # It reads the variable once in a process.
    done = subprocess.run(
        [
            *(sys.executable, "-m", "avatarvideo", "video", "encode"),
            *(str(source), "-o", str(tmp_path / "b.mp4"), "--codec", "av1"),
        ],
        env={name: value for name, value in os.environ.items() if name != "SVT_LOG"} | wanted,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ("Svt[" in done.stderr) == is_told
