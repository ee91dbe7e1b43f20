"""The page's own words in other languages: the script's, and the notes of the templates."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
WORDS = sorted((ROOT / "web" / "words").glob("*.json"))
SCRIPT = (ROOT / "web" / "avatar_video.js").read_text(encoding="utf-8")


def said() -> set[str]:
    """The English texts of the script and of the templates' notes."""
    found = set(re.findall(r'\bt\(\s*"([^"]+)"', SCRIPT))
    found |= set(re.findall(r'addWidget\("button", "([^"]+)"', SCRIPT))
    for path in (ROOT / "workflows").glob("*.json"):
        for node in json.loads(path.read_text(encoding="utf-8"))["nodes"]:
            if node["type"] == "MarkdownNote":
                found.add(node["widgets_values"][0])
    return found


@pytest.mark.parametrize("path", WORDS, ids=lambda path: path.stem)
def test_every_text_is_translated(path: Path) -> None:
    words = json.loads(path.read_text(encoding="utf-8"))
    assert set(words) == said()
    for english, text in words.items():
        assert re.search(r"[\u4e00-\u9fff]", text), english
        assert english.startswith("## ") == text.startswith("## ")


def test_the_script_asks_for_the_words_that_are_there() -> None:
    assert [path.name for path in WORDS] == ["zh.json"]
    assert set(re.findall(r"words/(\w+\.json)", SCRIPT)) == {"zh.json"}
