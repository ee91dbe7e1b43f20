"""Which of six mouth shapes each 10 ms of speech asks for, by its sound and, if heard, its phones.

The sound is read by one linear step on the levels of ten bands at seven instants: lip closures
dip and end in a low burst, alveolar ones in a high one; round and spread vowels differ in the
second formant. The numbers are in ``shape_table.py``; benchmarks/fit_mouth_shapes.py fits them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ..voice.levels import WINDOWS_PER_SECOND, band_energies, decibels
from .phones import Phone
from .shape_table import PHONES, PHONES_BIAS, SOUND, SOUND_BIAS

SHAPES = ("rest", "closed", "tuck", "wide", "round", "open")
REST, CLOSED, TUCK, WIDE, ROUND, OPEN = range(len(SHAPES))
EDGES = (
    80.0,
    300.0,
    500.0,
    800.0,
    1200.0,
    1700.0,
    2300.0,
    3000.0,
    4000.0,
    5500.0,
    7800.0,
)  # Hz, of the bands
INSTANTS = (-9, -5, -2, 0, 2, 5, 9)  # windows around the one that is judged
PHONE_INSTANTS = (-4, 4)  # and for the phones
SPEECH_DB = 25.0  # windows this far below the loudest still say how the recording sounds
LEAST_ENERGY = 1e-20  # mean square: silence is not made loud
RANGE_DB = 35.0  # below this the room is heard, not the mouth
ABOVE_MEAN_DB = 8.0  # of a band's mean: where its range ends
SCALE_DB = 20.0
BLOCK = 8192  # windows judged at a time
GROUPS = (
    "SIL +SPN+ +NSN+",
    "M B P",
    "F V",
    "UW OW AO UH W OY",
    "IY EY IH Y EH",
    "AA AH AE AY AW ER",
    "T D K G CH JH",
    "S Z SH ZH TH",
    "N NG L R HH DH",
)  # phones that look alike, in ARPABET
GROUP_OF = {name: number for number, names in enumerate(GROUPS) for name in names.split()}


def shape_evidence(speech: np.ndarray, phones: Sequence[Phone] | None = None) -> np.ndarray:
    """Return log-probabilities float32 (K, 6) of the shapes in each 10 ms of mono 16 kHz speech."""
    levels = band_levels(speech)
    heard = None if phones is None else phone_groups(phones, len(levels))
    found = np.empty((len(levels), len(SHAPES)), np.float32)
    for first in range(0, len(levels), BLOCK):
        here = slice(first, first + BLOCK)
        score = around(levels, INSTANTS, here) @ (SOUND / 100) + np.array(SOUND_BIAS) / 100
        score = _log_shares(score)
        if heard is not None:
            joint = np.hstack([score, around(heard, PHONE_INSTANTS, here)])
            score = _log_shares(joint @ (PHONES / 100) + np.array(PHONES_BIAS) / 100)
        found[here] = score
    return found


def band_levels(speech: np.ndarray) -> np.ndarray:
    """Return levels float32 (K, 10) in each 10 ms, relative to the recording's own speech."""
    levels = band_energies(speech, list(pairwise(EDGES))).T
    levels /= max(float(levels.max(initial=0)), LEAST_ENERGY)
    whole = decibels(levels.sum(axis=1))
    blocks = [slice(first, first + BLOCK) for first in range(0, len(levels), BLOCK)]
    for here in blocks:  # in place: of hours they take as much as everything else
        levels[here] = decibels(levels[here])
    spoken = whole > np.percentile(whole, 95) - SPEECH_DB
    usual = levels.max(axis=0)
    if spoken.any():
        usual = levels.mean(axis=0, where=spoken[:, None]) + ABOVE_MEAN_DB
    # Into the memory of what was read already: half of it is enough.
    found = levels.reshape(-1).view(np.float32)[: levels.size].reshape(levels.shape)
    for here in blocks:
        relative = np.maximum(levels[here] - usual, -RANGE_DB) / SCALE_DB
        found[here] = relative
    return found


def phone_groups(phones: Sequence[Phone], count: int) -> np.ndarray:
    """Return float32 (count, 9): 1 where a phone of the group is heard."""
    heard = np.zeros((count, len(GROUPS)), np.float32)
    for phone in phones:
        first, last = (round(edge * WINDOWS_PER_SECOND) for edge in (phone.start, phone.end))
        heard[first:last, GROUP_OF.get(phone.name, 0)] = 1
    return heard


def around(values: np.ndarray, instants: Sequence[int], here: slice) -> np.ndarray:
    """Return the values (K, D) at instants round each window of a slice: (k, instants x D)."""
    numbers = np.arange(len(values))[here]
    places = np.clip(numbers[:, None] + np.array(instants), 0, len(values) - 1)
    return values[places].reshape(len(numbers), -1)


def _log_shares(score: np.ndarray) -> np.ndarray:
    score = score - score.max(axis=1, keepdims=True)
    return score - np.log(np.exp(score).sum(axis=1, keepdims=True))
