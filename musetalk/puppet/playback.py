"""The puppet over a whole clip: one warped frame after the other, made when it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...media import Avatar, LipShape
from ..source_frames import read_frames
from .gap_table import GapTable
from .pose import Motion, MouthPose
from .puppet import Puppet


@dataclass(frozen=True, eq=False)
class PuppetPlayback:
    """What a puppet clip is made of. Nothing in it but the driver grows with length.

    indices: int64 (T,), the avatar's frame shown in every output frame.
    shapes: the lips of every avatar frame; None lets the frame pass through.
    mask: float32 (H, W), 0..1, where the user lets the picture change; None is everywhere.
    points, rest_widths: of every avatar frame, as in ``LipTrack``.
    finer: returns the part of an avatar frame that a puppet is made of, enlarged; None: there is
        no such picture of that frame, or of none.
    gaps: how far the mouth is drawn open; None is as far as the motion says.
    """

    avatar: Avatar
    indices: np.ndarray
    motion: Motion
    shapes: Sequence[LipShape | None]
    mask: np.ndarray | None = field(default=None, repr=False)
    points: Sequence[np.ndarray | None] | None = field(default=None, repr=False)
    rest_widths: np.ndarray | None = field(default=None, repr=False)
    finer: Callable[[int], np.ndarray | None] | None = field(default=None, repr=False)
    gaps: GapTable | None = field(default=None, repr=False)

    def frames(self) -> Iterator[np.ndarray]:
        """Iterate from the start: uint8 RGB (H, W, 3)."""
        puppet: Puppet | None = None
        posed = -1
        for number, frame in enumerate(read_frames(self.avatar, self.indices)):
            index = int(self.indices[number])
            if index != posed:
                # The last pose carries the mouth's colours on; lost lips begin anew.
                puppet, posed = self.puppet_of(frame, index, after=puppet), index
                finer = None if self.finer is None else self.finer(index)
                if puppet is not None and finer is not None:
                    puppet.refine(finer)
            if puppet is None or puppet.is_source(pose := self.pose_at(number, puppet)):
                yield frame  # no copy
                continue
            spoken = puppet.render(pose)
            yield spoken if self.mask is None else blend(frame, spoken, self.mask)

    def pose_at(self, number: int, puppet: Puppet) -> MouthPose:
        """Return the pose to draw in an output frame."""
        pose = self.motion.at(number)
        return pose if self.gaps is None else self.gaps.pose(pose, puppet.own_gap)

    def puppet_of(
        self, frame: np.ndarray, index: int, *, after: Puppet | None = None
    ) -> Puppet | None:
        """Return the puppet of an avatar frame, None where it shows no lips. after: as there."""
        shape = self.shapes[index]
        if shape is None:
            return None
        points, rest_width = self.points_at(index), self.rest_width_at(index)
        return Puppet(
            frame,
            shape,
            after=after,
            points=points,
            rest_width=rest_width,
            is_still=self.avatar.frame_count == 1,
        )

    def points_at(self, index: int) -> np.ndarray | None:
        """Return the mesh in an avatar frame, float64 (478, 2), or None where there is none."""
        return None if self.points is None else self.points[index]

    def rest_width_at(self, index: int) -> float | None:
        """Return how wide the mouth of an avatar frame is at rest, pixels, where that is known."""
        if self.rest_widths is None or not np.isfinite(self.rest_widths[index]):
            return None
        return float(self.rest_widths[index])

    def passed_through(self) -> np.ndarray:
        """Return bool (T,): output frames whose lips were not found."""
        return np.array([shape is None for shape in self.shapes])[self.indices]


def blend(below: np.ndarray, above: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return ``above`` where the mask is 1 and ``below`` where it is 0: uint8 (H, W, 3)."""
    weight = mask[:, :, None]
    mixed = below * (1 - weight) + above * weight
    return (mixed + 0.5).astype(np.uint8)
