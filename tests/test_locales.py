"""The English texts are those of the node classes, and every other language has the same ones."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from avatarvideo import NODE_CLASS_MAPPINGS
from support.make_locale import ENGLISH, LOCALES, english_locale

LANGUAGES = sorted(path.name for path in LOCALES.iterdir())


def texts(language: str) -> dict[tuple[str, ...], str]:
    """Every text of a language by the keys that lead to it."""
    content = json.loads((LOCALES / language / "nodeDefs.json").read_text(encoding="utf-8"))
    return dict(_walk(content))


def _walk(content: dict[str, Any], *way: str) -> Iterator[tuple[tuple[str, ...], str]]:
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _walk(value, *way, key)
        else:
            yield (*way, key), value


def test_english_says_what_the_nodes_say() -> None:
    assert ENGLISH.read_text(encoding="utf-8") == english_locale(), (
        "run `python -m support.make_locale` in tests, and translate what is new"
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_every_text(language: str) -> None:
    found = texts(language)
    assert set(found) == set(texts("en"))
    assert all(found.values())


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_label_is_in_words(language: str) -> None:
    labels = {way: text for way, text in texts(language).items() if way[-1] == "name"}
    assert len(labels) > 80
    for way, label in labels.items():
        assert "_" not in label, way
        assert language != "zh" or re.search(r"[\u4e00-\u9fff]", label), way


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_node_has_its_help_page(language: str) -> None:
    pages = LOCALES.parent / "web" / "docs"
    written = {page.parent.name for page in pages.glob(f"*/{language}.md") if page.read_text()}
    assert written == set(NODE_CLASS_MAPPINGS)


UNITS = {"seconds": "秒", "fps": "fps", "kbit/s": "kbit/s", "crf": "CRF"}


def test_units_stand_in_every_languages_labels() -> None:
    chinese = texts("zh")
    with_units = 0
    for way, label in texts("en").items():
        for unit, there in UNITS.items():
            if way[-1] == "name" and label.endswith(f"({unit})"):
                with_units += 1
                assert chinese[way].endswith(f"\uff08{there}\uff09"), way
    assert with_units >= 9


# Other words in bold: a button, and keys of a format's file.
BESIDES = {"Run", "运行", "codec", "container", "options"}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", sorted(NODE_CLASS_MAPPINGS))
def test_help_calls_inputs_and_outputs_by_their_labels(name: str, language: str) -> None:
    page = LOCALES.parent / "web" / "docs" / name / f"{language}.md"
    bold = set(re.findall(r"\*\*([^*\n]+)\*\*", page.read_text(encoding="utf-8")))
    labels = {text for way, text in texts(language).items() if way[0] == name and way[-1] == "name"}
    assert len(bold & labels) >= min(6, len(labels) - 1)
    assert bold - labels <= BESIDES


ROW = re.compile(r"^\| (\*\*.+?\*\*) \| (.+) \|$", re.MULTILINE)
FULL_STOPS = {"en": ".", "zh": "。"}
LEAST_CHARACTERS = {"en": 25, "zh": 9}  # of what explains an input


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", sorted(NODE_CLASS_MAPPINGS))
def test_help_explains_every_input_in_a_row(name: str, language: str) -> None:
    page = (LOCALES.parent / "web" / "docs" / name / f"{language}.md").read_text(encoding="utf-8")
    shown, given = texts(language), NODE_CLASS_MAPPINGS[name].INPUT_TYPES()
    keys = [*given.get("required", {}), *given.get("optional", {})]
    ways = [(name, "inputs", key, "name") for key in keys]
    labels = [shown[way] for way in ways if way in shown]  # one of them is the page's player
    rows = {
        label: said
        for first, said in ROW.findall(page)
        for label in re.findall(r"\*\*([^*]+)\*\*", first)
    }
    assert len(labels) >= 2
    assert [label for label in labels if label not in rows] == []
    stop, least = FULL_STOPS[language], LEAST_CHARACTERS[language]
    assert [label for label in labels if len(rows[label]) < least or stop not in rows[label]] == []


def test_pictures_of_help_pages_are_there_and_small() -> None:
    docs = LOCALES.parent / "web" / "docs"
    text = "".join(page.read_text(encoding="utf-8") for page in docs.glob("*/*.md"))
    # ComfyUI's page looks for them beside the folders of the nodes.
    shown = {docs / name for name in re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)}
    assert shown == set((docs / "pictures").iterdir())
    assert max(path.stat().st_size for path in shown) < 150_000


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_holds_a_sign_of_the_translator(language: str) -> None:
    # The editor's vue-i18n reads braces as names, @ as a link and | as plurals.
    for way, text in texts(language).items():
        assert not re.search(r"[{}@|]", text), way
