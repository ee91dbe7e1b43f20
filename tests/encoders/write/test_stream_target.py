from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

MakeVideo = Callable[..., Path]


def test_x264_works_on_several_pictures_at_once(tmp_path: Path, make_video: MakeVideo) -> None:
    # It writes its settings into the file; slices make it wait for each picture and files larger.
    path = make_video(tmp_path / "a.mp4", 3, size=(64, 64))
    settings = re.search(rb"x264 - core \d+.*?options: ([^\0]+)", path.read_bytes())

    assert settings is not None
    assert b"sliced_threads=0" in settings[1]
