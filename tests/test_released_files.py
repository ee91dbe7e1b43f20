"""A workflow that any earlier layout of the nodes saved opens with every value in its place.

``released_layouts.json`` holds every list of widgets that a node has had since its places are kept,
the first to today's; ``first_saved.json`` is a template as the first of them saved it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from avatarvideo import NODE_CLASS_MAPPINGS
from avatarvideo.headless.editor_format import to_prompt
from avatarvideo.headless.prompt import definitions
from avatarvideo.headless.validate import validate

HERE = Path(__file__).parent
LAYOUTS = json.loads((HERE / "released_layouts.json").read_text())
CASES = [(name, index) for name, layouts in LAYOUTS.items() for index in range(len(layouts))]
OF_THE_PAGE = "audioUI"  # a player: its place is there, its value is nobody's
TEXTS = {"avatar": "me.png", "audio": "me.wav", "format": "user/mine", "path": "clip.mp4"}


def inputs_of(name: str) -> dict[str, Any]:
    groups = NODE_CLASS_MAPPINGS[name].INPUT_TYPES()
    return {**groups["required"], **groups.get("optional", {})}


def other_value(name: str, widget: str, menus: dict[str, list[Any]]) -> Any:
    """Return a value that is not the default, of what the layout's own menu offered."""
    _kind, about = inputs_of(name)[widget]
    if widget in menus:
        return next(one for one in reversed(menus[widget]) if one != about.get("default"))
    default = about.get("default")
    if isinstance(default, bool):
        return not default
    if isinstance(default, int | float) and "max" in about:
        return about["max"] if default != about["max"] else about["min"]
    return TEXTS.get(widget, f"any {widget}")


@pytest.mark.parametrize(("name", "index"), CASES, ids=lambda part: str(part))
def test_every_saved_value_is_in_its_place(name: str, index: int) -> None:
    layout = LAYOUTS[name][index]
    saved = {
        widget: None if widget == OF_THE_PAGE else other_value(name, widget, layout["menus"])
        for widget in layout["widgets"]
    }
    button = [""] if OF_THE_PAGE in saved else []  # beside the player
    node = {"id": 1, "type": name, "mode": 0, "inputs": [], "outputs": []}
    node["widgets_values"] = [*saved.values(), *button]
    known = definitions(NODE_CLASS_MAPPINGS)

    opened = to_prompt({"nodes": [node], "links": []}, known)["1"]["inputs"]

    assert {key: opened[key] for key in saved if key != OF_THE_PAGE} == {
        key: value for key, value in saved.items() if key != OF_THE_PAGE
    }
    later = {key: value for key, value in opened.items() if key not in saved}
    assert later == {key: inputs_of(name)[key][1]["default"] for key in later}


def test_todays_layouts_are_the_last_ones() -> None:
    released = json.loads((HERE / "released_widgets.json").read_text())
    now = list(released.values())[-1]
    last = {name: layouts[-1] for name, layouts in LAYOUTS.items()}
    assert last == {
        name: {key: one[key] for key in ("widgets", "menus")} for name, one in now.items()
    }, "append today's to released_layouts.json; change none of the others"


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_only_adds_to_the_one_before(name: str) -> None:
    for before, after in zip(LAYOUTS[name], LAYOUTS[name][1:], strict=False):
        assert after["widgets"][: len(before["widgets"])] == before["widgets"]
        for menu, offered in before["menus"].items():
            assert set(offered) <= set(after["menus"][menu])


def test_the_first_file_opens_with_its_values_and_can_run() -> None:
    document = json.loads((HERE / "first_saved.json").read_text())
    prompt = to_prompt(document, definitions(NODE_CLASS_MAPPINGS))
    validate(prompt, NODE_CLASS_MAPPINGS)
    for node in document["nodes"]:
        if node["type"] not in LAYOUTS:
            continue
        first = LAYOUTS[node["type"]][0]["widgets"]
        saved = dict(zip(first, node["widgets_values"], strict=False))
        saved.pop(OF_THE_PAGE, None)
        given = prompt[str(node["id"])]["inputs"]
        assert {key: given[key] for key in saved} == saved
