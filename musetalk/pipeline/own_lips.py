"""Whose lips a mouth at rest shows: the picture's own, or generated ones, frame by frame."""

from __future__ import annotations

import numpy as np

from ..voice.gate import CROSSING
from ..voice.stretches import stretches

LEAST_SHUT = 5  # source frames: lips that are shut for fewer, as in m, b and p, are not shown


def generated_share(shut: np.ndarray, people: int = 1) -> np.ndarray:
    """Return the generated lips' share of a mouth at rest, float32 (N,), for every source frame.

    shut: bool (N,), whose own lips are shut; of several people, the N / people frames of each in
    turn. Where they stay shut the share is 0; in the two frames beside others both are mixed, so
    that a source that talks while the mouth rests does not make it flicker.
    """
    shares = [_share(shut[who::people]) for who in range(people)]
    return np.stack(shares, axis=1).reshape(-1)


def _share(shut: np.ndarray) -> np.ndarray:
    lasting = shut.copy()
    for first, end in stretches(shut):
        # What goes on before the first frame and after the last is not known.
        lasting[first:end] = end - first >= LEAST_SHUT or first == 0 or end == shut.size
    share = (~lasting).astype(np.float32)
    for step in range(1, CROSSING + 1):
        beside = np.float32(1 - step / (CROSSING + 1))
        share[step:] = np.maximum(share[step:], beside * ~lasting[:-step])
        share[:-step] = np.maximum(share[:-step], beside * ~lasting[step:])
    return share
