"""Several puppets in one clip: each mouth moves by its own speech, nobody else's face changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...media import Avatar, Box
from ..face.lay_over import lay_over, whole_box
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
                voice = self.voices[place]
                if puppet is None or puppet.is_source(pose := voice.pose_at(number, puppet)):
                    continue
                spoken = puppet.render(pose)
                if (mask := voice.mask) is not None:
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
            for x0, y0, x1, y1 in map(whole_box, self.others(place, 0)):
                mask[y0:y1, x0:x1] = 0
            np.maximum(whole, mask if voice.mask is None else mask * voice.mask, out=whole)
        return whole

    def passed_through(self) -> np.ndarray:
        """Return bool (T,): output frames in which nobody who speaks is seen."""
        return np.logical_and.reduce([voice.passed_through() for voice in self.voices])
