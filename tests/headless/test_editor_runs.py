"""Editor files run to their end without ComfyUI: what is in the file that comes out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from avatarvideo.cli.main import main
from avatarvideo.encoders.encoder import encode_frames
from avatarvideo.encoders.interfaces import EncodingConfig
from avatarvideo.encoders.read.probe import probe
from avatarvideo.encoders.read.video import VideoReader
from avatarvideo.media import parse_frame_rate
from support.editor_files import Editor

COLOUR = (200, 60, 90)


def ran(folder: Path, document: dict[str, Any]) -> Path:
    """Run a document by the command; return the only file it wrote."""
    (folder / "flow.json").write_text(json.dumps(document))
    places = ["--input-dir", str(folder), "--output-dir", str(folder / "out")]
    assert main(["run", str(folder / "flow.json"), *places]) == 0
    (made,) = (path for path in (folder / "out").rglob("*") if path.is_file())
    return made


def todays_file() -> dict[str, Any]:
    """A picture through a pair and a sub-graph to Save Video; a primitive says the rate."""
    inner = Editor().node(
        1, "CreateVideo", [30.0], inputs=["images:IMAGE", "fps:FLOAT*"], outputs=["VIDEO:VIDEO"]
    )
    inner.nodes[0]["inputs"][0]["link"], inner.nodes[0]["inputs"][1]["link"] = 1, 2
    ids = ("id", "origin_id", "origin_slot", "target_id", "target_slot")
    links = [(1, -10, 0, 1, 0), (2, -10, 1, 1, 1), (3, 1, 0, -20, 0)]
    graph = {
        "id": "0f1e2d3c-1111-4222-8333-444455556666",
        "inputNode": {"id": -10},
        "outputNode": {"id": -20},
        "inputs": [{"name": "images", "type": "IMAGE"}, {"name": "fps", "type": "FLOAT"}],
        "outputs": [{"name": "VIDEO", "type": "VIDEO"}],
        "nodes": inner.nodes,
        "links": [dict(zip(ids, link, strict=True)) for link in links],
    }
    editor = Editor().node(1, "LoadImage", ["a.png", "image"], outputs=["IMAGE:IMAGE"])
    editor.node(2, "SetNode", ["ava"], inputs=["IMAGE:IMAGE"], outputs=["*:*"])
    editor.node(3, "GetNode", ["ava"], outputs=["IMAGE:IMAGE"])
    editor.node(4, "Reroute (rgthree)", inputs=[":*"], outputs=[":*"])
    editor.node(5, graph["id"], [30.0], inputs=["images:IMAGE", "fps:FLOAT*"], outputs=["V:VIDEO"])
    editor.node(6, "PrimitiveNode", [10, "fixed"], outputs=["FLOAT:FLOAT"])
    editor.node(7, "SaveVideo", ["v", "mp4", "auto"], inputs=["video:VIDEO"])
    editor.node(8, "Fast Groups Bypasser (rgthree)", outputs=["OPT_CONNECTION:*"])
    editor.node(9, "Image Comparer (rgthree)", [[]], inputs=["image_a:IMAGE"])
    editor.node(10, "Nobody's", [1], title="Extra")
    for source, target, name in ((1, 2, "IMAGE"), (3, 4, ""), (4, 5, "images"), (6, 5, "fps")):
        editor.link(source, 0, target, name)
    editor.link(5, 0, 7, "video").link(1, 0, 9, "image_a")
    return editor.document(definitions={"subgraphs": [graph]})


def test_page_nodes_and_a_primitive_outside_a_sub_graph(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (64, 48), COLOUR).save(tmp_path / "a.png")

    made = ran(tmp_path, todays_file())

    assert probe(made).frame_rate == "10/1"
    shown = next(VideoReader(made).frames())
    assert shown.shape == (48, 64, 3)
    assert np.abs(shown.astype(int) - COLOUR).max() <= 4
    said = capsys.readouterr().err.splitlines()
    left_out = [line.split(" is left out")[0] for line in said if " is left out" in line]
    assert len(left_out) == 2
    assert left_out[0].endswith("Node 9 (Image Comparer (rgthree))")
    assert left_out[1].endswith('Node 10 "Extra" (Nobody\'s)')


@pytest.mark.slow_after(2)
@pytest.mark.parametrize("by_name", [True, False])
@pytest.mark.parametrize(("crf", "wanted"), [(51.0, b"crf=51"), (0.0, b"qp=0")])
def test_the_crf_of_an_editor_file_is_encoded_with(
    tmp_path: Path, crf: float, wanted: bytes, by_name: bool
) -> None:
    random = np.random.default_rng(1).integers(0, 256, (4, 48, 64, 3)).astype(np.uint8)
    plain = tmp_path / "plain.mp4"
    encode_frames(list(random), plain, frame_rate=parse_frame_rate(29.97), config=EncodingConfig())
    values = ["x", "mp4", "h264", "re-encode", crf]
    names = ["filename_prefix", "format", "format.codec", "format.codec.encoding"]
    named = dict(zip([*names, "format.codec.encoding.crf"], values, strict=True))
    more = {"widgets_values_named": named} if by_name else {}
    shifted = ["x", None, *values[1:]] if by_name else values
    editor = Editor().node(1, "LoadVideo", ["plain.mp4", "image"], outputs=["VIDEO:VIDEO"])
    editor.node(2, "SaveVideo", shifted, inputs=["video:VIDEO"], **more).link(1, 0, 2, "video")

    made = ran(tmp_path, editor.document())

    assert wanted in made.read_bytes()
    assert probe(made).frame_rate == "30000/1001"
    apart = np.abs(next(VideoReader(made).frames()).astype(int) - next(VideoReader(plain).frames()))
    assert (apart.max() <= 3) == (crf == 0)
    assert made.stat().st_size < plain.stat().st_size or crf == 0
