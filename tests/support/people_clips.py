"""Clips of people who move, drawn of portraits: who is where in every frame is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from avatarvideo.encoders.read.picture import read_image
from avatarvideo.media import Avatar, Clip
from avatarvideo.musetalk.face.mesh_networks import MeshNetworks
from avatarvideo.musetalk.face.mesh_search import find_meshes

PORTRAITS = (
    "portrait_bouguereau.jpg",
    "portrait_sargent_agnew_1892.jpg",
    "portrait_sargent_chanler_1893.jpg",
)
SIDE = 240  # pixels of a cut-out head
FACE = 112  # of its face in it

Place = tuple[float, float, float]  # middle and size of a face, pixels
Path_ = Callable[[int], "Place | None"]  # where somebody is in a frame


@dataclass(frozen=True, eq=False)
class Head:
    """A cut-out: uint8 (SIDE, SIDE, 3), and its opacity float32 (SIDE, SIDE, 1)."""

    picture: np.ndarray
    opacity: np.ndarray


def cut_out(path: Path, networks: MeshNetworks) -> Head:
    picture = read_image(path)
    box = find_meshes(networks, picture)[0].box
    scale = FACE / max(box.width, box.height)
    x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    move = np.array([[scale, 0, SIDE / 2 - scale * x], [0, scale, SIDE / 2 - scale * y]])
    shrunk = cv2.GaussianBlur(picture, (0, 0), 0.4 / scale) if scale < 0.8 else picture
    head = cv2.warpAffine(shrunk, move, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
    rows, columns = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    away = np.hypot(columns / (0.74 * FACE), rows / (0.92 * FACE))
    opacity = np.clip((1 - away) * 12, 0, 1).astype(np.float32)
    return Head(head, opacity[:, :, None])


@cache
def heads_of(folder: Path, networks: MeshNetworks) -> tuple[Head, ...]:
    """Return the cut-outs of the portraits, and of the project's own sample."""
    sample = Path(__file__).resolve().parents[2] / "web" / "samples" / "portrait.png"
    return tuple(cut_out(path, networks) for path in (*(folder / n for n in PORTRAITS), sample))


@dataclass(frozen=True, eq=False)
class PeopleClip:
    """heads with their paths, from the furthest to the nearest. backgrounds: by first frame."""

    heads: Sequence[Head]
    paths: Sequence[Path_]
    count: int
    size: tuple[int, int] = (640, 360)
    rate: Fraction = Fraction(25)
    backgrounds: tuple[tuple[int, int], ...] = ((0, 150),)

    def frame(self, number: int) -> np.ndarray:
        width, height = self.size
        grey = [level for first, level in self.backgrounds if first <= number][-1]
        ramp = np.linspace(grey - 20, grey + 20, width, dtype=np.float32)
        picture = np.repeat(np.broadcast_to(ramp[:, None], (width, 3))[None], height, axis=0)
        for head, path in zip(self.heads, self.paths, strict=True):
            if (place := path(number)) is not None:
                picture = _laid_on(picture, head, place)
        return picture.round().astype(np.uint8)

    def avatar(self) -> Avatar:
        def frames(start: int) -> Iterator[np.ndarray]:
            return (self.frame(number) for number in range(start, self.count))

        clip = Clip(
            open_frames=frames,
            width=self.size[0],
            height=self.size[1],
            frame_rate=self.rate,
            frame_count=self.count,
            hash_of=lambda: f"people {id(self)}",
        )
        return Avatar.of(clip)

    def who_is_at(self, number: int, x: float, y: float) -> int | None:
        """Return who is nearest to a point, None where that is further than half a face."""
        away = [
            np.hypot(place[0] - x, place[1] - y) / place[2] if (place := path(number)) else np.inf
            for path in self.paths
        ]
        return int(np.argmin(away)) if min(away) < 0.5 else None


def _laid_on(picture: np.ndarray, head: Head, place: Place) -> np.ndarray:
    x, y, side = place
    scale = side / FACE
    move = np.array([[scale, 0, x - scale * SIDE / 2], [0, scale, y - scale * SIDE / 2]])
    height, width = picture.shape[:2]
    laid = cv2.warpAffine(head.picture, move, (width, height)).astype(np.float32)
    opacity = cv2.warpAffine(head.opacity, move, (width, height))[:, :, None]
    return picture * (1 - opacity) + laid * opacity


def still(x: float, y: float, side: float) -> Path_:
    return lambda number: (x, y, side)


def walk(start: Place, end: Place, first: int, last: int) -> Path_:
    """Go from one place to another within frames, and stay there."""

    def path(number: int) -> Place:
        share = min(max((number - first) / (last - first), 0.0), 1.0)
        x, y, side = (a + share * (b - a) for a, b in zip(start, end, strict=True))
        return (x, y, side)

    return path


def gone(path: Path_, first: int, end: int) -> Path_:
    """Be away from frame ``first`` to before ``end``."""
    return lambda number: None if first <= number < end else path(number)


def instead(path: Path_, other: Path_, first: int) -> Path_:
    """Be where another path leads from frame ``first`` on."""
    return lambda number: other(number) if number >= first else path(number)
