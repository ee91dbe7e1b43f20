"""The templates: each opens complete in the editor and runs from the same file without it."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from avatarvideo import __version__
from avatarvideo.cli.main import main
from avatarvideo.encoders.read.probe import probe
from avatarvideo.headless.prompt import NodeDefinition, definitions
from avatarvideo.headless.run import load_workflow, node_table
from avatarvideo.headless.validate import validate
from avatarvideo.headless.widget_places import places
from avatarvideo.host.current import set_host

FOLDER = Path(__file__).resolve().parent.parent / "workflows"
FILES = sorted(FOLDER.glob("*.json"))
SECONDS = 0.4  # of speech in these runs: 10 frames
MADE = {  # workflow -> frames of each file that it leaves
    "check_face_and_speech": [],
    "compare_modes": [10, 10],
    "dub_a_video": [75],  # the whole video, with closed lips after the speech
    "encode_and_inspect": [75],
    "frames_for_other_nodes": [10],
    "talking_avatar": [10],
    "talking_avatar_app": [10],
    "two_speakers": [10],
}
NEED_MESH = {"two_speakers"}  # people are told apart by the face mesh
PAGE_ONLY = {"MarkdownNote"}
MAX_THUMBNAIL = 60_000  # bytes

pytestmark = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def declared() -> dict[str, NodeDefinition]:
    nodes, names = node_table()
    return definitions(nodes, names)


def nodes_of(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8"))["nodes"]


def test_the_page_accepts_its_head(path: Path) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    assert str(uuid.UUID(document["id"])) == document["id"]
    assert document["version"] == 0.4
    assert document["last_node_id"] == max(node["id"] for node in document["nodes"])
    assert document["last_link_id"] == max(link[0] for link in document["links"])
    others = [json.loads(other.read_text())["id"] for other in FILES if other != path]
    assert document["id"] not in others


def test_no_node_covers_another(path: Path) -> None:
    # In Nodes 2.0 a widget takes 27 pixels, a row of sockets 15; a title stands above its node.
    table, boxes = declared(), []
    for node in nodes_of(path):
        (left, top), (width, height) = node["pos"], node["size"]
        known = table.get(node["type"])
        widgets = len(node.get("widgets_values") or ())
        rows = 0 if known is None else len(known.inputs) - widgets
        assert known is None or height >= 27 * widgets + 15 * rows, node["type"]
        boxes.append((left, top - 40, left + width, top + height))
    for index, (left, top, right, bottom) in enumerate(boxes):
        for other in boxes[:index]:
            apart = left >= other[2] or right <= other[0] or top >= other[3] or bottom <= other[1]
            assert apart, (boxes[index], other)


def test_a_note_says_what_it_is_for(path: Path) -> None:
    notes = [node for node in nodes_of(path) if node["type"] == "MarkdownNote"]
    assert len(notes) == 1
    text = notes[0]["widgets_values"][0]
    title = path.stem.replace("_", " ").capitalize()
    assert text.startswith(f"## {title}")
    assert 80 < len(text) < 700


def test_a_small_square_picture_lies_beside_it(path: Path) -> None:
    thumbnail = path.with_suffix(".jpg")
    assert thumbnail.stat().st_size < MAX_THUMBNAIL
    with Image.open(thumbnail) as picture:
        assert (picture.format, picture.width) == ("JPEG", picture.height)
    others = [other.with_suffix(".jpg") for other in FILES if other != path]
    assert thumbnail.read_bytes() not in [other.read_bytes() for other in others]


def test_every_value_has_a_place_and_every_place_a_value(path: Path) -> None:
    known = declared()
    for node in nodes_of(path):
        if node["type"] not in PAGE_ONLY:
            assert len(node["widgets_values"]) == len(places(known[node["type"]]))


def test_links_agree_with_their_ends(path: Path) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    nodes = {node["id"]: node for node in document["nodes"]}
    for number, source, output, target, slot, kind in document["links"]:
        assert number in nodes[source]["outputs"][output]["links"]
        assert nodes[source]["outputs"][output]["type"] == kind
        assert nodes[target]["inputs"][slot]["link"] == number
    ends = [one["link"] for node in nodes.values() for one in node["inputs"]]
    assert sorted(end for end in ends if end is not None) == [x[0] for x in document["links"]]


def test_nodes_name_the_pack_and_its_version(path: Path) -> None:
    for node in nodes_of(path):
        if node["type"] in PAGE_ONLY:
            continue
        kept = node["properties"]
        assert kept["Node name for S&R"] == node["type"]
        if kept["cnr_id"] != "comfy-core":
            assert (kept["cnr_id"], kept["ver"]) == ("avatarvideo", __version__)


def test_nodes_do_not_lie_on_each_other(path: Path) -> None:
    boxes = [(*node["pos"], *node["size"]) for node in nodes_of(path)]
    for number, (x, y, width, height) in enumerate(boxes):
        for left, top, wide, high in boxes[:number]:
            apart = x >= left + wide or left >= x + width or y >= top + high or top >= y + height
            assert apart, ((x, y), (left, top))


def test_it_validates(path: Path) -> None:
    nodes, names = node_table()
    validate(load_workflow(path, definitions(nodes, names)).prompt, nodes)


@pytest.mark.slow
def test_it_runs_without_the_editor(
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    if path.stem in NEED_MESH:
        monkeypatch.setenv("AVATAR_MODELS", str(request.getfixturevalue("mesh_models")))
    monkeypatch.chdir(tmp_path)
    speeches = [node["id"] for node in nodes_of(path) if node["type"] == "AudioToMel"]
    short = [part for one in speeches for part in ("--set", f"{one}.duration={SECONDS}")]

    code = main(["run", str(path), "--output-dir", "out", *short])

    set_host(None)
    out, err = capsys.readouterr()
    assert code == 0, err
    files = [Path(line) for line in out.splitlines() if line.startswith(str(tmp_path))]
    assert [probe(file).as_dict()["frame_count"] for file in files] == MADE[path.stem]
