"""Several puppets in one clip: each mouth moves by its own speech, nobody else's face changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...media import Avatar, Box
from ..source_frames import read_frames
from .playback import PuppetPlayback, blend
from .puppet import Puppet


@dataclass(frozen=True, eq=False)
class PeoplePlayback:
    """voices: the playback of each speaker alone, over the same frames of the same avatar.

    others: returns the faces in an avatar frame that are not those of the speaker of that number.
    """

    avatar: Avatar
    indices: np.ndarray  # int64 (T,), the avatar's frame shown in every output frame
    voices: Sequence[PuppetPlayback]
    others: Callable[[int, int], Sequence[Box]] = field(repr=False)

    def frames(self) -> Iterator[np.ndarray]:
        """Iterate from the start: uint8 RGB (H, W, 3)."""
        puppets: list[Puppet | None] = [None] * len(self.voices)
        posed = -1
        for number, frame in enumerate(read_frames(self.avatar, self.indices)):
            index = int(self.indices[number])
            if index != posed:
                pairs = zip(self.voices, puppets, strict=True)
                puppets = [voice.puppet_of(frame, index, after=last) for voice, last in pairs]
                posed = index
            shown = frame
            for place, puppet in enumerate(puppets):
                pose = self.voices[place].motion.at(number)
                if puppet is None or puppet.is_source(pose):
                    continue
                spoken = puppet.render(pose)
                if (mask := self.voices[place].mask) is not None:
                    spoken = blend(frame, spoken, mask)
                shown = frame.copy() if shown is frame else shown
                lay_over(shown, frame, spoken, puppet.region, self.others(place, index))
            yield shown

    def mask(self) -> np.ndarray:
        """Return float32 (H, W), 0..1: where the first frame may differ from the source."""
        whole = np.zeros((self.avatar.height, self.avatar.width), np.float32)
        frame = self.avatar.first_frame()
        for place, voice in enumerate(self.voices):
            puppet = voice.puppet_of(frame, 0)
            if puppet is None:
                continue
            mask = puppet.mask()
            for x0, y0, x1, y1 in map(_whole, self.others(place, 0)):
                mask[y0:y1, x0:x1] = 0
            np.maximum(whole, mask if voice.mask is None else mask * voice.mask, out=whole)
        return whole

    def passed_through(self) -> np.ndarray:
        """Return bool (T,): output frames in which nobody who speaks is seen."""
        return np.logical_and.reduce([voice.passed_through() for voice in self.voices])


def lay_over(
    shown: np.ndarray, frame: np.ndarray, spoken: np.ndarray, region: Box, others: Sequence[Box]
) -> None:
    """Bring what speaking changed in a region into ``shown``, but for where other faces are."""
    x0, y0, x1, y1 = _whole(region)
    area = (slice(y0, y1), slice(x0, x1))
    changed = spoken[area] != frame[area]
    for left, top, right, bottom in map(_whole, others):
        rows = slice(max(top - y0, 0), max(bottom - y0, 0))
        changed[rows, max(left - x0, 0) : max(right - x0, 0)] = False
    np.copyto(shown[area], spoken[area], where=changed)


def _whole(box: Box) -> tuple[int, int, int, int]:
    """Return a box in whole pixels, none of them before the picture's first."""
    x0, y0, x1, y1 = box
    return max(int(x0), 0), max(int(y0), 0), max(-int(-x1 // 1), 0), max(-int(-y1 // 1), 0)
