"""An encoder's own options, given by a user: known ones only, and never the name of a file.

Encoders can write statistics and read tables by options; a format file that somebody shares must
not be able to do that, nor add an input or output to a command line. What is allowed stands in
``known_options``; this module looks names up, also those inside lists such as "x265-params".
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

from ...errors import EncodeError
from .known_options import FLAGS, LISTS, options_of

# Quotes and backslashes would hide a separator from us that an encoder's parser does not see.
_VALUE = re.compile(r"[^/\\'\"\x00-\x1f\x7f]{0,1000}")
_PLAIN = re.compile(r"[\w-]{1,64}", re.ASCII)
_SHOWN = 12  # names in an error


def option_texts(options: Mapping[str, object], *, where: str) -> dict[str, str]:
    """Return options as texts, whichever encoder they are for. Raises EncodeError."""
    texts: dict[str, str] = {}
    for name, value in options.items():
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise EncodeError(
                f"Expected text or a number for the option {name} in {where!r}, got {value!r}."
            )
        texts[name] = str(value)
    return texts


def checked_options(options: Mapping[str, object], *, encoder: str, where: str) -> dict[str, str]:
    """Return options as FFmpeg spells them. Raises EncodeError for one that may not be given."""
    checked: dict[str, str] = {}
    allowed = options_of(encoder)
    for given, text in option_texts(options, where=where).items():
        name = _known(given, allowed)
        if name is None:
            raise _unknown(given, encoder, where, allowed)
        if _same(name) in map(_same, checked):
            raise EncodeError(
                f"Expected each option of {encoder} once in {where!r}, got {given} twice in "
                "different spellings: remove one."
            )
        if not _VALUE.fullmatch(text):
            raise EncodeError(
                f"Expected options of {encoder} that name no files in {where!r}, got {name} = "
                f"{text[:200]!r}: use no slashes, quotes, backslashes or control characters."
            )
        _check_inside(name, text, encoder, where)
        checked[name] = text
    return checked


def parse_options(text: str) -> dict[str, str]:
    """Read ``name=value,name=value``. Raises EncodeError."""
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if not all(equals for _, equals, _ in pairs):
        raise EncodeError(f"Expected encoder options as name=value,name=value, got {text!r}.")
    names = [name.strip() for name, _, _ in pairs]
    if len(set(names)) < len(names):
        raise EncodeError(f"Expected each encoder option once, got {text!r}: remove one.")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _check_inside(name: str, text: str, encoder: str, where: str) -> None:
    """Look up the options or flags that a value is made of."""
    if name == "flags":
        for flag in re.split("[+-]", text.strip().lstrip("+-")):
            if flag.strip() not in FLAGS:
                raise _unknown(flag, encoder, where, FLAGS, inside=name)
    elif name in LISTS:
        for item in text.split(":"):
            given = item.partition("=")[0].strip()
            positive = re.sub("^no[-_]", "", given, flags=re.IGNORECASE)
            if _known(positive, LISTS[name]) is None:
                raise _unknown(given, encoder, where, LISTS[name], inside=name)


def _same(name: str) -> str:
    return name.lower().replace("_", "-")


def _known(given: str, allowed: frozenset[str]) -> str | None:
    """Return the allowed name that is meant, None where there is none."""
    if given in allowed:
        return given
    return next((name for name in sorted(allowed) if _same(name) == _same(given)), None)


def _unknown(
    given: str, encoder: str, where: str, allowed: Iterable[str], inside: str | None = None
) -> EncodeError:
    name = given if _PLAIN.fullmatch(given) else repr(given[:64])
    by_same = {_same(known): known for known in sorted(allowed)}
    near = [by_same[match] for match in difflib.get_close_matches(_same(given), by_same, n=4)]
    listed = ", ".join(sorted(allowed)[:_SHOWN]) + (" and others" if len(by_same) > _SHOWN else "")
    return EncodeError(
        f"Expected options of {encoder} that name no files in {where!r}, but {name}"
        f"{f' in {inside}' if inside else ''} is not a known one: remove it; "
        + (f"similar ones are {', '.join(near)}." if near else f"known are {listed}.")
    )
