"""Which of six mouth shapes each 10 ms of speech asks for, by its sound and, if heard, its phones.

The sound is read by one linear step on the levels of ten bands at seven instants: lip closures
dip and end in a low burst, alveolar ones in a high one; round and spread vowels differ in the
second formant. The numbers are in ``shape_table.py``; benchmarks/fit_mouth_shapes.py fits them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from ..voice.levels import WINDOWS_PER_SECOND, band_energies, decibels, window_count
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
BANDS = list(pairwise(EDGES))
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


def shape_evidence(speech: np.ndarray) -> np.ndarray:
    """Return log-probabilities float32 (K, 6) of the shapes in each 10 ms of mono 16 kHz speech."""
    levels = BandLevels(speech)
    found = np.empty((levels.count, len(SHAPES)), np.float32)
    for first in range(0, levels.count, BLOCK):
        last = min(first + BLOCK, levels.count)
        found[first:last] = evidence_between(levels, None, first, last)
    return found


def evidence_between(
    levels: BandLevels, heard: PhoneGroups | None, first: int, last: int
) -> np.ndarray:
    """Return log-probabilities (last - first, 6) of the shapes in the windows from first on.

    heard: the phones, where they are heard.
    """
    score = around(levels, INSTANTS, first, last) @ (SOUND / 100) + np.array(SOUND_BIAS) / 100
    score = _log_shares(score)
    if heard is not None:
        joint = np.hstack([score, around(heard, PHONE_INSTANTS, first, last)])
        score = _log_shares(joint @ (PHONES / 100) + np.array(PHONES_BIAS) / 100)
    return score


class BandLevels:
    """Levels of ten bands in each 10 ms, relative to the recording's own speech.

    They are read when asked for: of hours they would take as much as all else.
    """

    def __init__(self, speech: np.ndarray) -> None:
        self._speech = speech
        self.count = window_count(speech)
        self._loudest = LEAST_ENERGY
        whole = np.empty(self.count)
        for here, energies in self._blocks():
            whole[here] = energies.sum(axis=1)
            self._loudest = max(self._loudest, float(energies.max()))
        whole = decibels(whole / self._loudest)
        spoken = whole > np.percentile(whole, 95) - SPEECH_DB
        total, loudest = np.zeros(len(BANDS)), np.full(len(BANDS), -np.inf)
        for here, energies in self._blocks():
            levels = decibels(energies / self._loudest)
            total += levels.sum(axis=0, where=spoken[here, None])
            loudest = np.maximum(loudest, levels.max(axis=0))
        self._usual = total / spoken.sum() + ABOVE_MEAN_DB if spoken.any() else loudest

    def _blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        for first in range(0, self.count, BLOCK):
            last = min(first + BLOCK, self.count)
            yield slice(first, last), band_energies(self._speech, BANDS, first, last).T

    def between(self, first: int, last: int) -> np.ndarray:
        """Return levels float32 (last - first, 10) of windows from first on."""
        levels = decibels(band_energies(self._speech, BANDS, first, last).T / self._loudest)
        relative = np.maximum(levels - self._usual, -RANGE_DB) / SCALE_DB
        return relative.astype(np.float32)


class PhoneGroups:
    """Which groups of phones are heard in each 10 ms. count: of these windows."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._bits = np.zeros(count, np.uint16)

    def add(self, phones: Iterable[Phone]) -> None:
        for phone in phones:
            first, last = (round(edge * WINDOWS_PER_SECOND) for edge in (phone.start, phone.end))
            self._bits[first:last] |= 1 << GROUP_OF.get(phone.name, 0)

    def between(self, first: int, last: int) -> np.ndarray:
        """Return float32 (last - first, 9): 1 where a phone of the group is heard."""
        bits = self._bits[first:last, None] >> np.arange(len(GROUPS), dtype=np.uint16)
        return (bits & 1).astype(np.float32)


def around(
    values: BandLevels | PhoneGroups, instants: Sequence[int], first: int, last: int
) -> np.ndarray:
    """Return the values at instants round each window from first to last: (k, instants x D)."""
    numbers = np.arange(first, last)
    places = np.clip(numbers[:, None] + np.array(instants), 0, values.count - 1)
    begin, end = int(places.min()), int(places.max()) + 1
    return values.between(begin, end)[places - begin].reshape(len(numbers), -1)


def _log_shares(score: np.ndarray) -> np.ndarray:
    score = score - score.max(axis=1, keepdims=True)
    return score - np.log(np.exp(score).sum(axis=1, keepdims=True))
