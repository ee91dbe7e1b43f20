"""What is refused before a run, and paths and results where the user wants them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from avatarvideo.encoders.read.probe import probe
from avatarvideo.errors import GraphError
from avatarvideo.nodes.widgets import SAMPLES_DIRECTORY


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"codec": "prores", "container": "mp4"}, r"holds prores \(mov, mkv\), got mp4"),
        ({"filename_prefix": "../outside"}, "Expected a file name inside"),
        ({"codec": "h269"}, "Expected codec auto, copy, h264"),
        ({"format": "user/gone"}, "Expected a format of"),
    ],
)
def test_what_cannot_work_is_refused_before_the_lips_move(
    host: Any, talking: Any, given: dict[str, str], why: str
) -> None:
    graph, before = talking(mode="static"), host.everything_written()
    graph["4"]["inputs"] |= given
    with pytest.raises(GraphError, match=why):
        host.run(graph)
    assert host.get("/queue") == {"queue_running": [], "queue_pending": []}
    assert host.everything_written() == before


@pytest.mark.parametrize(
    ("audio", "why"),
    [
        ("silent.mp4", r"'silent\.mp4' is a video without sound"),
        ("", "link speech or choose a file"),
    ],
)
def test_what_cannot_be_heard_is_refused_before_the_run(
    host: Any, talking: Any, audio: str, why: str
) -> None:
    shutil.copy(SAMPLES_DIRECTORY / "talking_head.mp4", host.base / "input" / "silent.mp4")
    graph = talking(mode="static")
    graph["2"]["inputs"]["audio"] = audio
    started: list[object] = []
    with pytest.raises(GraphError, match=why):
        host.run(graph, started.append)
    assert started == []


def test_a_linked_text_names_the_avatar(host: Any, talking: Any) -> None:
    shutil.copy(SAMPLES_DIRECTORY / "talking_head.mp4", host.base / "input" / "me.mp4")
    graph = talking(prefix="by_path", mode="static", fps=0)
    graph["9"] = host.node("PrimitiveString", value="me.mp4")
    graph["1"]["inputs"] |= {"avatar": "gone.png", "path": ["9", 0]}
    path = host.files(host.run(graph))[0]
    clip = probe(SAMPLES_DIRECTORY / "talking_head.mp4")
    assert (probe(path).width, probe(path).height) == (clip.width, clip.height)
    graph["9"]["inputs"]["value"] = "nobody.mp4"
    with pytest.raises(GraphError, match=r"nobody\.mp4"):
        host.run(graph)


def test_a_result_to_look_at_lies_in_the_temp_folder(host: Any, talking: Any) -> None:
    graph = talking(prefix="only_shown", mode="static")
    graph["4"]["inputs"] |= {"save_output": False, "container": "gif", "pingpong": True}
    graph["4"]["inputs"]["loop_count"] = 2
    run = host.run(graph)
    path: Path = host.files(run)[0]
    assert path.parent == host.base / "temp"
    assert "Not saved" in " ".join(run.outputs["4"]["text"])
    assert not list((host.base / "output").glob("only_shown*"))
    with Image.open(path) as picture:
        assert picture.info["loop"] == 1


def test_a_second_run_encodes_nothing(host: Any, talking: Any) -> None:
    graph = talking(prefix="twice", mode="static")
    first, made = host.files(host.run(graph)), host.everything_written()
    assert host.files(host.run(graph)) == first
    assert host.everything_written() == made
