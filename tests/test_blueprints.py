"""The sub-graph blueprints: valid as ComfyUI offers them, and running in a graph around them."""

from __future__ import annotations

import json
import re
import shutil
import uuid
from pathlib import Path
from typing import Any

import pytest

from avatarvideo import __version__
from avatarvideo.cli.main import main
from avatarvideo.encoders.read.probe import probe
from avatarvideo.headless.prompt import NodeDefinition, definitions
from avatarvideo.headless.run import node_table
from avatarvideo.headless.widget_places import places
from avatarvideo.host.current import set_host

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "subgraphs").glob("*.json"))
ENTRY, EXIT = -10, -20  # the sub-graph's own ends
SECONDS = 0.4
SOURCES = {  # the node whose output of that number stands for each input
    "avatar": ("LoadAvatar", 0),
    "video": ("LoadVideo", 0),
    "speech": ("AudioToMel", 1),
}
VALUES: dict[str, list[Any]] = {
    "LoadAvatar": ["samples/portrait.png", "", 0],
    "LoadVideo": ["talking_head.mp4"],
    "AudioToMel": ["samples/speech.flac", 0.0, SECONDS],
}
PRESENT = {"mode": "puppet"}  # no networks in these runs


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def inside(path: Path) -> dict[str, Any]:
    return read(path)["definitions"]["subgraphs"][0]


def declared() -> dict[str, NodeDefinition]:
    nodes, names = node_table()
    return definitions(nodes, names)


each_blueprint = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def test_there_is_one_for_each_thing_users_ask_for() -> None:
    assert [path.stem for path in FILES] == ["Check a video", "Dub a video", "Portrait speaks"]
    documents = [read(path) for path in FILES]
    assert len({one["id"] for one in documents}) == len(FILES)
    assert len({one["nodes"][0]["type"] for one in documents}) == len(FILES)


@each_blueprint
def test_it_is_one_node_of_one_sub_graph_with_the_files_name(path: Path) -> None:
    document = read(path)
    (outer,) = document["nodes"]
    (graph,) = document["definitions"]["subgraphs"]
    assert outer["type"] == graph["id"] == str(uuid.UUID(graph["id"]))
    assert outer["title"] == graph["name"] == path.stem  # the page shows the file's name
    for side in ("inputs", "outputs"):
        ends = [(one["name"], one["type"]) for one in graph[side]]
        assert [(one["name"], one["type"]) for one in outer[side]] == ends
        labels = [one.get("label", one["name"]) for one in graph[side]]
        assert [one.get("label", one["name"]) for one in outer[side]] == labels
        assert not any("_" in label for label in labels)
    assert graph["category"] == "Avatar video"
    assert document["extra"]["BlueprintDescription"] == graph["description"]
    assert len(document["extra"]["BlueprintSearchAliases"]) >= 6


@each_blueprint
def test_links_inside_agree_with_their_ends(path: Path) -> None:
    graph = inside(path)
    nodes = {node["id"]: node for node in graph["nodes"]}
    for link in graph["links"]:
        number, origin, slot = link["id"], link["origin_id"], link["origin_slot"]
        if origin == ENTRY:
            assert number in graph["inputs"][slot]["linkIds"]
        else:
            assert number in nodes[origin]["outputs"][slot]["links"]
            assert nodes[origin]["outputs"][slot]["type"] == link["type"]
        target, slot = link["target_id"], link["target_slot"]
        if target == EXIT:
            assert number in graph["outputs"][slot]["linkIds"]
            assert graph["outputs"][slot]["type"] == link["type"]
        else:
            assert nodes[target]["inputs"][slot]["link"] == number
    ends = [end["linkIds"] for side in ("inputs", "outputs") for end in graph[side]]
    assert all(ends)


@each_blueprint
def test_its_nodes_and_widgets_are_ours(path: Path) -> None:
    known = declared()
    shown = [tuple(one) for one in read(path)["nodes"][0]["properties"]["proxyWidgets"]]
    for node in inside(path)["nodes"]:
        kept = node["properties"]
        assert kept["Node name for S&R"] == node["type"]
        if kept["cnr_id"] == "comfy-core":
            continue
        assert (kept["cnr_id"], kept["ver"]) == ("avatarvideo", __version__)
        definition = known[node["type"]]
        # A widget that was appended since then has its default.
        assert len(node["widgets_values"]) <= len(places(definition))
        sockets = [one["name"] for one in node["inputs"]]
        assert set(sockets) <= set(definition.inputs)
        names = {name for number, name in shown if number == str(node["id"])}
        assert names <= set(definition.inputs) - set(sockets)
        assert [one["type"] for one in node["outputs"]] == list(definition.outputs)


@each_blueprint
def test_it_offers_no_sample_in_the_place_of_linked_speech(path: Path) -> None:
    inputs = {one["name"] for one in inside(path)["inputs"]}
    files = [
        one["widgets_values"][0] for one in inside(path)["nodes"] if one["type"] == "AudioToMel"
    ]
    assert files == ([""] if "speech" in inputs else ["samples/speech.flac"])


def around(path: Path) -> dict[str, Any]:
    """Return a workflow that gives a blueprint what it asks for and saves what it makes."""
    document, definition = read(path), inside(path)
    (outer,) = document["nodes"]
    outer["id"] = 1
    nodes, links = [outer], []
    for node in definition["nodes"]:
        if node["type"] == "MuseTalkLipSync":
            node["widgets_values"][0] = PRESENT["mode"]
    for slot, wanted in enumerate(outer["inputs"]):
        kind, output = SOURCES[wanted["name"]]
        number = len(nodes) + 1
        wanted["link"] = number
        links.append([number, number, output, 1, slot, wanted["type"]])
        outputs = [{"name": "", "type": "*", "links": None} for _ in range(output)]
        outputs.append({"name": "", "type": wanted["type"], "links": [number]})
        nodes.append(_node(number, kind, VALUES[kind], [], outputs))
    if outer["outputs"][0]["type"] == "VIDEO":
        number = len(nodes) + 1
        outer["outputs"][0]["links"] = [number]
        links.append([number, 1, 0, number, 0, "VIDEO"])
        video = {"name": "video", "type": "VIDEO", "link": number}
        nodes.append(_node(number, "SaveVideo", ["blueprint", "auto", "auto"], [video], []))
    definitions = {"subgraphs": [definition]}
    return document | {"nodes": nodes, "links": links, "definitions": definitions}


def _node(number: int, kind: str, values: list[Any], inputs: Any, outputs: Any) -> dict[str, Any]:
    node = {"id": number, "type": kind, "mode": 0, "inputs": inputs, "outputs": outputs}
    return node | {"properties": {}, "widgets_values": values}


@pytest.mark.slow
@each_blueprint
def test_it_runs_without_the_editor(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    shutil.copy(ROOT / "web" / "samples" / "talking_head.mp4", tmp_path / "in")
    workflow = tmp_path / "around.json"
    workflow.write_text(json.dumps(around(path)))

    code = main(["run", str(workflow), "--input-dir", "in", "--output-dir", "out"])

    set_host(None)
    out, err = capsys.readouterr()
    assert code == 0, err
    files = [Path(line) for line in out.splitlines() if line.startswith(str(tmp_path))]
    if path.stem == "Check a video":
        assert re.search(r"^frames +75$", out, re.MULTILINE), out
        assert not files
    else:
        # A dubbed video goes on after the speech.
        count = 75 if path.stem == "Dub a video" else 10
        assert [probe(file).as_dict()["frame_count"] for file in files] == [count]
        assert probe(files[0]).audio[0].codec == "aac"


@pytest.mark.slow
def test_unlinked_speech_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    document = around(ROOT / "subgraphs" / "Portrait speaks.json")
    speech = next(one for one in document["nodes"][0]["inputs"] if one["name"] == "speech")
    document["links"] = [one for one in document["links"] if one[0] != speech["link"]]
    speech["link"] = None
    (tmp_path / "around.json").write_text(json.dumps(document))
    assert main(["run", "around.json", "--output-dir", "out"]) == 1
    set_host(None)
    assert "input 'audio': Expected speech, got neither a file nor a link: link speech or" in (
        capsys.readouterr().err
    )
    assert not list(tmp_path.glob("out/*"))
