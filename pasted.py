"""Paths as people paste them: in the quotes of a file manager, or a URL instead."""

from __future__ import annotations

import os
import re
from pathlib import Path

_QUOTES = ('""', "''", "“”", "„“", "‘’", "«»")  # noqa: RUF001 - these are the quotes
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/{1,3}[^/]")  # Path makes one slash of two; not C:/


def unquoted(text: str) -> str:
    """Return a path without blanks and a pair of quotes around it."""
    text = text.strip()
    if len(text) > 2 and text[0] + text[-1] in _QUOTES:
        return text[1:-1].strip()
    return text


def existing(path: str | Path) -> Path:
    """Return a path, without the quotes around it where only that is there."""
    bare = unquoted(str(path))
    if bare == str(path) or _is_there(str(path)) or not _is_there(bare):
        return Path(path)
    return Path(bare)


def _is_there(path: str) -> bool:
    return os.path.exists(os.path.expanduser(path))  # noqa: PTH110, PTH111 - these never raise


def url_problem(text: str) -> str:
    """Return a sentence where a text is a URL instead of a path, else nothing."""
    if not _URL.match(text):
        return ""
    slashes = "///" if text.lower().startswith("file:") else "//"
    shown = re.sub(r":/+", f":{slashes}", text, count=1)
    shown = shown if len(shown) <= 120 else f"{shown[:117]}..."
    return f"Expected a file, got the URL {shown!r}: download it and give the file."
