"""Places without a picture in a file of otherwise constant rate.

Where a container lost whole packets nothing is left that could fail to decode: only the times of
the others tell.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction

LONGEST_STEP = Fraction(1, 5)  # seconds; pictures that stay longer are slides
MOST_GAPS = Fraction(1, 20)  # of the steps; with more of them the rate does vary
MIN_STEPS = 10  # fewer say nothing about a rate


def missing_count(ticks: Sequence[int], unit: Fraction) -> int:
    """Return how many pictures are missing between frames at these times, ascending.

    That is 0 where the rate varies: all steps but a few are the same to a tick, and those few are
    whole multiples of it. unit: seconds of a tick.
    """
    steps = [b - a for a, b in itertools.pairwise(ticks)]
    if len(steps) < MIN_STEPS:
        return 0
    usual = sorted(steps)[len(steps) // 2]
    plain = [step for step in steps if abs(step - usual) <= 1]
    gaps = [step for step in steps if abs(step - usual) > 1]
    if not plain or not gaps or len(gaps) > max(1, len(steps) * MOST_GAPS):
        return 0
    exact = Fraction(sum(plain), len(plain))
    if exact <= 0 or exact * unit > LONGEST_STEP:
        return 0
    counts = [round(step / exact) for step in gaps]
    # The usual step is known to a tick over all of the plain ones.
    whole = (
        count > 1 and abs(step - count * exact) <= 1 + Fraction(count, len(plain))
        for step, count in zip(gaps, counts, strict=True)
    )
    return sum(count - 1 for count in counts) if all(whole) else 0


def missing_note(ticks: Sequence[int], unit: Fraction, begin: int | None = None) -> str:
    """Say how many pictures are missing; empty for none.

    begin: the first key frame's time. What a cut file has before it is not told by its gaps.
    """
    missing = missing_count([tick for tick in ticks if begin is None or tick >= begin], unit)
    if not missing:
        return ""
    of = f"{missing} of {missing + len(ticks)} pictures"
    return f"The file lacks {of}, a gap in its constant rate; the previous one is shown instead."
