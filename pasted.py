"""Paths as people paste them: in quotes, with marks of a system around, or a URL instead."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

_QUOTES = (
    *('""', "''", "``", "<>", "“”", "„“", "„”", "‘’", "‚‘", "‚’"),  # noqa: RUF001 - these are the quotes
    *("«»", "»«", "‹›", "「」", "『』"),  # noqa: RUF001 - the same
)
# What is not seen: marks of a direction, which Windows puts before a path that it shows, of a
# text's beginning and of no width.
_UNSEEN = "\u200b\u200e\u200f\u202a\u202c\u2066\u2068\u2069\ufeff"
# Path makes one slash of two, and on Windows a backslash; a single letter is a drive.
_URL = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]+:[/\\]{1,5}[^/\\]|blob:https?:|magnet:\?|data:[^/]+/[^/]*,"
)
# As terminals write blanks and the like in a path; no dots, which could lead out of a folder.
_ESCAPED = re.compile(r"\\([ '\"()\[\]{}&!$;#*?<>|`])")


def unquoted(text: str) -> str:
    """Return a path without blanks, unseen marks and a pair of quotes around it."""
    text = _bare(text)
    if len(text) > 2 and text[0] + text[-1] in _QUOTES:
        return _bare(text[1:-1])
    return text


def _bare(text: str) -> str:
    while text != (text := text.strip().strip(_UNSEEN)):
        pass
    return text


def unescaped(text: str) -> str:
    """Return a path without the backslashes before blanks that other systems' terminals write."""
    return text if os.sep == "\\" else _ESCAPED.sub(r"\1", text)


def existing(path: str | Path) -> Path:
    """Return a path; where only that is there, without what was pasted around it or with its home.

    The path of a home is written out where it begins with a tilde.
    """
    bare = unquoted(str(path))
    for spelled in (str(path), bare, unescaped(bare)):
        for found in (spelled, os.path.expanduser(spelled)):  # noqa: PTH111 - never raises
            if os.path.exists(found):  # noqa: PTH110 - the same
                return Path(found)
    return Path(path)


def url_problem(text: str) -> str:
    """Return a sentence where a text is a URL instead of a path to read, else nothing."""
    text = unquoted(text)
    if not _URL.match(text):
        return ""
    if text.lower().startswith("file:"):
        path = _path_in(text[len("file:") :])
        return f"Expected a file, got the URL {_shown(text)!r}: give its path, {_cut(path)!r}."
    return f"Expected a file, got the URL {_shown(text)!r}: download it and give the file."


def url_to_write(text: str) -> str:
    """Return a sentence where a text is a URL instead of a path to write, else nothing."""
    text = unquoted(text)
    if not _URL.match(text):
        return ""
    return f"Expected a file to write, got the URL {_shown(text)!r}: give a path on this machine."


def _path_in(text: str) -> str:
    """Return the path in a file URL, given without its scheme."""
    text = unquote(text.replace("\\", "/"))
    for local in ("//localhost/", "/localhost/"):
        text = text.replace(local, "/", 1) if text.startswith(local) else text
    if re.match(r"/*[A-Za-z]:/", text):
        return text.lstrip("/")
    of_a_server = text.startswith("////") or re.match(r"//[^/]", text) is not None
    return ("//" if of_a_server else "/") + text.lstrip("/")


def _shown(url: str) -> str:
    slashes = "///" if re.match(r"file:/[^/]", url, re.IGNORECASE) else "//"
    return _cut(re.sub(r"^([^:/\\]+:)[/\\]{1,2}(?![/\\])", rf"\1{slashes}", url))


def _cut(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:117]}..."
