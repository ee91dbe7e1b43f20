"""A score as lines of text."""

from __future__ import annotations

from .numbers import NUMBERS
from .score import Score


def table(score: Score) -> str:
    """Return one line for each number, and what is to be said of the whole once."""
    lines = list(score.notes)
    for number in NUMBERS:
        value, reason = score.numbers[number.name], score.reasons.get(number.name, "")
        if value is not None:
            lines.append(f"{number.name:12s} {number.shown(value)}")
        elif reason not in score.notes:
            lines.append(f"{number.name:12s} - {reason}")
    if score.certainty is not None and score.numbers["offset"] is not None:
        lines.append(f"{'certainty':12s} {score.certainty:.1f} deviations of chance")
    return "\n".join(lines)
