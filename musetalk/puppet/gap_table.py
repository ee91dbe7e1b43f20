"""How far a mouth is drawn open so that it is seen as far open as is asked: the numbers.

A gap of 0.12 mouth widths shows as one on some faces and as shut lips on others, where pale teeth
or a reddish shade pass for lip; from there on it grows the faster, and the faster the rounder the
mouth is. ``seen_gaps.py`` looks at a puppet's poses.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .lip_table import HIGHEST
from .pose import REST_WIDTH, MouthPose

DRAWN = (0.05, 0.09, 0.13, 0.17, 0.2, 0.23, 0.28, 0.36)  # gaps that are looked at, mouth widths
ROUND_WIDTH = 0.8  # of a mouth that is looked at beside one at rest
WIDTHS = (ROUND_WIDTH, REST_WIDTH)
MOST_MORE, MOST_LESS = 0.1, 0.03  # mouth widths that are drawn more or less than is asked
MOST_TIMES = 3.0  # the gap that is asked for: lips that hardly part stay so
ASKED = np.linspace(0, HIGHEST, 53)
# Added to them: where nothing else moves, a video codec blurs the mouth of one frame into the next,
# so that gaps come out wider beside shut lips, and peaks lower.
CODEC = ((0.06, 0.13, 0.26), (0.0, -0.005, 0.01))


@dataclass(frozen=True, eq=False)
class GapTable:
    """How far a mouth is drawn open, which depends on how far it is open in the source.

    own: gaps in the source that were looked at, rising, float64 (k,), mouth widths. drawn: for
    each, for mouths of both WIDTHS and the gaps ASKED, float64 (k, 2, 53), mouth widths.
    """

    own: np.ndarray
    drawn: np.ndarray

    def pose(self, pose: MouthPose, own: float = 0.0) -> MouthPose:
        """Return the pose to draw so that this one is seen. own: the source's gap."""
        place = np.interp(pose.opening, ASKED, np.arange(ASKED.size))
        below = min(int(place), ASKED.size - 2)
        share = place - below
        gaps = self.drawn[..., below] * (1 - share) + self.drawn[..., below + 1] * share
        narrow, usual = (np.interp(own, self.own, gaps[:, one]) for one in range(len(WIDTHS)))
        return pose._replace(opening=float(np.interp(pose.width, WIDTHS, [narrow, usual])))


def gap_table(own: np.ndarray, readings: np.ndarray, *, is_still: bool) -> GapTable:
    """Return what has to be drawn.

    own: float64 (k,), gaps in the source, rising. readings: for each (k, 2, 8), of DRAWN above
    shut lips in mouths of both WIDTHS. All in mouth widths.
    """
    aimed = ASKED + np.interp(ASKED, *CODEC) if is_still else ASKED
    return GapTable(own, np.array([[_drawn(aimed, seen) for seen in each] for each in readings]))


def _drawn(aimed: np.ndarray, seen: np.ndarray) -> np.ndarray:
    seen = np.maximum.accumulate(np.maximum(seen, 0))
    more = np.interp(aimed, np.append(0, seen), np.append(0, np.array(DRAWN) - seen))
    drawn = aimed + np.clip(more, -MOST_LESS, MOST_MORE)
    drawn = np.clip(drawn, 0, np.minimum(MOST_TIMES * ASKED, HIGHEST))
    return np.maximum.accumulate(drawn)
