"""What a mouth does: its shape in one frame, and the curves of it over a whole clip."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple, Protocol

import numpy as np

from ...errors import MediaError

REST_WIDTH = 1.0


class MouthPose(NamedTuple):
    """The mouth in one frame, whatever it does in the picture: all zero and width 1 is rest.

    opening: gap between the lips, in widths of the mouth at rest, 0 shut .. 0.52.
    width: from corner to corner, as a share of the width at rest, 0.62 round .. 1.08 spread.
    closure: 0 .. 1 lips that touch whatever the opening.
    tuck: 0 .. 1 lower lip at the upper teeth, as for f and v.
    """

    opening: float = 0.0
    width: float = REST_WIDTH
    closure: float = 0.0
    tuck: float = 0.0


class Motion(Protocol):
    """What a mouth does over a clip."""

    def at(self, frame: int) -> MouthPose:
        """Return the mouth in one frame."""
        ...

    def gated(self, weight: np.ndarray) -> Motion:
        """Return the motion with its share of every frame, float32 (T,), 0 at rest."""
        ...


@dataclass(frozen=True, eq=False)
class MouthShapes:
    """The values of ``MouthPose`` for every video frame, float32 (T,) each."""

    opening: np.ndarray
    width: np.ndarray
    closure: np.ndarray
    tuck: np.ndarray

    def __post_init__(self) -> None:
        shapes = {getattr(self, field.name).shape for field in fields(self)}
        if len(shapes) != 1 or self.opening.ndim != 1:
            raise MediaError(f"Expected curves of one common length, got {sorted(shapes)}.")

    def at(self, frame: int) -> MouthPose:
        """Return the mouth in one frame."""
        return MouthPose(
            float(self.opening[frame]),
            float(self.width[frame]),
            float(self.closure[frame]),
            float(self.tuck[frame]),
        )

    def only(self, frame: int) -> MouthShapes:
        """Return the shapes of one frame alone."""
        curves = (self.opening, self.width, self.closure, self.tuck)
        return MouthShapes(*(curve[frame : frame + 1] for curve in curves))

    def gated(self, weight: np.ndarray) -> MouthShapes:
        """Return the shapes with their share of every frame, float32 (T,), 0 at rest."""
        return MouthShapes(
            self.opening * weight,
            REST_WIDTH + (self.width - REST_WIDTH) * weight,
            1 - (1 - self.closure) * weight,
            self.tuck * weight,
        )
