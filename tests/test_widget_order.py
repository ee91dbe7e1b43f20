"""Saved workflows store values by position: what was released keeps its place for ever.

``released_widgets.json`` holds, for every version, the widgets, sockets and outputs of each node in
order, and what its menus offered. Append to the entry of a version that is not released yet.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from avatarvideo import NODE_CLASS_MAPPINGS, __version__

RELEASED = json.loads((Path(__file__).parent / "released_widgets.json").read_text())
WIDGET_TYPES = ("INT", "FLOAT", "FLOAT,INT", "STRING", "BOOLEAN", "AUDIO_UI")
# These list what is there.
FILE_MENUS = {("LoadAvatar", "avatar"), ("AudioToMel", "audio"), ("FFmpegEncode", "format")}


def shape_of(name: str) -> dict[str, Any]:
    """What a saved workflow knows of a node."""
    node = NODE_CLASS_MAPPINGS[name]
    groups = node.INPUT_TYPES()
    inputs = {**groups["required"], **groups.get("optional", {})}
    widgets = [key for key, (kind, *more) in inputs.items() if is_widget(kind, *more)]
    return {
        "widgets": widgets,
        "sockets": [key for key in inputs if key not in widgets],
        "outputs": [f"{one}:{kind}" for one, kind in zip(*outputs(node), strict=True)],
        "menus": {
            key: inputs[key][0]
            for key in widgets
            if isinstance(inputs[key][0], list) and (name, key) not in FILE_MENUS
        },
    }


def is_widget(kind: Any, options: dict[str, Any] | None = None) -> bool:
    is_socket = (options or {}).get("forceInput", False)
    return not is_socket and (isinstance(kind, list) or kind in WIDGET_TYPES)


def outputs(node: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return node.RETURN_NAMES, node.RETURN_TYPES


@pytest.mark.parametrize("version", RELEASED)
@pytest.mark.parametrize("name", sorted(NODE_CLASS_MAPPINGS))
def test_what_was_released_keeps_its_place(name: str, version: str) -> None:
    released, now = RELEASED[version].get(name), shape_of(name)
    if released is None:
        pytest.fail(f"{name} is not in the entry of {version}: add it")
    for part in ("widgets", "sockets", "outputs"):
        count = len(released[part])
        assert now[part][:count] == released[part], f"{part} may only be appended"


@pytest.mark.parametrize("version", RELEASED)
@pytest.mark.parametrize("name", sorted(NODE_CLASS_MAPPINGS))
def test_menus_still_offer_what_they_offered(name: str, version: str) -> None:
    now = shape_of(name)["menus"]
    for key, offered in RELEASED[version].get(name, {"menus": {}})["menus"].items():
        assert set(offered) <= set(now[key]), f"saved workflows may hold any of {key}'s values"


def test_no_released_node_is_gone() -> None:
    for version, nodes in RELEASED.items():
        assert set(nodes) <= set(NODE_CLASS_MAPPINGS), version


def test_the_entry_of_this_version_is_complete() -> None:
    now = {name: shape_of(name) for name in NODE_CLASS_MAPPINGS}
    assert RELEASED[__version__] == now, "append what is new to tests/released_widgets.json"
