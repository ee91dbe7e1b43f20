"""Workflow files that are too large, too deep or of another shape: one sentence, at once."""

from __future__ import annotations

import json
import threading
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from avatarvideo.cli.main import main
from avatarvideo.errors import Cancelled, GraphError, MediaError
from avatarvideo.headless.bounds import MOST_NODES, cancellable
from avatarvideo.headless.editor_format import to_prompt
from avatarvideo.headless.prompt import InputDefinition, NodeDefinition, constant, suggestion
from avatarvideo.headless.server_requests import ServerError, ServerRequests
from avatarvideo.headless.workflow_file import read_workflow
from avatarvideo.json_values import DEEPEST, MOST_VALUES, parse_json
from avatarvideo.musetalk.inputs import as_seconds
from avatarvideo.texts import exact_number, one_line, plain

DECLARED = {
    "Make": NodeDefinition.from_object_info("Make", {"input": {}, "output": ["IMAGE"]}),
    "Show": NodeDefinition.from_object_info(
        "Show", {"input": {"required": {"images": ["IMAGE"]}}, "output": [], "output_node": True}
    ),
}


def node(number: int, kind: str, link: int | None = None, mode: int = 0) -> dict[str, Any]:
    inputs = [] if link is None else [{"name": "images", "type": "IMAGE", "link": link}]
    outputs = [{"name": "IMAGE", "type": "IMAGE"}]
    return {"id": number, "type": kind, "mode": mode, "inputs": inputs, "outputs": outputs}


def chain(length: int, kind: str = "Reroute", mode: int = 0) -> dict[str, Any]:
    """A node, so many of a kind one after another, and one that shows what comes through."""
    middle = [node(1 + i, kind, i, mode) for i in range(1, length + 1)]
    links = [[i, i, 0, i + 1, 0, "IMAGE"] for i in range(1, length + 2)]
    nodes = [node(1, "Make"), *middle, node(length + 2, "Show", length + 1)]
    return {"nodes": nodes, "links": links}


@pytest.mark.slow_after(3)
@pytest.mark.parametrize("length", [10, 49, 50, 51, 5000, 15_000])
def test_a_chain_of_thousands_brings_what_a_short_one_brings(length: int) -> None:
    began = time.monotonic()
    prompt = to_prompt(chain(length), DECLARED)
    assert prompt[str(length + 2)]["inputs"] == {"images": ["1", 0]}
    assert list(prompt) == ["1", str(length + 2)]
    assert time.monotonic() - began < 10


@pytest.mark.slow
def test_a_long_chain_that_begins_nowhere_or_in_itself() -> None:
    document = chain(5000)
    document["nodes"][1]["inputs"][0]["link"] = None
    assert to_prompt(document, DECLARED)["5002"]["inputs"] == {}
    document["nodes"][1]["inputs"][0]["link"] = 5001
    with pytest.raises(GraphError, match=r"loop|shorter chains"):
        to_prompt(document, DECLARED)


def test_a_chain_of_thousands_of_bypassed_nodes_is_seen_through() -> None:
    prompt = to_prompt(chain(5000, "Show", 4), DECLARED)
    assert prompt["5002"]["inputs"] == {"images": ["1", 0]}


def multiplied(depth: int, *, circle: bool = False) -> dict[str, Any]:
    """Sub-graphs, each with two of the next one in it."""
    graphs = []
    for level in range(depth):
        last = level == depth - 1
        inner = ("level-0" if circle else "Make") if last else f"level-{level + 1}"
        graphs.append({"id": f"level-{level}", "nodes": [node(1, inner), node(2, inner)]})
    return {"nodes": [node(1, "level-0")], "links": [], "definitions": {"subgraphs": graphs}}


def test_sub_graphs_that_multiply_are_counted_before_they_are_taken_apart() -> None:
    assert len(to_prompt(multiplied(10), DECLARED)) == 1024
    began = time.monotonic()
    with pytest.raises(GraphError, match=f"at most {MOST_NODES:,} nodes, got 65,535 once"):
        to_prompt(multiplied(15), DECLARED)
    with pytest.raises(GraphError, match=r"got more than 10\^15 once"):
        to_prompt(multiplied(100), DECLARED)
    with pytest.raises(GraphError, match=r"Node 1 \(level-0\) contains itself"):
        to_prompt(multiplied(20, circle=True), DECLARED)
    assert time.monotonic() - began < 5


def test_sub_graphs_that_hold_an_object_of_nodes_are_counted_too() -> None:
    document = multiplied(15)
    for graph in document["definitions"]["subgraphs"]:
        graph["nodes"] = {str(index): one for index, one in enumerate(graph["nodes"])}
    with pytest.raises(GraphError, match="got 65,535 once"):
        to_prompt(document, DECLARED)


def test_a_sub_graph_and_a_node_without_names_are_not_taken_for_each_other() -> None:
    document = multiplied(2)
    document["definitions"]["subgraphs"][1]["id"] = None
    document["nodes"].append(7)
    with pytest.raises(GraphError, match="Expected a node with a type in the workflow, got 7"):
        to_prompt(document, DECLARED)


@pytest.mark.slow
def test_too_many_plain_nodes_are_refused_with_their_count() -> None:
    document = {"nodes": [node(i, "Make") for i in range(MOST_NODES + 1)], "links": []}
    with pytest.raises(GraphError, match="got 20,001 once"):
        to_prompt(document, DECLARED)


def test_a_cancel_is_heard_while_converting() -> None:
    released = threading.Event()
    asked: list[float] = []

    def check() -> None:
        asked.append(time.monotonic())
        if len(asked) == 3:
            raise Cancelled("stopped")

    began = time.monotonic()
    with pytest.raises(Cancelled):
        cancellable(lambda: released.wait(20), check)
    assert time.monotonic() - began < 1
    released.set()
    asked[:] = [0, 0]  # the next question is the last: a quick conversion hears few
    with pytest.raises(Cancelled):
        to_prompt(multiplied(13), DECLARED, check=check)


STRANGE = (7, -1.5, True, "x", [1], [[]], [None], {"a": 1}, {"a": {"b": []}}, 10**400, float("inf"))


def places(value: Any) -> Any:
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(inner, (dict, list)):
            yield from places(inner)


@pytest.mark.slow_after(3)
@pytest.mark.parametrize("strange", STRANGE, ids=lambda one: repr(one)[:12])
def test_any_value_in_any_field_of_an_editor_file_is_a_prompt_or_a_sentence(strange: Any) -> None:
    """Replaces every member in turn: of the whole graph and of a sub-graph in it."""
    text = json.dumps(
        chain(2) | {"definitions": {"subgraphs": [{"id": "inner", **chain(1)}]}, "version": 0.4}
    ).replace('"Reroute"', '"inner"', 1)
    refused = []
    for index in range(len(list(places(json.loads(text))))):
        document = json.loads(text)
        holder, key = list(places(document))[index]
        holder[key] = strange
        try:
            assert isinstance(to_prompt(document, DECLARED), dict)
        except GraphError as error:
            refused.append(str(error))
    assert len(refused) > 5
    assert max(map(len, refused)) < 1000


def test_a_refusal_names_node_and_field() -> None:
    for field in ("inputs", "outputs"):
        document = chain(1)
        document["nodes"][1][field] = 5
        with pytest.raises(GraphError, match=rf"Node 2 \(Reroute\): expected named {field}"):
            to_prompt(document, DECLARED)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no such device")
def test_a_file_without_end_is_no_workflow() -> None:
    with pytest.raises(GraphError, match="64 MiB"):
        read_workflow("/dev/zero")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[" * 1_000_000, "nested more than 100"),
        ("[" * 200 + "]" * 200, "nested more than 100"),
        ("[" + "1," * MOST_VALUES + "1]", "values"),
        ('"' + "x" * (65 << 20) + '"', "more than 64 MiB"),
        ("9" * 100_000, "^JSON with a number of thousands of digits$"),
        ("{", "."),
    ],
)
def test_json_has_bounds(text: str, sentence: str) -> None:
    began = time.monotonic()
    with pytest.raises(ValueError, match=sentence):
        parse_json(text)
    assert time.monotonic() - began < 3
    assert parse_json("[" * DEEPEST + "]" * DEEPEST)


@pytest.mark.parametrize(
    "text",
    ["1e99999999", "-1e99999999", "1e-99999999", "1E+0099999999", "9" * 5000, "1/0", "x", ""],
)
def test_a_number_too_long_to_be_meant_is_refused_at_once(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    with pytest.raises(ValueError, match=r"not a (plausible )?number|division|literal|Invalid"):
        exact_number(text)
    with pytest.raises(MediaError, match="seconds"):
        as_seconds("start", text)  # type: ignore[arg-type]
    assert main(["video", "encode", "a.mp4", "-o", "b.mp4", "--start", text]) == 2
    assert "Expected --start in seconds" in capsys.readouterr().err
    assert time.monotonic() - began < 2


def test_numbers_are_exact() -> None:
    assert exact_number("0.1") == Fraction(1, 10)
    assert exact_number("1e-3") == Fraction(1, 1000)
    assert exact_number(str(1e308)) == 10**308


def test_what_is_alike_to_a_long_text_is_found_at_once() -> None:
    began = time.monotonic()
    assert suggestion("LoadAvatr" + "x" * 1_000_000, ["LoadAvatar"] * 500) == ""
    assert suggestion("LoadAvatr", ["LoadAvatar"]) == " (did you mean 'LoadAvatar'?)"
    assert time.monotonic() - began < 2


def test_texts_of_others_steer_nothing() -> None:
    assert plain("a\x1b[2Jb\tc\nd\u202ee\ud800") == "a\ufffd[2Jb\tc\nd\ufffde\ufffd"
    assert one_line("  two\n lines ") == "two lines"
    assert one_line("x" * 600) == "x" * 497 + "..."
    assert plain("日本語 é 👾") == "日本語 é 👾"


def test_a_long_value_is_shown_in_short() -> None:
    refused = InputDefinition("length", "INT")
    with pytest.raises(GraphError) as caught:
        constant("9" * 5000 + "x", refused)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"<html>\n<body>no", "an answer that is not JSON ('<html> <body>no')"),
        (b"", "an empty answer"),
        (b"\xff\xfe\x00", "an answer that is not JSON"),
        (b"9" * 5000, "JSON with a number of thousands of digits"),
    ],
    ids=["page", "empty", "bytes", "digits"],
)
def test_what_a_server_answers_instead_of_json_is_shown(body: bytes, found: str) -> None:
    requests = ServerRequests("http://localhost:1", lambda: None)
    with pytest.raises(ServerError) as caught:
        requests.parsed(body)
    assert str(caught.value).startswith(
        f"Expected a ComfyUI server at http://localhost:1, got {found}"
    )
