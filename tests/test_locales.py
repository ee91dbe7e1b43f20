"""Translations name every node, input and output that is there, and nothing that is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from avatarvideo import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

LOCALES = Path(__file__).resolve().parent.parent / "locales"
WITHOUT_A_LABEL = {"audioUI"}  # the host's own player


def translated(language: str) -> dict[str, Any]:
    return json.loads((LOCALES / language / "nodeDefs.json").read_text(encoding="utf-8"))


def test_english_says_what_the_nodes_say() -> None:
    assert translated("en") == {
        name: {
            "display_name": NODE_DISPLAY_NAME_MAPPINGS[name],
            "description": node.DESCRIPTION,
        }
        for name, node in NODE_CLASS_MAPPINGS.items()
    }


@pytest.mark.parametrize("name", sorted(NODE_CLASS_MAPPINGS))
def test_chinese_covers_every_input_and_output(name: str) -> None:
    node = NODE_CLASS_MAPPINGS[name]
    inputs = node.INPUT_TYPES()
    names = {*inputs["required"], *inputs.get("optional", {})} - WITHOUT_A_LABEL
    entry = translated("zh")[name]
    assert set(entry["inputs"]) == names
    assert set(entry["outputs"]) == {str(index) for index in range(len(node.RETURN_TYPES))}
    texts = [*entry["inputs"].values(), *entry["outputs"].values()]
    assert all(text["name"] and text["tooltip"] for text in texts)
