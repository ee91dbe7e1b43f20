"""The papers name files that are there, and none of them is hidden."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAPERS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
FILE = re.compile(r"`((?:[\w-]+/)+(?:[\w-]+\.(?:py|md|json|toml|txt))?)`")
LINK = re.compile(r"\]\(([^)#:]+)\)")


def missing(text: str, folder: Path) -> list[str]:
    """Return files in backticks, from the root, and links, from ``folder``, that are not there."""
    files = [path for path in FILE.findall(text) if not (ROOT / path).exists()]
    return files + [path for path in LINK.findall(text) if not (folder / path).exists()]


@pytest.mark.parametrize("paper", PAPERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_it_names_is_there(paper: Path) -> None:
    assert missing(paper.read_text(encoding="utf-8"), paper.parent) == []


def test_every_page_is_linked_from_where_newcomers_begin() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    pages = [path.relative_to(ROOT).as_posix() for path in DOCS.glob("*.md")]
    assert pages
    assert [page for page in pages if f"]({page})" not in text] == []


def test_what_is_not_there_is_seen() -> None:
    text = "`musetalk/engine.py`, `musetalk/gone.py`, `gone/`, [a](README.md), [b](gone.md)"
    assert missing(text, ROOT) == ["musetalk/gone.py", "gone/", "gone.md"]
