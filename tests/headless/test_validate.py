"""What the runner refuses, and the sentence it refuses with."""

from __future__ import annotations

import pytest

from avatarvideo.errors import GraphError, MediaError
from avatarvideo.headless.validate import validate


class Number:
    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "value": ("INT", {"default": 1, "min": 0, "max": 100}),
                "kind": (["plain", "fancy"], {}),
            },
            "optional": {
                "scale": ("FLOAT", {"default": 1.0, "min": 0.5}),
                "style": ("COMBO", {"options": ["round", "square"]}),
                "several": ("COMBO", {"options": ["a", "b"], "multiselect": True}),
                "flag": ("BOOLEAN", {}),
                "text": ("STRING", {}),
                "player": ("PLAYER_UI", {}),
            },
        }

    RETURN_TYPES = ("NUMBER", "TEXT")
    FUNCTION = "make"


class Show:
    OUTPUT_NODE = True
    RETURN_TYPES = ()
    FUNCTION = "show"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {"number": ("NUMBER,PICTURE",)},
            "optional": {"anything": ("*",), "more": ("NUMBER",)},
        }


class File:
    RETURN_TYPES = ("PICTURE",)
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"file": (["one.png"],), "page": ("INT", {"min": 1})}}

    @classmethod
    def VALIDATE_INPUTS(cls, file):
        if file == "broken.png":
            raise MediaError("the file is broken.")
        return True if file is None or file.endswith(".png") else f"no such picture {file!r}"


NODES = {"Number": Number, "Show": Show, "File": File}


def graph(**inputs):
    return {
        "1": {"class_type": "Number", "inputs": {"value": 3, "kind": "plain", **inputs}},
        "2": {
            "class_type": "Show",
            "inputs": {"number": ["1", 0]},
            "_meta": {"title": "On the wall"},
        },
    }


def with_show(**inputs):
    prompt = graph()
    prompt["2"]["inputs"].update(inputs)
    return prompt


def picture(file, page=1):
    return {
        "1": {"class_type": "File", "inputs": {"file": file, "page": page}},
        "2": {"class_type": "Show", "inputs": {"number": ["1", 0]}},
    }


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"value": "7"},
        {"value": 7.0},
        {"value": True},
        {"scale": "0.5"},
        {"style": "square"},
        {"several": {"__value__": ["a", "b"]}},
        {"flag": 1},
        {"text": 5},
        {"player": ""},
        {"audioUI": ""},
    ],
)
def test_what_the_host_takes_is_taken(inputs):
    validate(graph(**inputs), NODES)


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ({"value": -1}, "'value': expected a value from 0 to 100, got -1"),
        ({"value": 101}, "expected a value from 0 to 100, got 101"),
        ({"value": 1.5}, "'value': expected a whole number, got 1.5"),
        ({"value": "many"}, "expected a whole number, got 'many'"),
        ({"value": None}, "expected a whole number, got None"),
        ({"scale": 0.4}, "'scale': expected at least 0.5, got 0.4"),
        ({"scale": float("nan")}, "expected a finite number, got nan"),
        ({"scale": 1e400}, "expected a finite number, got inf"),
        (
            {"kind": "fanzy"},
            r"expected one of plain, fancy, got 'fanzy' \(did you mean 'fancy'\?\)",
        ),
        ({"style": "oval"}, "'style': expected one of round, square, got 'oval'"),
        ({"several": {"__value__": ["a", "c"]}}, "'several': expected one of a, b, got 'c'"),
        ({"flag": "false"}, "expected true or false, got 'false'"),
        ({"text": None}, "expected text, got None"),
        ({"value": [1, 2, 3]}, r"expected a link \[.node id., output index\], got \[1, 2, 3\]"),
    ],
)
def test_a_bad_constant_is_refused_by_node_and_input(inputs, sentence):
    with pytest.raises(GraphError, match=r"^Node 1 \(Number\): input .*" + sentence):
        validate(graph(**inputs), NODES)


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ({"number": ["1", 1]}, r"expected NUMBER,PICTURE, got TEXT from output 1 of Node 1 \(Num"),
        ({"number": ["1", 2]}, "linked to output 2 of Node 1 .*has 2 outputs"),
        ({"number": ["1", -1]}, "linked to output -1"),
        ({"number": ["9", 0]}, "'number' is linked to node 9, which does not exist"),
        ({"number": [1, 0]}, r"expected a link \["),
        ({"number": 5}, "'number': expected a link that brings NUMBER,PICTURE, got 5"),
        ({"number": None}, "expected a link that brings"),
    ],
)
def test_a_bad_link_is_refused_by_node_title_and_input(inputs, sentence):
    with pytest.raises(GraphError, match=r'^Node 2 "On the wall" \(Show\): input .*' + sentence):
        validate(with_show(**inputs), NODES)


def test_a_star_socket_takes_everything_and_an_optional_one_may_be_null():
    validate(with_show(anything=["1", 1], more=None), NODES)


def test_a_missing_input_is_named_with_its_type():
    prompt = graph()
    del prompt["2"]["inputs"]["number"]
    with pytest.raises(GraphError, match=r"input 'number' \(NUMBER,PICTURE\) is missing"):
        validate(prompt, NODES)


def test_an_unknown_class_is_named_with_what_is_spelled_alike():
    prompt = graph()
    prompt["1"]["class_type"] = "Nubmer"
    with pytest.raises(
        GraphError, match=r"no node class 'Nubmer' here \(did you mean 'Number'\?\)"
    ):
        validate(prompt, NODES)


def test_an_own_check_replaces_the_list_of_the_inputs_it_names_only():
    validate(picture("new.png"), NODES)
    with pytest.raises(GraphError, match=r"Node 1 \(File\): input 'file': no such picture 'a.txt'"):
        validate(picture("a.txt"), NODES)
    with pytest.raises(GraphError, match="input 'file': the file is broken"):
        validate(picture("broken.png"), NODES)
    with pytest.raises(GraphError, match="'page': expected at least 1, got 0"):
        validate(picture("new.png", page=0), NODES)


def test_a_cycle_is_shown_as_a_path():
    class Through:
        INPUT_TYPES = classmethod(lambda cls: {"required": {"number": ("NUMBER",)}})
        RETURN_TYPES = ("NUMBER",)

    prompt = {str(i): {"class_type": "Through", "inputs": {}} for i in (1, 2, 3)}
    for source, target in (("1", "2"), ("2", "3"), ("3", "1")):
        prompt[target]["inputs"]["number"] = [source, 0]
    prompt["4"] = {"class_type": "Show", "inputs": {"number": ["2", 0]}}
    with pytest.raises(GraphError, match=r"Node 1 .*loop, 1 -> 2 -> 3 -> 1"):
        validate(prompt, NODES | {"Through": Through})


def test_what_no_output_needs_may_be_incomplete():
    prompt = graph()
    prompt["3"] = {"class_type": "File", "inputs": {}}
    validate(prompt, NODES)


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        ([], "maps node ids to nodes, got list"),
        ({}, "got dict without any node"),
        ({"1": 5}, "Node 1: expected an object"),
        ({1: {}}, "Node 1: expected text as the id"),
        ({"1": {"inputs": {}}}, "Node 1: expected a class_type, found none"),
        ({"1": {"class_type": "Show", "inputs": []}}, r"Node 1 \(Show\): expected inputs"),
        (
            {"1": {"class_type": "Number", "inputs": {}}},
            r"\(an output node\), found none among 1 nodes",
        ),
    ],
)
def test_a_broken_structure_is_a_sentence(prompt, sentence):
    with pytest.raises(GraphError, match=sentence):
        validate(prompt, NODES)


def test_only_the_first_problems_are_shown_and_all_are_counted_and_logged(caplog):
    bad = {str(i): {"class_type": f"Gone{i}", "inputs": {}} for i in range(10, 0, -1)}
    with caplog.at_level("INFO"), pytest.raises(GraphError) as caught:
        validate(bad, NODES)
    message = str(caught.value)
    assert message.startswith("Node 1 (Gone1): there is no node class")
    assert message.endswith("; and 7 more problems.")
    assert "\n" not in message
    assert len(caplog.records) == 10


def test_a_misspelled_input_is_a_warning(caplog):
    validate(graph(sclae=2.0), NODES)
    assert "Node 1 (Number): there is no input 'sclae' (did you mean 'scale'?)" in caplog.text
