"""Rates and whole numbers into our nodes, and core's newest nodes out of editor files."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from avatarvideo.cli.main import main
from avatarvideo.encoders.encoder import encode_frames
from avatarvideo.encoders.read.probe import probe

Frames = Callable[[Path], np.ndarray]


def test_a_whole_number_links_into_fps(host: Any, talking: Any, frames_of: Frames) -> None:
    graph = talking(prefix="whole_fps", mode="static")
    graph["9"] = host.node("PrimitiveInt", value=10)
    graph["3"]["inputs"]["fps"] = ["9", 0]
    graph["4"] = host.node("FFmpegEncode", images=["3", 0], fps=["9", 0], filename_prefix="w")
    path = host.files(host.run(graph))[0]
    assert (probe(path).frame_rate, len(frames_of(path))) == ("10/1", 4)


def test_a_float_rate_is_exact_from_cores_create_video_on(host: Any, talking: Any) -> None:
    graph = talking(prefix="exact", mode="static", fps=0)
    graph["5"] = host.node("CreateVideo", images=["1", 1], fps=29.97)
    graph["3"]["inputs"]["avatar"] = ["5", 0]
    graph["6"] = host.node("FFmpegEncode", video=["5", 0], filename_prefix="direct")
    for path in host.files(host.run(graph)):
        assert probe(path).frame_rate == "30000/1001"


def test_create_video_is_lip_synced_and_saved_by_cores_newest_node(
    host: Any, talking: Any, frames_of: Frames
) -> None:
    if not host.definitions()["SaveVideo"].inputs["format"].branches:
        pytest.skip("this ComfyUI's Save Video has no crf")
    graph = talking(prefix="unused", mode="static", fps=0, seconds=1)
    del graph["4"]
    graph["5"] = host.node("CreateVideo", images=["1", 1], fps=29.97)
    graph["3"]["inputs"]["avatar"] = ["5", 0]
    nested = {"format": "mp4", "format.codec": "h264", "format.codec.encoding": "re-encode"}
    nested |= {"format.codec.encoding.crf": 30.0, "filename_prefix": "newest"}
    nested |= {"format.codec.encoding.color_space": "auto"}
    graph["6"] = host.node("SaveVideo", video=["3", 1], **nested)
    path = host.files(host.run(graph))[0]
    info = probe(path)
    assert (info.frame_rate, info.audio[0].codec, len(frames_of(path))) == ("30000/1001", "aac", 30)
    assert info.audio[0].duration_seconds == pytest.approx(1, abs=0.03)
    assert b"crf=30" in path.read_bytes()


@pytest.mark.parametrize("crf", [0.0, 51.0])
def test_an_editor_file_saves_with_its_crf_on_the_server(
    host: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], crf: float
) -> None:
    if not host.definitions()["SaveVideo"].inputs["format"].branches:
        pytest.skip("this ComfyUI's Save Video has no crf")
    noise = np.random.default_rng(1).integers(0, 255, (5, 64, 64, 3), np.uint8)
    encode_frames(noise, tmp_path / "plain.mp4", frame_rate=Fraction(25))
    named = {"filename_prefix": f"crf{crf:.0f}", "format": "mp4", "format.codec": "h264"}
    named |= {"format.codec.encoding": "re-encode", "format.codec.encoding.crf": crf}
    nodes = [
        {"id": 1, "type": "LoadVideo", "widgets_values": ["plain.mp4", "image"]},
        {
            "id": 2,
            "type": "SaveVideo",
            "inputs": [{"name": "video", "type": "VIDEO", "link": 1}],
            "widgets_values": [*named.values(), "auto"],
            "widgets_values_named": named,
        },
        {"id": 3, "type": "Label (rgthree)", "widgets_values": ["note"]},
        {"id": 4, "type": "NodeOfNobody", "widgets_values": [1]},
    ]
    document = {"nodes": nodes, "links": [[1, 1, 0, 2, 0, "VIDEO"]], "version": 0.4}
    (tmp_path / "flow.json").write_text(json.dumps(document))
    folders = ["--input-dir", str(tmp_path), "--output-dir", str(tmp_path / "out")]
    assert main(["run", str(tmp_path / "flow.json"), "--server", host.url, *folders]) == 0
    shown = capsys.readouterr()
    assert "Node 4 (NodeOfNobody) is left out" in shown.err
    path = Path(shown.out.strip())
    wanted = b"crf=51" if crf else b"qp=0"
    assert wanted in path.read_bytes()


def test_an_editor_file_of_today_runs_here_as_there(
    host: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not host.definitions()["SaveVideo"].inputs["format"].branches:
        pytest.skip("this ComfyUI's Save Video has no crf")
    samples = Path(__file__).resolve().parents[2] / "web" / "samples"
    (tmp_path / "head.mp4").write_bytes((samples / "talking_head.mp4").read_bytes())
    save = ["both", "mkv", "av1", "re-encode", 50, "auto", "auto"]
    nodes = [
        {"id": 1, "type": "LoadVideo", "widgets_values": ["head.mp4", "image"]},
        {
            "id": 2,
            "type": "SaveVideo",
            "inputs": [{"name": "video", "type": "VIDEO", "link": 1}],
            "widgets_values": save,
        },
    ]
    document = {"nodes": nodes, "links": [[1, 1, 0, 2, 0, "VIDEO"]], "version": 0.4}
    (tmp_path / "flow.json").write_text(json.dumps(document))
    for where in ([], ["--server", host.url]):
        folders = ["--input-dir", str(tmp_path), "--output-dir", str(tmp_path / f"out{len(where)}")]
        assert main(["run", str(tmp_path / "flow.json"), *folders, *where]) == 0
        path = Path(capsys.readouterr().out.strip())
        with av.open(str(path)) as container:
            names = (container.format.name, container.streams.video[0].codec.canonical_name)
        assert names == ("matroska,webm", "av1")
