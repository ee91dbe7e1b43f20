"""How far the mouth follows the speech in every frame: fully, not at all, or on the way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from .levels import WINDOWS_PER_SECOND
from .stretches import stretches

# From the last frame with speech to rest and from rest to the first, in seconds: whole frames of
# it, at least one.
RELEASE = ATTACK = Fraction(8, 100)
CROSSING = 2  # frames at most that mix generated pixels with those of the source


@dataclass(frozen=True, eq=False)
class Gate:
    """weight: float32 (T,), 0 at rest .. 1 as heard. attack, release: frames between the two.

    detector: what heard the speech, for the report.
    """

    weight: np.ndarray
    attack: int
    release: int
    detector: str

    @property
    def at_rest(self) -> np.ndarray:
        """Bool (T,)."""
        return self.weight == 0

    def crossing(self) -> np.ndarray:
        """Return float32 (T,): the generated pixels' share; under 1 in two frames beside a rest."""
        near = np.zeros(self.weight.size, np.float32) + np.inf
        for frames, step in ((self.release, -1), (self.attack, 1)):
            reach = min(frames, CROSSING)
            for distance in range(1, reach + 1):
                beside = _shifted(self.at_rest, step * distance) & (self.weight > 0)
                share = np.float32(distance / (reach + 1))
                near[beside] = np.minimum(near[beside], share)
        near[self.at_rest] = 0
        return np.minimum(near, 1)


@dataclass(frozen=True, eq=False)
class WovenGate(Gate):
    """The gates of several speakers, whose frames follow each other in turn."""

    gates: tuple[Gate, ...] = ()

    @classmethod
    def of(cls, gates: Sequence[Gate]) -> WovenGate:
        first = gates[0]
        weight = np.stack([each.weight for each in gates], axis=1).reshape(-1)
        return cls(weight, first.attack, first.release, first.detector, tuple(gates))

    def crossing(self) -> np.ndarray:
        return np.stack([each.crossing() for each in self.gates], axis=1).reshape(-1)


def gate_of(
    spoken: np.ndarray, frame_rate: Fraction, frame_count: int, detector: str = "given"
) -> Gate:
    """Return the gate of speech heard in windows of 10 ms, bool (K,).

    A frame is as heard where a spoken window overlaps the time from t / rate to (t + 1) / rate.
    Pauses too short for one frame of rest stay as heard.
    """
    frames = _frames_with(spoken, frame_rate, frame_count)
    attack, release = (max(1, math.floor(each * frame_rate)) for each in (ATTACK, RELEASE))
    weight = np.ones(frame_count, np.float32)
    for first, end in stretches(~frames):
        falling = release if first > 0 else 0
        rising = attack if end < frame_count else 0
        if end - first <= falling + rising:
            continue
        weight[first:end] = 0
        weight[first : first + falling] = 1 - np.arange(1, falling + 1) / (falling + 1)
        weight[end - rising : end] = np.arange(1, rising + 1) / (rising + 1)
    return Gate(weight, attack, release, detector)


def _frames_with(spoken: np.ndarray, frame_rate: Fraction, frame_count: int) -> np.ndarray:
    """Return bool (T,): frames that a spoken window overlaps, exact."""
    step = Fraction(WINDOWS_PER_SECOND) / frame_rate
    counted = np.concatenate([[0], np.cumsum(spoken)])
    firsts = (math.floor(number * step) for number in range(frame_count))
    ends = (math.ceil((number + 1) * step) for number in range(frame_count))
    first, end = (
        np.fromiter(each, np.int64, frame_count).clip(0, spoken.size) for each in (firsts, ends)
    )
    return counted[end] > counted[first]


def _shifted(flags: np.ndarray, by: int) -> np.ndarray:
    """Return bool (T,): whether the frame ``by`` places earlier (later where negative) is set."""
    moved = np.roll(flags, by)
    moved[slice(by) if by > 0 else slice(by, None)] = False
    return moved
