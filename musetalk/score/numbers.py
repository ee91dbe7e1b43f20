"""What is measured: each number's unit, range, meaning and weakness, and limits on them.

Nothing heavy is imported: the commands' help reads this table.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ...errors import MediaError

MOST_FRAMES = 15  # either way: how far sound is looked for
SURE = 4.0  # deviations of chance that the offset's peak must stand out by
CERTAINTY = (
    "An offset comes with its certainty (0 up, in standard deviations): how far its peak stands "
    f"out from chance; below {SURE:g}, offset and correlation are left out. Weakness: it grows "
    "with the length of the speech, so do not compare two videos by it."
)


@dataclass(frozen=True)
class Number:
    """One thing that is measured.

    least, most: what it can be, inclusive; ``most`` may be infinite.
    digits: after the point, where it is shown.
    at_most: a limit on it is an upper one; False: a lower one.
    """

    name: str
    unit: str
    least: float
    most: float
    digits: int
    at_most: bool
    meaning: str
    weakness: str

    @property
    def range(self) -> str:
        return range_of(self.least, self.most)

    def shown(self, value: float, *, finer: int = 0) -> str:
        """Return it with its unit. finer: digits more than it has."""
        sign, digits = "+" if self.least < 0 else "", self.digits + finer
        rounded = round(value, digits) + 0.0  # which makes -0.0 0.0
        return f"{rounded:{sign}.{digits}f} {self.unit}".rstrip()


def range_of(least: float, most: float) -> str:
    """Return "0 to 1", or "0 up" where there is no most."""
    return f"{least:g} to {most:g}" if math.isfinite(most) else f"{least:g} up"


NUMBERS = (
    Number(
        "offset",
        "frames",
        -MOST_FRAMES,
        MOST_FRAMES,
        1,
        True,
        "By how many frames the sound comes too late (+) or too early (-) for the mouth.",
        "It depends on when the lower lip drops, not on the shape of the mouth, so real speech "
        "needs ten to twenty seconds of video, or five if the mouth moves clearly. If a camera "
        "stamps a frame with the time of its start, the value is half a frame too low.",
    ),
    Number(
        "correlation",
        "",
        0,
        1,
        2,
        False,
        "How well the motion of the lower lip matches the opening that the speech suggests, at "
        "that offset; 1 is a perfect match.",
        "Real people reach 0.3 to 0.5, less than a robot that opens its mouth on every vowel; "
        "music or a second voice lowers it.",
    ),
    Number(
        "closure",
        "",
        0,
        1,
        2,
        False,
        "Of the frames without speech, the share in which the mouth is as shut as it gets in the "
        "video.",
        "People pause with parted lips (recordings score 0 to 0.25), and a smile with teeth "
        "counts as open; music can be taken for speech.",
    ),
    Number(
        "jitter",
        "mouth widths",
        0,
        math.inf,
        4,
        True,
        "How far the middle of the mouth shakes against the head from frame to frame.",
        "The face mesh itself shakes by 0.001 on a still head, and speech moves the corners of "
        "the mouth: real people reach 0.005 to 0.01; at 60 frames per second the value is lower "
        "than at 25.",
    ),
    Number(
        "sharpness",
        "",
        0,
        math.inf,
        2,
        False,
        "Fine detail around the mouth, compared with the rest of the face; 1 is equally sharp, "
        "less is softer.",
        "Unedited faces score 0.75 to 1; beards and teeth raise it, make-up and shadow lower "
        "it: compare with the same person's source.",
    ),
    Number(
        "change",
        "levels of 255",
        0,
        255,
        2,
        True,
        "With a source: the mean difference between the two outside the lower face.",
        "Encoding alone gives 1 to 2, and any movement of the head counts; frames are compared "
        "in order, until the source ends.",
    ),
)
OF = {number.name: number for number in NUMBERS}
MORE_DIGITS = 6  # at most, where a number would be shown as the limit that it is beyond


class Limit(NamedTuple):
    """The least or most that a number may be, whichever its kind of limit is."""

    number: Number
    value: float

    def failure(self, found: float | None, reason: str) -> str | None:
        """Return a sentence where the number is beyond its limit or was not measured."""
        name, kind = self.number.name, "at most" if self.number.at_most else "at least"
        wanted = f"Expected {name} of {kind} {self.value:g}"
        if name == "offset":
            wanted += " either way"
        if found is None:
            return f"{wanted}, but it was not measured: {reason}"
        return f"{wanted}, got {self._apart(found)}." if self._is_beyond(found) else None

    def _is_beyond(self, found: float) -> bool:
        return abs(found) > self.value if self.number.at_most else found < self.value

    def _apart(self, found: float) -> str:
        """Return the number with as many digits as it takes to see that it is beyond."""
        more = range(MORE_DIGITS)
        apart = (n for n in more if self._is_beyond(round(found, self.number.digits + n)))
        return self.number.shown(found, finer=next(apart, MORE_DIGITS))


def parse_limits(text: str) -> tuple[Limit, ...]:
    """Return the limits written as "offset=1,closure=0.9". Raises MediaError."""
    limits: list[Limit] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, written = (each.strip() for each in part.partition("="))
        if name not in OF:
            raise MediaError(
                f"Expected limits on some of {', '.join(OF)}, got {name[:100]!r}: write them as "
                "offset=1,closure=0.9."
            )
        try:
            value = float(written)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise MediaError(f"Expected a number for {name}, got {written[:100]!r}.")
        # The offset's is one either way.
        least, most = max(OF[name].least, 0), OF[name].most
        if not least <= value <= most:
            raise MediaError(
                f"Expected a limit on {name} within {range_of(least, most)}, got {written[:100]}."
            )
        if any(limit.number.name == name for limit in limits):
            raise MediaError(f"Expected one limit on {name}, got two.")
        limits.append(Limit(OF[name], value))
    if not limits:
        raise MediaError("Expected limits such as offset=1,closure=0.9, got none.")
    return tuple(limits)


def needs_source(limits: Iterable[Limit]) -> bool:
    """Return whether a limit is on a number that only a source gives."""
    return any(limit.number.name == "change" for limit in limits)


def failures(
    limits: tuple[Limit, ...],
    numbers: Mapping[str, float | None],
    reasons: Mapping[str, str],
) -> list[str]:
    """Return one sentence for each limit that is not kept."""
    found = (
        limit.failure(numbers[limit.number.name], reasons.get(limit.number.name, ""))
        for limit in limits
    )
    return [sentence for sentence in found if sentence is not None]
