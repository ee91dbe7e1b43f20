"""Editor files as today's pages and packs save them: values by name, dynamic combos, page nodes."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from avatarvideo.errors import GraphError
from avatarvideo.headless.editor_format import to_prompt
from avatarvideo.headless.prompt import NodeDefinition
from avatarvideo.headless.servers import with_uploads
from avatarvideo.headless.validate import validate
from avatarvideo.headless.widget_places import widget_values
from support.editor_files import Editor

DYNAMIC = "COMFY_DYNAMICCOMBO_V3"


def dynamic(branches, group="required"):
    """A dynamic combo: choice -> {input: entry}."""
    options = [{"key": key, "inputs": {group: more}} for key, more in branches.items()]
    return [DYNAMIC, {"options": options}]


ENCODING = dynamic({"auto": {}, "re-encode": {"crf": ["FLOAT", {"default": 23.0, "max": 51.0}]}})
CODEC = dynamic({"auto": {}, "h264": {"encoding": ENCODING}})
DIMS = {"width": ["INT", {"default": 512}], "height": ["INT", {"default": 512}]}


def of(output=(), output_node=False, **required):
    return {"input": {"required": required}, "output": output, "output_node": output_node}


INFO = {
    "Load": of(["IMAGE"], file=[["a.png"], {"image_upload": True}]),
    "Loud": of(["IMAGE"], video=["IMAGE"], by=["FLOAT", {"default": 1.0}]),
    "Save": of(
        output_node=True,
        video=["IMAGE"],
        format=dynamic({"auto": {"codec": CODEC}, "mp4": {"codec": CODEC}}),
        last=["STRING", {"default": "z"}],
    ),
    "Resize": of(
        ["IMAGE"],
        image=["IMAGE"],
        mode=dynamic({"scale": {"factor": ["FLOAT", {"default": 2.0}]}, "dims": DIMS}),
        crop=[["no", "yes"]],
    ),
    "Overlay": of(
        ["IMAGE"],
        text=["STRING", {}],
        color=["COLOR", {"default": "#ffffff"}],
        where=[["top", "bottom"]],
    ),
    "Sound": of(
        ["AUDIO"],
        frames=["INT", {"default": 97}],
        rate=["FLOAT,INT", {"default": 25, "widgetType": "FLOAT"}],
        size=["INT,FLOAT", {}],
        batch=["INT", {"default": 1}],
    ),
    "Knob": of(
        ["KNOBS"],
        vae=["VAE", {}],
        knob=["PACK_KNOB", {"default": 5}],
        dial=["PACK_DIAL", {}],
        n=["INT", {"default": 1}],
    ),
    "Sampler": of(
        ["LATENT"],
        model=["MODEL", {}],
        seed=["INT", {"control_after_generate": True}],
        steps=["INT", {"default": 20}],
        name=[["euler", "dpm"]],
    ),
}
DECLARED = {name: NodeDefinition.from_object_info(name, info) for name, info in INFO.items()}


def values(kind, saved, named=None, **more):
    return widget_values(DECLARED[kind], saved, named, **more)


@pytest.mark.parametrize(
    ("kind", "saved", "expected"),
    [
        ("Overlay", ["hi", "#ff0000", "bottom"],
         {"text": "hi", "color": "#ff0000", "where": "bottom"}),
        ("Sound", [33, 24, 3], {"frames": 33, "rate": 24, "batch": 3}),
        ("Resize", ["dims", 640, 360, "yes"],
         {"mode": "dims", "mode.width": 640, "mode.height": 360, "crop": "yes"}),
        ("Resize", ["scale", 3, "yes"], {"mode": "scale", "mode.factor": 3, "crop": "yes"}),
        ("Resize", ["dims"],
         {"mode": "dims", "mode.width": 512, "mode.height": 512, "crop": "no"}),
        ("Resize", [], {"mode": "scale", "mode.factor": 2.0, "crop": "no"}),
        ("Save", ["mp4", "h264", "re-encode", 18, "end"],
         {"format": "mp4", "format.codec": "h264", "format.codec.encoding": "re-encode",
          "format.codec.encoding.crf": 18, "last": "end"}),
        ("Save", ["mp4", "auto", "end"], {"format": "mp4", "format.codec": "auto", "last": "end"}),
        ("Sampler", [5, "fixed", 7, "dpm"], {"seed": 5, "steps": 7, "name": "dpm"}),
        # A hole: a pack's button in the middle, which the page does not save.
        ("Sampler", [5, "fixed", None, 7, "dpm"], {"seed": 5, "steps": 7, "name": "dpm"}),
        # Types that only a pack's script knows: as many as there are values.
        ("Knob", [4], {"n": 4}),
        ("Knob", [8, 4], {"knob": 8, "n": 4}),
        ("Knob", [8, {"turn": 1}, 4], {"knob": 8, "dial": {"turn": 1}, "n": 4}),
    ],
)  # fmt: skip
def test_values_are_found_by_their_places(kind, saved, expected):
    sockets = {"vae"} if kind == "Knob" else ()
    assert values(kind, saved, sockets=sockets) == expected


def test_values_by_name_win_over_the_places():
    named = {"seed": 5, "control_after_generate": "fixed", "steps": 7, "name": "dpm"}
    shifted = [5, "fixed", "pick", 7, "dpm"]
    assert values("Sampler", shifted, named) == {"seed": 5, "steps": 7, "name": "dpm"}
    deep = {"format": "mp4", "format.codec": "h264", "format.codec.encoding": "re-encode"}
    deep |= {"format.codec.encoding.crf": 0.0}
    assert values("Save", ["auto"], deep) == deep | {"last": "z"}


def test_what_a_script_adds_by_name_is_submitted_and_the_pages_own_buttons_are_not():
    named = {"file": "a.png", "upload": "image", "lora_1": {"on": True, "strength": 0.5}}
    assert values("Load", ["a.png"], named) == {
        "file": "a.png",
        "lora_1": {"on": True, "strength": 0.5},
    }


def test_a_choice_of_another_version_keeps_what_it_brings():
    named = {"format": "ogg", "format.codec": "theora"}
    assert values("Save", [], named) == named | {"last": "z"}


class Save:
    OUTPUT_NODE = True
    FUNCTION = "save"
    RETURN_TYPES = ()
    INPUT_TYPES = classmethod(
        lambda cls: {"required": {"format": ENCODING}, "optional": {"n": ("INT", {"max": 5})}}
    )


def check(**inputs):
    validate({"1": {"class_type": "Save", "inputs": inputs}}, {"Save": Save})


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ({"format": "raw"}, r"input 'format': expected one of auto, re-encode, got 'raw'"),
        ({"format": "re-encode"}, r"input 'format.crf' \(FLOAT\) is missing"),
        ({"format": "re-encode", "format.crf": 52}, r"input 'format.crf': .*at most 51.0, got 52"),
        ({"format": "re-encode", "format.crf": "x"}, r"input 'format.crf': expected a finite num"),
        ({}, r"input 'format' .* is missing"),
    ],
)
def test_nested_inputs_are_checked_by_their_dotted_names(inputs, sentence):
    with pytest.raises(GraphError, match=sentence):
        check(**inputs)


def test_nested_inputs_of_another_choice_are_told_and_ignored(caplog):
    with caplog.at_level(logging.WARNING):
        check(**{"format": "auto", "format.crf": 20})
    assert "there is no input 'format.crf'" in caplog.text


# Nodes that exist in the page only.


def chain(*middle, **more):
    """Load 1 -> middle nodes -> Save 9."""
    editor = Editor().node(1, "Load", ["a.png", "image"], outputs=["IMAGE:IMAGE"])
    source = 1
    for node_id, kind, values_of in middle:
        editor.node(node_id, kind, values_of, inputs=["video:IMAGE"], outputs=["IMAGE:IMAGE"])
        editor.link(source, 0, node_id, "video")
        source = node_id
    editor.node(9, "Save", ["mp4", "auto", "end"], inputs=["video:IMAGE"])
    return editor.link(source, 0, 9, "video")


def convert(editor, **more):
    prompt = to_prompt(editor.document(**more), DECLARED)
    return {node_id: node["inputs"] for node_id, node in prompt.items()}


PAGE_NODES = ["Bookmark (rgthree)", "Label (rgthree)", "Fast Groups Bypasser (rgthree)"]


@pytest.mark.parametrize("kind", [*PAGE_NODES, "Fast Muter (rgthree)", "Note Plus (mtb)"])
def test_page_nodes_are_left_out_without_a_word(kind, caplog):
    assert set(convert(chain().node(5, kind, ["x"], outputs=["OPT_CONNECTION:*"]))) == {"1", "9"}
    assert not caplog.records


def test_the_reroute_of_a_pack_is_seen_through():
    found = convert(chain((4, "Reroute (rgthree)", None), (5, "Reroute", None)))
    assert found["9"]["video"] == ["1", 0]


def test_thousands_of_chained_reroutes_are_seen_through():
    kinds = ("Reroute", "Reroute (rgthree)")
    found = convert(chain(*((100 + n, kinds[n % 2], None) for n in range(2000))))
    assert found["9"]["video"] == ["1", 0]


def set_and_get(setter, getter, *, name="ava"):
    editor = Editor().node(1, "Load", ["a.png", "image"], outputs=["IMAGE:IMAGE"])
    editor.node(2, setter, ["ava"], inputs=["IMAGE:IMAGE"], outputs=["*:*"])
    editor.node(3, getter, [name], outputs=["IMAGE:IMAGE"])
    editor.node(9, "Save", ["mp4", "auto", "end"], inputs=["video:IMAGE"])
    return editor.link(1, 0, 2, "IMAGE").link(3, 0, 9, "video")


@pytest.mark.parametrize("names", [("SetNode", "GetNode"), ("easy setNode", "easy getNode")])
def test_a_getter_brings_what_goes_into_its_setter(names):
    found = convert(set_and_get(*names))
    assert set(found) == {"1", "9"}
    assert found["9"]["video"] == ["1", 0]


def test_a_setter_passes_on_by_its_own_output_too():
    editor = set_and_get("SetNode", "GetNode").node(8, "Save", ["auto"], inputs=["video:IMAGE"])
    assert convert(editor.link(2, 0, 8, "video"))["8"]["video"] == ["1", 0]


def test_of_two_setters_of_a_name_the_first_one_counts():
    editor = set_and_get("SetNode", "GetNode").node(
        4, "Load", ["b.png", "image"], outputs=["IMAGE:IMAGE"]
    )
    editor.node(5, "SetNode", ["ava"], inputs=["IMAGE:IMAGE"], outputs=["*:*"]).link(
        4, 0, 5, "IMAGE"
    )
    assert convert(editor)["9"]["video"] == ["1", 0]


def test_thousands_of_setters_are_read_once():
    editor = set_and_get("SetNode", "GetNode")
    for number in range(100, 2100):
        editor.node(number, "SetNode", [f"name {number}"], inputs=["*:*"], outputs=["*:*"])
        editor.node(number + 5000, "GetNode", [f"name {number + 1}"], outputs=["*:*"])
        editor.link(number + 5000, 0, number, "*")
    editor.node(2100, "SetNode", ["name 2100"], inputs=["*:*"], outputs=["*:*"])
    editor.link(1, 0, 2100, "*").node(8, "GetNode", ["name 100"], outputs=["*:*"])
    editor.node(10, "Save", ["mp4", "auto", "end"], inputs=["video:IMAGE"])
    assert convert(editor.link(8, 0, 10, "video"))["10"]["video"] == ["1", 0]


def test_a_getter_without_a_setter_brings_nothing():
    assert "video" not in convert(set_and_get("SetNode", "GetNode", name="other"))["9"]


def subgraph(nodes, links, inputs=(), outputs=()):
    slots = [[{"name": n, "type": k} for n, k in group] for group in (inputs, outputs)]
    ids = ("id", "origin_id", "origin_slot", "target_id", "target_slot")
    return {
        "id": "f0e1",
        "inputNode": {"id": -10},
        "outputNode": {"id": -20},
        "inputs": slots[0],
        "outputs": slots[1],
        "nodes": nodes,
        "links": [dict(zip(ids, link, strict=True)) for link in links],
    }


def test_a_getter_in_a_sub_graph_finds_the_setter_around_it():
    inner = Editor().node(1, "GetNode", ["ava"], outputs=["IMAGE:IMAGE"])
    inner.node(2, "Loud", [3.0], inputs=["video:IMAGE"], outputs=["IMAGE:IMAGE"])
    inner.link(1, 0, 2, "video")
    graph = subgraph(inner.nodes, [(1, 1, 0, 2, 0), (2, 2, 0, -20, 0)], (), [("o", "IMAGE")])
    editor = Editor().node(1, "Load", ["a.png", "image"], outputs=["IMAGE:IMAGE"])
    editor.node(2, "SetNode", ["ava"], inputs=["IMAGE:IMAGE"])
    editor.node(5, "f0e1", outputs=["o:IMAGE"])
    editor.node(9, "Save", ["auto"], inputs=["video:IMAGE"])
    editor.link(1, 0, 2, "IMAGE").link(5, 0, 9, "video")
    found = convert(editor, definitions={"subgraphs": [graph]})
    assert found["5:2"] == {"video": ["1", 0], "by": 3.0}
    assert found["9"]["video"] == ["5:2", 0]


def promoted(source, *, named=None, values_of=(12.0,)):
    """A sub-graph whose promoted widget "by" is fed by a node: id, class, values."""
    inner = Editor().node(
        1, "Loud", [25.0], inputs=["video:IMAGE", "by:FLOAT*"], outputs=["IMAGE:IMAGE"]
    )
    inner.nodes[0]["inputs"][0]["link"], inner.nodes[0]["inputs"][1]["link"] = 1, 2
    graph = subgraph(
        inner.nodes,
        [(1, -10, 0, 1, 0), (2, -10, 1, 1, 1), (3, 1, 0, -20, 0)],
        [("video", "IMAGE"), ("by", "FLOAT")],
        [("o", "IMAGE")],
    )
    editor = Editor().node(1, "Load", ["a.png", "image"], outputs=["IMAGE:IMAGE"])
    more = {"widgets_values_named": named} if named is not None else {}
    shape = {"inputs": ["video:IMAGE", "by:FLOAT*"], "outputs": ["o:IMAGE"]}
    editor.node(5, "f0e1", list(values_of), **shape, **more)
    editor.node(9, "Save", ["auto"], inputs=["video:IMAGE"])
    editor.link(1, 0, 5, "video").link(5, 0, 9, "video")
    if source is not None:
        editor.node(*source, inputs=[":*"], outputs=[":FLOAT"]).link(source[0], 0, 5, "by")
    return convert(editor, definitions={"subgraphs": [graph]})["5:1"]["by"]


def test_a_primitive_feeds_a_promoted_widget_as_the_page_shows_it():
    assert promoted((7, "PrimitiveNode", [10, "fixed"])) == 10


def test_a_promoted_widget_keeps_the_value_of_its_name():
    assert promoted(None) == 12.0
    assert promoted(None, named={"by": 8.5}, values_of=(None, 8.5)) == 8.5


def graph_of_two(first_is_widget, slot=1):
    """A sub-graph whose input "by" leads to two nodes; shown outside with 9.0."""
    first = "by:FLOAT*" if first_is_widget else "by:FLOAT"
    inner = Editor()
    inner.node(1, "Loud", [25.0], inputs=["video:IMAGE", first], outputs=["IMAGE:IMAGE"])
    inner.node(2, "Loud", [3.0], inputs=["video:IMAGE", "by:FLOAT*"], outputs=["IMAGE:IMAGE"])
    for number, (node, index) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1)), 1):
        inner.nodes[node]["inputs"][index]["link"] = number
    links = [(1, -10, 0, 1, 0), (2, -10, 1, 1, slot), (3, 1, 0, 2, 0), (4, -10, 1, 2, slot)]
    ends = [("video", "IMAGE"), ("by", "FLOAT")], [("o", "IMAGE")]
    graph = subgraph(inner.nodes, [*links, (5, 2, 0, -20, 0)], *ends)
    editor = Editor().node(1, "Load", ["a.png", "image"], outputs=["IMAGE:IMAGE"])
    editor.node(5, "f0e1", [9.0], inputs=["video:IMAGE"], outputs=["o:IMAGE"])
    editor.node(9, "Save", ["auto"], inputs=["video:IMAGE"])
    editor.link(1, 0, 5, "video").link(5, 0, 9, "video")
    return convert(editor, definitions={"subgraphs": [graph]})


@pytest.mark.parametrize("first_is_widget", [True, False])
@pytest.mark.parametrize("slot", [1, 7])
def test_a_promoted_widget_reaches_every_node_whatever_the_links_slots_say(first_is_widget, slot):
    found = graph_of_two(first_is_widget, slot)
    assert (found["5:1"]["by"], found["5:2"]["by"]) == (9.0, 9.0)
    assert found["5:2"]["video"] == ["5:1", 0]


def test_a_widget_promoted_through_two_sub_graphs_has_the_outermost_value():
    ends = [("video", "IMAGE"), ("by", "FLOAT")], [("o", "IMAGE")]
    graphs = []
    for name, node, kind, value in (("in", 1, "Loud", 25.0), ("out", 7, "in", 5.0)):
        inner = Editor()
        inner.node(node, kind, [value], inputs=["video:IMAGE", "by:FLOAT*"], outputs=["o:IMAGE"])
        inner.nodes[0]["inputs"][0]["link"], inner.nodes[0]["inputs"][1]["link"] = 1, 2
        links = [(1, -10, 0, node, 0), (2, -10, 1, node, 1), (3, node, 0, -20, 0)]
        graphs.append(subgraph(inner.nodes, links, *ends) | {"id": name})
    editor = Editor().node(1, "Load", ["a.png", "image"], outputs=["IMAGE:IMAGE"])
    editor.node(5, "out", [12.0], inputs=["video:IMAGE", "by:FLOAT*"], outputs=["o:IMAGE"])
    editor.node(9, "Save", ["auto"], inputs=["video:IMAGE"])
    editor.link(1, 0, 5, "video").link(5, 0, 9, "video")
    found = convert(editor, definitions={"subgraphs": graphs})
    assert found["5:7:1"] == {"video": ["1", 0], "by": 12.0}
    assert found["9"]["video"] == ["5:7:1", 0]


def test_a_sub_graph_that_is_not_in_the_file_is_named_so():
    kind = "b2d7e0c6-1111-4222-8333-444455556666"
    with pytest.raises(GraphError, match=r"Node 4 .*: the subgraph that it stands for is not in"):
        convert(chain((4, kind, None)))


def test_a_setter_of_what_a_getter_brings_and_of_a_sub_graph():
    inner = Editor().node(1, "Loud", [3.0], inputs=["video:IMAGE"], outputs=["IMAGE:IMAGE"])
    inner.nodes[0]["inputs"][0]["link"] = 1
    links = [(1, -10, 0, 1, 0), (2, 1, 0, -20, 0)]
    graph = subgraph(inner.nodes, links, [("video", "IMAGE")], [("o", "IMAGE")])
    editor = Editor().node(1, "Load", ["a.png", "image"], outputs=["IMAGE:IMAGE"])
    editor.node(2, "f0e1", inputs=["video:IMAGE"], outputs=["o:IMAGE"]).link(1, 0, 2, "video")
    editor.node(3, "SetNode", ["a"], inputs=["*:*"]).link(2, 0, 3, "*")
    editor.node(4, "GetNode", ["a"], outputs=["*:*"])
    editor.node(5, "easy setNode", ["b"], inputs=["*:*"]).link(4, 0, 5, "*")
    editor.node(6, "easy getNode", ["b"], outputs=["*:*"])
    editor.node(7, "f0e1", inputs=["video:IMAGE"], outputs=["o:IMAGE"], mode=4)
    editor.node(9, "Save", ["auto"], inputs=["video:IMAGE"])
    editor.link(6, 0, 7, "video").link(7, 0, 9, "video")
    found = convert(editor, definitions={"subgraphs": [graph]})
    assert set(found) == {"1", "2:1", "9"}
    assert found["9"]["video"] == ["2:1", 0]


def test_a_primitive_reaches_a_widget_through_reroutes_and_pairs():
    editor = Editor().node(1, "PrimitiveNode", [0.25, "fixed"], outputs=["FLOAT:FLOAT"])
    editor.node(2, "Reroute", inputs=[":*"], outputs=[":*"]).link(1, 0, 2, "")
    editor.node(3, "SetNode", ["n"], inputs=["*:*"]).link(2, 0, 3, "*")
    editor.node(4, "GetNode", ["n"], outputs=["*:*"])
    editor.node(5, "Loud", [1.0], inputs=["by:FLOAT*"], outputs=["IMAGE:IMAGE"])
    assert convert(editor.link(4, 0, 5, "by"))["5"]["by"] == 0.25


# Nodes of packs that are not here.


def test_unknown_nodes_that_no_output_needs_are_left_out_and_named(caplog):
    editor = chain().node(70, "Somebody's", [1], outputs=["IMAGE:IMAGE"], title="Extra")
    editor.node(71, "Comparer", inputs=["a:IMAGE", "b:IMAGE"]).link(1, 0, 71, "a")
    editor.link(70, 0, 71, "b").node(72, "Loud", [2.0], inputs=["video:IMAGE"])
    editor.link(70, 0, 72, "video")
    assert convert(editor)["72"] == {"by": 2.0}
    texts = [record.getMessage() for record in caplog.records]
    assert len(texts) == 2
    assert texts[0].startswith('Node 70 "Extra" (Somebody\'s) is left out: ')
    assert texts[1].startswith("Node 71 (Comparer) is left out: ")


def test_every_unknown_node_that_an_output_needs_is_named():
    editor = chain((4, "First", None), (5, "Loud", [2.0]), (6, "Third", None))
    with pytest.raises(GraphError, match=r"Node 4 \(First\): .*; Node 6 \(Third\): there is no"):
        convert(editor.node(70, "Unneeded"))


def test_without_a_known_output_every_unknown_node_is_refused():
    editor = Editor().node(1, "Load", ["a.png", "image"], outputs=["IMAGE:IMAGE"])
    editor.node(2, "VideoCombine", inputs=["images:IMAGE"]).link(1, 0, 2, "images")
    with pytest.raises(GraphError, match=r"Node 2 \(VideoCombine\): there is no node class"):
        convert(editor)


def test_a_file_named_in_a_nested_input_is_sent_to_the_server(tmp_path):
    class Server:
        def upload(self, path):
            return f"sent {path.name}"

    server: Any = Server()
    background = {"none": {}, "picture": {"file": [["a.png"], {"image_upload": True}]}}
    scene = of(background=dynamic(background))
    declared = {"Scene": NodeDefinition.from_object_info("Scene", scene)}
    (tmp_path / "mine.png").touch()

    def sent(kind):
        inputs = {"background": kind, "background.file": "mine.png"}
        prompt = {"1": {"class_type": "Scene", "inputs": inputs}}
        changed = with_uploads(prompt, declared, server, tmp_path)
        return changed["1"]["inputs"]["background.file"]

    assert sent("picture") == "sent mine.png"
    assert sent("none") == "mine.png"  # no such input then
