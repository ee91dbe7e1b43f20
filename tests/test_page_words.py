"""The page's own words in other languages.

The script's, the templates' notes and titles, the blueprints' names, descriptions and slots, menus,
the reasons that the lip-sync gives for its mode, notes, and refusals before a run.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
WORDS = sorted((ROOT / "web" / "words").glob("*.json"))
SCRIPT = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "web").glob("*.js"))


RELEASED = json.loads((ROOT / "tests" / "released_widgets.json").read_text())
NAMES = ("codec", "container", "audio_codec", "model")  # their values are names, but for a few
WORDS_AMONG_NAMES = {"codec: auto", "codec: copy", "container: auto", "audio_codec: auto"}
SENTENCE = 15  # letters; shorter texts of the package are parts of many, but for these
SHORT = {
    "was asked for",
    "is installed",
    "no #: #",
    "no blinks: #",
    "Sound",
    "Video",
    "# speakers",
    "a face",
    "# of # s",
    "# s",
}
PACKAGES = ("encoders", "musetalk", "nodes")


def said() -> set[str]:
    """The English texts of the script, the templates and the blueprints, and of menus."""
    found = set(re.findall(r'\bt\(\s*"([^"]+)"', SCRIPT))
    found |= set(re.findall(r'addWidget\("button", "([^"]+)"', SCRIPT))
    for path in (ROOT / "workflows").glob("*.json"):
        for node in json.loads(path.read_text(encoding="utf-8"))["nodes"]:
            if node["type"] == "MarkdownNote":
                found.add(node["widgets_values"][0])
            elif "title" in node:
                found.add(node["title"])
    for path in (ROOT / "subgraphs").glob("*.json"):
        document = json.loads(path.read_text(encoding="utf-8"))
        found.add(document["extra"]["BlueprintDescription"])
        (placed,) = document["nodes"]
        slots = [one for one in (*placed["inputs"], *placed["outputs"]) if "widget" not in one]
        found |= {path.stem, *(one.get("label") or one["name"] for one in slots)}
    return found | offered()


def offered() -> set[str]:
    """What our menus offer, with their inputs' names."""
    menus = [node["menus"].items() for node in list(RELEASED.values())[-1].values()]
    choices = {f"{name}: {value}" for node in menus for name, values in node for value in values}
    words = {one for one in choices if one.partition(": ")[0] not in NAMES}
    return words - {"mode: musetalk"} | WORDS_AMONG_NAMES | {"format: none"}


def reasons() -> set[str]:
    """Texts of the package, with # for what is filled in."""
    found = set()
    files = [path for name in PACKAGES for path in (ROOT / name).rglob("*.py")]
    for path in (*files, ROOT / "media.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            texts = [str(one.value) if isinstance(one, ast.Constant) else "#" for one in parts]
            found.add(re.sub("#+", "#", "".join(texts)).strip("; "))
    return {one for one in found if len(one) >= SENTENCE or one in SHORT}


@pytest.mark.parametrize("path", WORDS, ids=lambda path: path.stem)
def test_every_text_is_translated(path: Path) -> None:
    words = json.loads(path.read_text(encoding="utf-8"))
    assert said() <= set(words)
    told = reasons() | {"no face speaks"}
    for reason in set(words) - said():
        text = re.sub(r"(?:#|%\d)+", "#", reason.replace("#%", "#")).removeprefix("MuseTalk # ")
        by_user = text.replace("their shape found in the picture", "#")
        assert {text, by_user.replace("an average lip shape", "#")} & told, reason
    for english, text in words.items():
        assert re.search(r"[\u4e00-\u9fff]", text), english
        assert english.startswith("## ") == text.startswith("## ")


def test_the_script_asks_for_the_words_that_are_there() -> None:
    assert [path.name for path in WORDS] == ["zh.json"]
    assert set(re.findall(r"words/(\w+\.json)", SCRIPT)) == {"zh.json"}
