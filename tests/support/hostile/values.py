"""Workflow files by generation: a good one with something hostile in it."""

from __future__ import annotations

import copy
import json
import random
import shutil
import time
from pathlib import Path
from typing import Any

from PIL import Image

from .trials import called, problems_of

JSON = Any
LONGEST_SECONDS = 45.0  # the first one loads the libraries
TEXTS = (
    *("", " ", "\0", "a\0b", "\ud800", "\x1b[2J", "x" * 5000, "~nobody/x", "~", "1e99999999"),
    *("-1e99999999", "1e-99999999", "nan", "inf", "9" * 5000, "1/0", "0/0", "1e99999999/3", "../x"),
    *("/dev/zero", "/dev/stdin", "/proc/self/mem", "file:///etc/passwd", "http://127.0.0.1:1/x"),
    *(
        "%date:" + "y" * 5000 + "%",
        "%" * 3000,
        "%counter%" * 200,
        "C:\\x",
        "\\\\h\\s\\x",
        "👾" * 500,
    ),
    *(
        "-",
        "--help",
        "__class__",
        "{0.__class__}",
        "%s%s%n",
        "con.png",
        ". .",
        "a/" * 900,
        "\n" * 99,
    ),
)
NUMBERS = (0, -1, 1, 2**31, 2**63, 2**64, 10**400, -(10**400), 0.5, 1e308, 1e-308, -0.0, True)
NOT_FINITE = (float("nan"), float("inf"), -float("inf"))
OTHERS: tuple[JSON, ...] = (
    *(
        None,
        [],
        {},
        [[]],
        [None],
        ["1", 0],
        ["1", -1],
        ["1", 10**30],
        ["1", "0"],
        [1, 0],
        ["no", 0],
    ),
    *({"__value__": [1]}, {"__value__": {"__value__": 1}}, {"a": {"b": {"c": []}}}, [1, 2, 3, 4]),
)
API: JSON = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "small.png"}},
    "2": {
        "class_type": "SaveImage",
        "inputs": {"images": ["1", 0], "filename_prefix": "made"},
        "_meta": {"title": "Save"},
    },
    "3": {
        "class_type": "VideoInfo",
        "inputs": {
            "path": "samples/talking_head.mp4",
            "exact_count": False,
            "measure_loudness": False,
        },
    },
}
FFMPEG: JSON = {"class_type": "FFmpegEncode", "inputs": {"images": ["1", 0]}}
EDITOR: JSON = {
    "version": 0.4,
    "nodes": [
        {
            "id": 1,
            "type": "LoadImage",
            "mode": 0,
            "inputs": [
                {"name": "image", "type": "COMBO", "link": None, "widget": {"name": "image"}}
            ],
            "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [1]}],
            "properties": {"Node name for S&R": "LoadImage"},
            "widgets_values": ["small.png", "image"],
        },
        {
            "id": 2,
            "type": "Reroute",
            "mode": 0,
            "inputs": [{"name": "", "type": "*", "link": 1}],
            "outputs": [{"name": "", "type": "IMAGE", "links": [2]}],
            "properties": {},
        },
        {
            "id": 3,
            "type": "11111111-2222-3333-4444-555555555555",
            "mode": 0,
            "inputs": [{"name": "images", "type": "IMAGE", "link": 2}],
            "outputs": [],
            "properties": {"proxyWidgets": [["1", "filename_prefix"]]},
            "widgets_values": ["made"],
        },
    ],
    "links": [[1, 1, 0, 2, 0, "IMAGE"], [2, 2, 0, 3, 0, "IMAGE"]],
    "groups": [],
    "definitions": {
        "subgraphs": [
            {
                "id": "11111111-2222-3333-4444-555555555555",
                "name": "inside",
                "inputNode": {"id": -10},
                "outputNode": {"id": -20},
                "inputs": [{"id": "a", "name": "images", "type": "IMAGE", "linkIds": [1]}],
                "outputs": [],
                "nodes": [
                    {
                        "id": 1,
                        "type": "SaveImage",
                        "mode": 0,
                        "inputs": [{"name": "images", "type": "IMAGE", "link": 1}],
                        "outputs": [],
                        "properties": {},
                        "widgets_values": ["made"],
                    }
                ],
                "links": [
                    {
                        "id": 1,
                        "origin_id": -10,
                        "origin_slot": 0,
                        "target_id": 1,
                        "target_slot": 0,
                        "type": "IMAGE",
                    }
                ],
            }
        ]
    },
}


def hostile(dice: random.Random) -> JSON:
    kinds = (TEXTS, NUMBERS, NOT_FINITE, OTHERS, OTHERS)
    return copy.deepcopy(dice.choice(dice.choice(kinds)))


def spoilt(dice: random.Random) -> JSON:
    """Return a workflow with one to three members replaced, removed, added or doubled."""
    document = copy.deepcopy(dice.choice((API, EDITOR, EDITOR)))
    if document.keys() == API.keys() and dice.random() < 0.3:
        inputs = {name: hostile(dice) for name in dice.sample(ENCODE_INPUTS, 2)}
        document["4"] = {"class_type": "FFmpegEncode", "inputs": {**FFMPEG["inputs"], **inputs}}
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        _spoil(document, dice)
    return document


ENCODE_INPUTS = ("fps", "crf", "width", "height", "filename_prefix", "path", "format", "codec")


def _spoil(document: JSON, dice: random.Random) -> None:
    places = list(_places(document))
    holder, key = dice.choice(places)
    kind = dice.random()
    if kind < 0.75:
        holder[key] = hostile(dice)
    elif kind < 0.85:
        del holder[key]
    elif isinstance(holder, list):
        holder.append(copy.deepcopy(holder[key]))
    else:
        holder[str(hostile(dice))[:6000]] = holder[key]


def _places(value: JSON) -> Any:
    members = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(members):
        yield value, key
        if isinstance(inner, (dict, list)):
            yield from _places(inner)


def value_trial(number: int, folder: Path) -> list[str]:
    """Run one spoilt workflow; return what went wrong."""
    if not (folder / "in").is_dir():
        (folder / "in").mkdir(parents=True)
        Image.new("RGB", (16, 16), (200, 30, 30)).save(folder / "in" / "small.png")
    shutil.rmtree(folder / "out", ignore_errors=True)
    before = (folder / "in" / "small.png").read_bytes()
    document = spoilt(random.Random(number))
    (folder / "flow.json").write_text(json.dumps(document))
    where = ["--input-dir", str(folder / "in"), "--output-dir", str(folder / "out")]
    began = time.monotonic()
    code, said, _ = called(["run", str(folder / "flow.json"), *where])
    seconds = time.monotonic() - began
    found = problems_of(code, said)
    if code == 1 and said.partition("\0")[2].count("\n") > 30:
        found.append("said much more than a sentence")
    if seconds > LONGEST_SECONDS:
        found.append(f"took {seconds:.1f} s")
    if [path.name for path in (folder / "in").iterdir()] != ["small.png"]:
        found.append("wrote into the input folder")
    if (folder / "in" / "small.png").read_bytes() != before:
        found.append("changed its input")
    if {path.name for path in folder.iterdir()} - {"in", "out", "flow.json"}:
        found.append(f"wrote elsewhere: {sorted(path.name for path in folder.iterdir())}")
    return [f"{number}: {one}" for one in found]
