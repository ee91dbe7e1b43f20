"""One face through a video, frame after frame, and how far places of faces are apart."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field

import numpy as np

from ...media import Box
from ..lips.frame import FaceFrame
from .looks import Look
from .mesh_networks import ROOM

REACH = 0.6  # sides of a face from where it is expected to where it is
REACH_GROWTH = 0.15  # more with every frame in which it was not seen
MOST_GROWTH = 1.6  # of a face's size, as far as REACH
SPEED_SHARE = 0.5  # of the newest motion in the speed that is expected
LOOK_EVERY = 48  # frames from look to look, where nothing happens to a face
FIRST_WAITS = (1, 2, 4)  # frames from each of the first looks to the next
PLACE_NUMBERS = 5  # x0, y0, x1, y1, tilt


@dataclass(eq=False)
class Trail:
    """One face from frame ``first`` on, with its place in every frame.

    shot: number of the shot it is in. looks: taken where nobody else was beside it.
    mixed: it ended because it could no longer be told from another one.
    """

    first: int
    shot: int
    numbers: array[float] = field(default_factory=lambda: array("f"))  # PLACE_NUMBERS a frame
    looks: list[Look] = field(default_factory=list[Look])
    mixed: bool = False
    speed: tuple[float, float] = (0.0, 0.0)  # pixels a frame
    missed: int = 0  # frames since it was seen
    since_look: int = 0
    sure_until: int = -1  # the last frame up to which it is certainly the same face
    looked_until: int = -1  # the last frame in which the mesh saw so
    glance: Look | None = None  # of the last frame, by the detector: too coarse to know anybody by
    known_glances: list[Look] = field(
        default_factory=list[Look]
    )  # of frames with looks, newest last
    is_known: bool = True  # by the look that was taken last
    is_sudden: bool = False  # its glance is unlike that of the frame before
    is_suspect: bool = False  # its glance has become unlike the known ones: the mesh has to look

    @property
    def end(self) -> int:
        """The frame behind its last one."""
        return self.first + len(self)

    def __len__(self) -> int:
        return len(self.numbers) // PLACE_NUMBERS

    def box(self, frame: int) -> Box:
        return Box(*self._place(frame)[:4])

    def _place(self, frame: int) -> array[float]:
        start = (frame - self.first) * PLACE_NUMBERS
        return self.numbers[start : start + PLACE_NUMBERS]

    def cut_behind(self, frame: int) -> None:
        """Forget where it was after a frame."""
        del self.numbers[(frame - self.first + 1) * PLACE_NUMBERS :]

    def square(self, frame: int) -> FaceFrame:
        """Return what the mesh looks at to see this face."""
        return square_of(self.box(frame), self._place(frame)[4])

    @property
    def last_box(self) -> Box:
        return self.box(self.end - 1)

    def expected(self, steps: int | None = None) -> Box:
        """Return where it should be so many frames after its last place, or in the next frame."""
        steps = self.missed + 1 if steps is None else steps
        dx, dy = self.speed[0] * steps, self.speed[1] * steps
        x0, y0, x1, y1 = self.last_box
        return Box(x0 + dx, y0 + dy, x1 + dx, y1 + dy)

    def put(self, box: Box, tilt: float) -> None:
        """Go on to the next frame; frames in which it was missed lie on the way there."""
        now = np.array([*box, tilt])
        if self.numbers:
            last = np.array(self._place(self.end - 1))
            steps = self.missed + 1
            for step in range(1, steps):
                self.numbers.extend((last + (now - last) * step / steps).tolist())
            motion = ((now - last) / steps).tolist()
            newest = ((motion[0] + motion[2]) / 2, (motion[1] + motion[3]) / 2)
            share = SPEED_SHARE if len(self) > 1 else 1.0
            self.speed = (
                share * newest[0] + (1 - share) * self.speed[0],
                share * newest[1] + (1 - share) * self.speed[1],
            )
        self.numbers.extend(now.tolist())
        self.missed = 0

    @property
    def first_looks(self) -> list[Look]:
        """Those that say who it is: later ones may have changed bit by bit."""
        return self.looks[: len(FIRST_WAITS) + 1]

    @property
    def wants_look(self) -> bool:
        if not self.looks:
            return True
        waits = FIRST_WAITS[len(self.looks) - 1 :]
        return self.since_look >= (waits[0] if waits else LOOK_EVERY)


def near_enough(one: Trail, other: Trail) -> bool:
    """Say whether a face that was lost may come out where another one is now."""
    gap = max(0, other.end - one.end)
    return apart(one.last_box, other.last_box) < REACH + REACH_GROWTH * gap


def apart(one: Box, other: Box) -> float:
    """Return how far two faces are apart, in sides of the larger one."""
    middles = [((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2) for box in (one, other)]
    side = max(one.width, one.height, other.width, other.height)
    return math.dist(*middles) / max(side, 1.0)


def square_of(box: Box, tilt: float) -> FaceFrame:
    side = ROOM * max(box.width, box.height)
    return FaceFrame((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2, side, tilt)


def place_cost(expected: Box, box: Box) -> float:
    """Return how unlike two places are, in sides of a face, a change of size included."""
    growth = math.log(max(box.width, 1.0) / max(expected.width, 1.0)) / math.log(MOST_GROWTH)
    return math.hypot(apart(expected, box), REACH * growth)
