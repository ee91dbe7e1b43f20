"""Texts of others, made fit for a line of ours."""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

MOST_LINE = 500  # characters of a text of others within a sentence
MOST_TEXT = 100_000  # of a text that is shown as it is
LONGEST_NUMBER = 400  # characters: the largest float written out has 309
EXPONENT_DIGITS = 3
# Cc: control characters, with which a terminal is steered; Cf: among them those that turn the
# direction of a line; Cs: halves of characters, which cannot be written.
_STEERING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def one_line(text: object, most: int = MOST_LINE) -> str:
    """Return a text on one line without control characters, cut where it is long."""
    shown = " ".join(plain(text, most * 4).split())
    return shown if len(shown) <= most else shown[: most - 3] + "..."


def plain(text: object, most: int = MOST_TEXT) -> str:
    """Return a text without control characters but for line ends and tabs."""
    kept = str(text)[:most]
    if kept.isascii() and kept.isprintable():
        return kept
    return "".join(c if _is_plain(c) else "\N{REPLACEMENT CHARACTER}" for c in kept)


def shown(value: object, most: int = 100) -> str:
    """Return a value as Python writes it, cut where that is long."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a stranger's own, or a number of thousands of digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= most else text[: most - 3] + "..."


def exact_number(text: str) -> Fraction:
    """Return a number as it is written. Raises ValueError, also for one too long to be meant.

    Fraction itself computes for minutes where an exponent has eight digits.
    """
    exponent = re.search(r"[eE][+-]?0*(\d*)$", text.strip())
    if len(text) > LONGEST_NUMBER or (exponent and len(exponent[1]) > EXPONENT_DIGITS):
        raise ValueError(f"not a plausible number: {text[:LONGEST_NUMBER]!r}")
    try:
        return Fraction(text)
    except ZeroDivisionError as error:
        raise ValueError(f"a division by zero: {text!r}") from error


def _is_plain(character: str) -> bool:
    return character in "\n\t" or unicodedata.category(character) not in _STEERING
