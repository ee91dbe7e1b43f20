"""The editor's format turned into what the page would submit."""

from __future__ import annotations

import functools
import json
import operator
import random
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import pytest

from avatarvideo.errors import GraphError
from avatarvideo.headless.editor_format import is_editor_format, to_prompt
from avatarvideo.headless.prompt import NodeDefinition
from avatarvideo.headless.widget_places import places, widget_values
from avatarvideo.headless.workflow_file import read_workflow
from support.editor_files import Editor


def defined(name, required=None, optional=None, output=(), **more):
    info = {"input": {"required": required or {}, "optional": optional or {}}, "output": output}
    return NodeDefinition.from_object_info(name, info | more)


DECLARED = {
    d.class_type: d
    for d in (
        defined("LoadImage", {"image": [["a.png"], {"image_upload": True}]}, output=["IMAGE"]),
        defined(
            "LoadImageMask",
            {"image": [["a.png"], {"image_upload": True}], "channel": [["alpha", "red"]]},
            {"scale": ["FLOAT", {"default": 1.0}]},
            output=["MASK"],
        ),
        defined("LoadAudio", {"audio": [["a.wav"], {"audio_upload": True}]}, output=["AUDIO"]),
        defined("LoadVideo", {"file": ["COMBO", {"options": ["a.mp4"], "video_upload": True}]}),
        defined(
            "KSampler",
            {
                "model": ["MODEL"],
                "seed": ["INT", {"default": 0, "control_after_generate": True}],
                "steps": ["INT", {"default": 20}],
                "cfg": ["FLOAT", {"default": 8.0}],
                "name": [["euler", "lms"]],
            },
            output=["LATENT"],
        ),
        defined(
            "Speech",
            {"audio": [["a.wav"], {"audio_upload": True}], "start": ["FLOAT", {"default": 0.0}]},
            {"speech": ["AUDIO"], "audioUI": ["AUDIO_UI", {}]},
            output=["MEL"],
            display_name="Prepare speech",
        ),
        defined("Scale", {"image": ["IMAGE"], "by": ["FLOAT", {"default": 2.0}]}, output=["IMAGE"]),
        defined(
            "Blend",
            {"mask": ["MASK"], "one": ["IMAGE"], "two": ["IMAGE"]},
            output=["IMAGE", "MASK"],
        ),
        defined("SaveImage", {"images": ["IMAGE"], "filename_prefix": ["STRING", {}]}),
        defined("Words", {"words": ["COMBO", {"multiselect": True, "options": ["a", "b"]}]}),
        defined("Text", {"text": ["STRING", {"forceInput": True}], "count": ["INT", {}]}),
    )
}


def convert(editor, **more):
    return to_prompt(editor.document(**more), DECLARED, now=datetime(2026, 3, 4, 5, 6, 7))


def inputs(prompt):
    return {node_id: node["inputs"] for node_id, node in prompt.items()}


def image_chain(*middle):
    """LoadImage 1 -> middle nodes -> SaveImage 9, each with one image input and output."""
    editor = Editor().node(1, "LoadImage", ["a.png", "image"], outputs=["IMAGE:IMAGE"])
    source = 1
    for node_id, kind, more in middle:
        editor.node(node_id, kind, inputs=["image:IMAGE"], outputs=["IMAGE:IMAGE"], **more)
        editor.link(source, 0, node_id, "image")
        source = node_id
    editor.node(9, "SaveImage", ["out"], inputs=["images:IMAGE"])
    return editor.link(source, 0, 9, "images")


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("LoadImage", ["b.png", "image"], {"image": "b.png"}),
        (
            "LoadImageMask",
            ["b.png", "red", "image", 3],
            {"image": "b.png", "channel": "red", "scale": 3},
        ),
        ("LoadVideo", ["b.mp4", "image"], {"file": "b.mp4"}),
        ("LoadAudio", ["b.wav", None, ""], {"audio": "b.wav"}),
        ("LoadAudio", ["b.wav", ""], {"audio": "b.wav"}),
        ("Speech", ["b.wav", 2.5, None, ""], {"audio": "b.wav", "start": 2.5}),
        ("Speech", ["b.wav", 2.5, ""], {"audio": "b.wav", "start": 2.5}),
        (
            "KSampler",
            [5, "randomize", 30, 7.5, "lms"],
            {"seed": 5, "steps": 30, "cfg": 7.5, "name": "lms"},
        ),
        ("KSampler", [5, "fixed"], {"seed": 5, "steps": 20, "cfg": 8.0, "name": "euler"}),
        ("KSampler", None, {"seed": 0, "steps": 20, "cfg": 8.0, "name": "euler"}),
        (
            "KSampler",
            {"steps": 3, "name": "lms", "videopreview": {}},
            {"seed": 0, "steps": 3, "cfg": 8.0, "name": "lms"},
        ),
        ("Scale", [1.5, "made by a script"], {"by": 1.5}),
        ("Words", [["a", "b"]], {"words": {"__value__": ["a", "b"]}}),
        ("Text", [4], {"count": 4}),
    ],
)
def test_widget_values_find_their_inputs(kind, values, expected):
    prompt = convert(Editor().node(1, kind, values))
    assert inputs(prompt) == {"1": expected}


def test_an_uncontrolled_seed_takes_one_place():
    plain = defined("N", {"seed": ["INT", {"control_after_generate": False}], "n": ["INT", {}]})
    assert places(plain) == ["seed", "n"]
    combo = defined("N", {"c": [["a"], {"control_after_generate": True}], "n": ["INT", {}]})
    assert places(combo) == ["c", None, None, "n"]
    assert widget_values(combo, ["a", "fixed", "", 5]) == {"c": "a", "n": 5}


def test_links_titles_and_classes_are_taken_over():
    editor = (
        Editor()
        .node(1, "LoadImage", ["a.png", "image"], outputs=["IMAGE:IMAGE"])
        .node(2, "Scale", [2.0], inputs=["image:IMAGE", "by:FLOAT*"], title="Bigger")
        .node(3, "Speech", ["a.wav", 0])
        .link(1, 0, 2, "image")
    )
    prompt = convert(editor)
    assert prompt["2"] == {
        "class_type": "Scale",
        "inputs": {"image": ["1", 0], "by": 2.0},
        "_meta": {"title": "Bigger"},
    }
    assert prompt["3"]["_meta"] == {"title": "Prepare speech"}


def test_links_may_be_objects():
    editor = image_chain()
    names = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    document = editor.document()
    document["links"] = [dict(zip(names, link, strict=True)) for link in editor.links]
    assert to_prompt(document, DECLARED)["9"]["inputs"]["images"] == ["1", 0]


def test_a_linked_widget_gives_way_to_its_link():
    editor = (
        Editor()
        .node(1, "Text", [1], outputs=["n:FLOAT"])
        .node(2, "Scale", [2.0], inputs=["image:IMAGE", "by:FLOAT*"])
        .link(1, 0, 2, "by")
    )
    assert convert(editor)["2"]["inputs"] == {"by": ["1", 0]}


@pytest.mark.parametrize("kind", ["Note", "MarkdownNote"])
def test_notes_are_left_out(kind):
    assert list(convert(image_chain().node(5, kind, ["words"]))) == ["1", "9"]


def test_reroutes_are_seen_through():
    editor = image_chain((4, "Reroute", {}), (5, "Reroute", {}))
    prompt = convert(editor)
    assert list(prompt) == ["1", "9"]
    assert prompt["9"]["inputs"]["images"] == ["1", 0]


def test_a_muted_node_goes_with_the_inputs_that_it_fed():
    prompt = convert(image_chain((4, "Scale", {"mode": 2})))
    assert inputs(prompt) == {"1": {"image": "a.png"}, "9": {"filename_prefix": "out"}}


def test_a_bypassed_node_passes_its_input_on():
    prompt = convert(image_chain((4, "Scale", {"mode": 4}), (5, "Reroute", {})))
    assert list(prompt) == ["1", "9"]
    assert prompt["9"]["inputs"]["images"] == ["1", 0]


@pytest.mark.parametrize(("slot", "fed"), [(0, ["1", 0]), (1, ["2", 0])])
def test_a_bypassed_node_passes_by_type(slot, fed):
    editor = (
        Editor()
        .node(1, "LoadImage", ["a.png", "image"], outputs=["IMAGE:IMAGE"])
        .node(2, "LoadImageMask", ["a.png", "red", "image"], outputs=["MASK:MASK"])
        .node(
            3,
            "Blend",
            inputs=["mask:MASK", "one:IMAGE", "two:IMAGE"],
            outputs=["IMAGE:IMAGE", "MASK:MASK"],
            mode=4,
        )
        .node(4, "Blend", inputs=["mask:MASK", "one:IMAGE", "two:IMAGE"])
        .link(1, 0, 3, "one")
        .link(2, 0, 3, "mask")
    )
    name = ("one", "mask")[slot]
    editor.link(3, slot, 4, name)
    assert convert(editor)["4"]["inputs"] == {name: fed}


def test_a_bypassed_node_without_a_fitting_input_leaves_the_input_empty():
    editor = (
        Editor()
        .node(1, "KSampler", mode=4, inputs=["model:MODEL"], outputs=["LATENT:LATENT"])
        .node(2, "SaveImage", ["x"], inputs=["images:IMAGE"])
        .link(1, 0, 2, "images")
    )
    assert convert(editor)["2"]["inputs"] == {"filename_prefix": "x"}


def test_an_unknown_class_is_refused_unless_it_is_bypassed_or_muted():
    with pytest.raises(GraphError, match=r'Node 4 "Big" \(Skale\): .*did you mean \'Scale\'') as e:
        convert(image_chain((4, "Skale", {"title": "Big"})))
    assert "\n" not in str(e.value)
    assert list(convert(image_chain((4, "Skale", {"mode": 4})))) == ["1", "9"]


def test_a_group_node_is_refused_with_the_way_out():
    with pytest.raises(GraphError, match="convert the group to nodes"):
        convert(image_chain((4, "workflow>My group", {})))


def test_a_primitive_writes_into_the_widgets_it_is_linked_to():
    editor = (
        Editor()
        .node(1, "PrimitiveNode", [7, "fixed"], outputs=["INT:INT"])
        .node(2, "KSampler", [0, "fixed"], inputs=["model:MODEL", "steps:INT*"])
        .node(3, "Text", [0], inputs=["text:STRING", "count:INT*"])
        .link(1, 0, 2, "steps")
        .link(1, 0, 3, "count")
    )
    prompt = convert(editor)
    assert list(prompt) == ["2", "3"]
    assert prompt["2"]["inputs"]["steps"] == 7
    assert prompt["3"]["inputs"] == {"count": 7}


def test_links_to_nodes_that_are_gone_are_dropped():
    editor = Editor().node(9, "SaveImage", ["x"], inputs=["images:IMAGE"]).link(77, 0, 9, "images")
    assert convert(editor)["9"]["inputs"] == {"filename_prefix": "x"}
    editor.nodes[0]["inputs"][0]["link"] = 1234
    assert convert(editor)["9"]["inputs"] == {"filename_prefix": "x"}


def test_a_loop_of_reroutes_is_a_sentence():
    editor = (
        Editor()
        .node(1, "Reroute", inputs=[":*"], outputs=[":*"])
        .node(2, "Reroute", inputs=[":*"], outputs=[":*"])
        .node(9, "SaveImage", ["x"], inputs=["images:IMAGE"])
    )
    editor.link(1, 0, 2, "").link(2, 0, 1, "").link(2, 0, 9, "images")
    with pytest.raises(GraphError, match="its links form a loop"):
        convert(editor)


def test_marks_in_file_names_are_filled_in_as_the_page_does():
    editor = (
        Editor()
        .node(1, "Scale", [1.5], title="Half")
        .node(2, "Words", ["x/y"], properties={"Node name for S&R": "Words"})
        .node(3, "SaveImage", ["%date:yyyy-MM-dd_hhmmss%/%Half.by%-%Words.words%-%width%-%No.no%"])
        .node(4, "Words", ["%date:yy%"])
    )
    prompt = convert(editor)
    assert prompt["3"]["inputs"]["filename_prefix"] == ("2026-03-04_050607/1.5-x_y-%width%-%No.no%")
    assert prompt["4"]["inputs"]["words"] == "%date:yy%"


def subgraph_document(inner_values=(0.5,), outer_values=(), outer_link=False):
    inner = {
        "id": "f0e1",
        "name": "Twice",
        "inputNode": {"id": -10},
        "outputNode": {"id": -20},
        "inputs": [{"name": "image", "type": "IMAGE"}, {"name": "by", "type": "FLOAT"}],
        "outputs": [{"name": "IMAGE", "type": "IMAGE"}],
        "nodes": [
            {
                "id": 1,
                "type": "Scale",
                "inputs": [
                    {"name": "image", "type": "IMAGE", "link": 1},
                    {"name": "by", "type": "FLOAT", "link": 2, "widget": {"name": "by"}},
                ],
                "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [3]}],
                "widgets_values": list(inner_values),
            }
        ],
        "links": [
            {"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 1, "target_slot": 0},
            {"id": 2, "origin_id": -10, "origin_slot": 1, "target_id": 1, "target_slot": 1},
            {"id": 3, "origin_id": 1, "origin_slot": 0, "target_id": -20, "target_slot": 0},
        ],
    }
    editor = Editor().node(1, "LoadImage", ["a.png", "image"], outputs=["IMAGE:IMAGE"])
    editor.node(
        5,
        "f0e1",
        list(outer_values),
        inputs=["image:IMAGE", "by:FLOAT*"],
        outputs=["IMAGE:IMAGE"],
    )
    editor.node(6, "Text", [3], outputs=["n:FLOAT"])
    editor.node(9, "SaveImage", ["out"], inputs=["images:IMAGE"])
    editor.link(1, 0, 5, "image").link(5, 0, 9, "images")
    if outer_link:
        editor.link(6, 0, 5, "by")
    return editor.document(definitions={"subgraphs": [inner]})


def test_a_widget_on_the_outside_keeps_its_value_when_its_slot_is_left_out():
    document = subgraph_document(outer_values=(4.0,))
    del document["nodes"][1]["inputs"][1]  # as the page saves what is not linked
    assert to_prompt(document, DECLARED)["5:1"]["inputs"]["by"] == 4.0


@pytest.mark.parametrize(
    ("options", "by"),
    [
        ({}, 0.5),
        ({"outer_values": (4.0,)}, 4.0),
        ({"outer_values": (4.0,), "outer_link": True}, ["6", 0]),
    ],
)
def test_a_subgraph_is_taken_apart(options, by):
    prompt = to_prompt(subgraph_document(**options), DECLARED)
    assert set(prompt) == {"1", "5:1", "6", "9"}
    assert prompt["5:1"]["inputs"] == {"image": ["1", 0], "by": by}
    assert prompt["9"]["inputs"]["images"] == ["5:1", 0]


def test_a_bypassed_subgraph_passes_by_type_and_a_muted_one_is_dropped():
    document = subgraph_document()
    document["nodes"][1]["mode"] = 4
    assert to_prompt(document, DECLARED)["9"]["inputs"]["images"] == ["1", 0]
    document["nodes"][1]["mode"] = 2
    assert "images" not in to_prompt(document, DECLARED)["9"]["inputs"]


def test_a_subgraph_that_contains_itself_is_refused():
    document = subgraph_document()
    document["definitions"]["subgraphs"][0]["nodes"][0]["type"] = "f0e1"
    with pytest.raises(GraphError, match="contains itself"):
        to_prompt(document, DECLARED)


def test_the_api_format_passes_unchanged_also_out_of_a_request():
    prompt = {"1": {"class_type": "X", "inputs": {}}}
    assert not is_editor_format(prompt)
    assert to_prompt(prompt, {}) == prompt
    assert to_prompt({"prompt": prompt, "client_id": "me"}, {}) == prompt


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"1": ', r"is broken: Expecting value: line 1 column 7"),
        (b"[1, 2]", "holds list: save it from ComfyUI"),
        (b"\x89PNG\xff", "is not a text file"),
        (b"", "is broken"),
        (b"[" * 100_000, "is broken"),
    ],
)
def test_a_broken_file_is_a_sentence(tmp_path, content, sentence):
    path = tmp_path / "flow.json"
    path.write_bytes(content)
    with pytest.raises(GraphError, match=sentence) as caught:
        read_workflow(path)
    assert "flow.json" in str(caught.value)


def test_a_missing_file_is_a_sentence(tmp_path):
    with pytest.raises(GraphError, match=r"cannot read .*gone\.json: No such file"):
        read_workflow(tmp_path / "gone.json")


def test_a_byte_order_mark_is_no_obstacle(tmp_path):
    path = tmp_path / "flow.json"
    path.write_text(json.dumps({"a": 1}), encoding="utf-8-sig")
    assert read_workflow(path) == {"a": 1}


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({"nodes": [5]}, "Expected a node with a type"),
        ({"nodes": [{"type": "Scale"}]}, "Expected a Scale node with an id"),
        ({"nodes": [], "links": [[1, 2]]}, r"Expected a link .* got \[1, 2\]"),
        (
            {"nodes": [{"id": 1, "type": "Scale", "inputs": [3]}]},
            r"Node 1 \(Scale\): expected named",
        ),
    ],
)
def test_a_broken_editor_file_is_a_sentence(document, sentence):
    with pytest.raises(GraphError, match=sentence):
        to_prompt(document, DECLARED)


# Workflows that were opened in ComfyUI's page, and what its own conversion made of them there
# (without what it only adds for itself: titles, the audio player, a script's button).
PAGE_DUMPS = json.loads((Path(__file__).parent / "page_dumps.json").read_text())


def of_the_page(case, document):
    known = PAGE_DUMPS["definitions"] | case.get("definitions", {})
    declared = {name: NodeDefinition.from_object_info(name, info) for name, info in known.items()}
    prompt = to_prompt(document, declared, now=datetime(2026, 11, 22))
    for node in prompt.values():
        del node["_meta"]
    return prompt


@pytest.mark.parametrize(
    "case", PAGE_DUMPS["cases"], ids=lambda case: f"{case['name']} in {case['front_end']}"
)
def test_the_result_equals_what_the_page_submits(case):
    assert of_the_page(case, case["document"]) == case["submitted"]


@pytest.mark.parametrize(
    "case", PAGE_DUMPS["cases"], ids=lambda case: f"{case['name']} in {case['front_end']}"
)
def test_values_without_names_are_found_by_their_places(case):
    document = json.loads(json.dumps(case["document"]))
    inner = [g["nodes"] for g in (document.get("definitions") or {}).get("subgraphs", [])]
    for node in (node for nodes in [document["nodes"], *inner] for node in nodes):
        node.pop("widgets_values_named", None)
    assert of_the_page(case, document) == case["submitted"]


JUNK = (None, 0, -1, 1.5, "", "x", [], {}, [1], {"a": 1}, True, "\ud800", 10**30, float("nan"))


def places_in(value, before=()):
    """The way to every value inside a document."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in pairs:
        yield (*before, key)
        if isinstance(inner, (dict, list)):
            yield from places_in(inner, (*before, key))


@pytest.mark.parametrize("seed", range(150))
def test_a_document_with_junk_in_it_is_converted_or_refused_in_a_sentence(seed):
    chance = random.Random(seed)
    case = chance.choice(PAGE_DUMPS["cases"])
    document = json.loads(json.dumps(case["document"]))
    for *way, last in chance.sample(list(places_in(document)), 3):
        with suppress(KeyError, IndexError, TypeError):  # what was there is gone by now
            functools.reduce(operator.getitem, way, document)[last] = chance.choice(JUNK)
    prompt = None
    with suppress(GraphError):
        prompt = of_the_page(case, document)
    assert prompt is None or all(isinstance(node["inputs"], dict) for node in prompt.values())
