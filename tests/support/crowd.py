"""People along a line, and networks that know where everybody is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avatarvideo.media import Box
from avatarvideo.musetalk.face.mesh_networks import Detection, FaceMesh
from avatarvideo.musetalk.lips.frame import FaceFrame

Path = Sequence[float | None]  # the middle of a face in every frame; faces are 80 pixels
SIDE, Y = 80, 120


class Crowd:
    """People along a line, the later ones in front; a face half hidden is not detected."""

    def __init__(self, *people: Path, kinds: Sequence[int] = ()) -> None:
        self.people = people
        kinds = kinds or range(len(people))
        self.skins = [
            np.random.default_rng(100 + kind).integers(30, 220, (8, 8, 3), np.uint8)
            for kind in kinds
        ]
        self.there: list[float] = []
        self.detections = self.looks = 0

    def frame(self, number: int) -> np.ndarray:
        picture = np.full((240, 640, 3), 90, np.uint8)
        places = [
            (person[number], skin) for person, skin in zip(self.people, self.skins, strict=True)
        ]
        shown = [(x, skin) for x, skin in places if x is not None]
        for x, skin in shown:
            left = int(x - SIDE / 2)
            picture[Y - 40 : Y + 40, left : left + SIDE] = skin.repeat(10, 0).repeat(10, 1)
        self.there = [
            x
            for n, (x, _) in enumerate(shown)
            if all(abs(x - other) > 0.55 * SIDE for other, _ in shown[n + 1 :])
        ]
        return picture

    def detect(self, picture: np.ndarray) -> list[Detection]:
        if picture.shape[:2] != (240, 640):
            return []  # a part: its own origin is not known here
        self.detections += 1
        return [Detection(0.9, box_at(x), eyes_at(x)) for x in self.there]

    def look(self, picture: np.ndarray, square: FaceFrame) -> FaceMesh | None:
        self.looks += 1
        near = [x for x in self.there if abs(x - square.x) < SIDE / 2]
        if not near:
            return None
        x = min(near, key=lambda each: abs(each - square.x))
        points = np.tile([x, Y], (478, 1)).astype(float)
        points[:2] = ((x - 40, Y - 40), (x + 40, Y + 40))
        points[[33, 263]] = eyes_at(x)
        return FaceMesh(points, 1.0)


def box_at(x: float) -> Box:
    return Box(x - SIDE / 2, Y - SIDE / 2, x + SIDE / 2, Y + SIDE / 2)


def eyes_at(x: float) -> np.ndarray:
    return np.array([[x - 15, Y - 10], [x + 15, Y - 10]], float)


def walk(start: float, step: float, count: int) -> list[float | None]:
    return [start + step * number for number in range(count)]
