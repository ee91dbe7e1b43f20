"""The sound's side: how far open a mouth would plausibly be, and where nobody speaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ...media import AudioClip
from ..audio import to_speech
from ..pipeline.memory import VRAMManager
from ..puppet.loudness import smoothed
from ..puppet.sound_shapes import shape_evidence
from ..voice.detector import Memory, best_activity
from ..voice.gate import gate_of
from ..voice.levels import WINDOWS_PER_SECOND
from .offset import BLEND_SECONDS

# Rest, closed, tuck, wide, round, open: a gap between the lips that each sound may have. Not the
# puppet's own: what it opens does not change what a score is.
OPENINGS = (0.12, 0.0, 0.08, 0.46, 0.36, 0.52)
CONTRAST = 1.5  # power on the openings: wide shapes mark their time better than half open ones


@dataclass(frozen=True, eq=False)
class Speech:
    """expected: float64 (K,), plausible opening in each 10 ms, any unit. spoken: bool (K,).

    detector: what heard the speech.
    """

    expected: np.ndarray
    spoken: np.ndarray
    detector: str

    @property
    def seconds(self) -> float:
        return len(self.expected) / WINDOWS_PER_SECOND

    def silent(self, frame_rate: Fraction, frame_count: int) -> np.ndarray:
        """Return bool (T,): frames without speech, but for those in which a mouth still shuts."""
        return gate_of(self.spoken, frame_rate, frame_count).at_rest

    def at(self, times: np.ndarray) -> np.ndarray:
        """Return the plausible opening at these seconds (T,), as smooth as a mouth moves."""
        soft = smoothed(self.expected, BLEND_SECONDS * WINDOWS_PER_SECOND)
        places = times * WINDOWS_PER_SECOND - 0.5
        return np.interp(places, np.arange(len(soft)), soft, left=0, right=0)


def heard(sound: AudioClip, check: Callable[[], None], *, memory: Memory | None = None) -> Speech:
    """Listen to a sound of any rate; ``check`` is called all the time and may raise.

    memory: what is free for the detector; None asks the CPU's.
    """
    speech = to_speech(sound)
    check()
    activity = best_activity(speech, memory or VRAMManager("cpu"), check=check)
    evidence = np.exp(shape_evidence(speech)) @ np.array(OPENINGS) ** CONTRAST
    return Speech(evidence * activity.spoken, activity.spoken, activity.detector)
