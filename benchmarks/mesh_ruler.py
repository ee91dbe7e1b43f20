"""The mouth as it is seen in a file's pictures, frame by frame, by the face mesh.

Lengths are in mouth widths at rest: in each frame the distance of the outer eye corners gives the
scale, which no mouth changes, and the frames known to be at rest say how wide the mouth is of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from avatarvideo.musetalk.face.mesh_networks import MeshNetworks, mesh_networks
from avatarvideo.musetalk.face.mesh_person import MeshPerson
from avatarvideo.musetalk.face.mesh_search import LEAST_CONFIDENCE
from avatarvideo.musetalk.lips.frame import FaceFrame

CORNERS = (61, 291)  # of the mesh
EYES = (33, 263)
INNER = ((82, 87), (13, 14), (312, 317))  # upper and lower lip, the middle three pairs
NOTHING = (np.nan,) * 3
MOST_AT_REST = 0.06  # mouth widths: 95 % of shut mouths read less; what is more is open
LIDS = ((159, 145), (386, 374))  # upper and lower lid of either eye


def networks_in(models: Path | None) -> MeshNetworks:
    """Return the mesh of a folder of models, which runs after this use too; None: of ./models."""
    if models is not None:
        os.environ["AVATAR_MODELS"] = str(models)
    networks = mesh_networks([models or Path("models")])
    if networks is None:
        raise SystemExit("mouths are read by the face mesh: avatar models download face-mesh")
    return networks


@dataclass(frozen=True, eq=False)
class Readings:
    """One value for each frame, float64 (T,), in distances of the eye corners; NaN: no face.

    gap: between the lips' inner borders, the median of three places. width: from corner to corner.
    lids: the gap between them, of the more open eye.
    """

    gap: np.ndarray
    width: np.ndarray
    lids: np.ndarray

    def in_widths(self, at_rest: np.ndarray) -> tuple[Readings, float]:
        """Return gaps above that at rest, in mouth widths at rest, and what that gap reads.

        at_rest: bool (T,), frames in which the lips should be shut; of what they read no more than
        MOST_AT_REST is taken off. Widths come as shares of that at rest; frames without a face
        are filled in.
        """
        gap, width, lids = (_filled(one) for one in (self.gap, self.width, self.lids))
        mouth = float(np.median(width[at_rest]))
        shut = float(np.median(gap[at_rest])) / mouth
        above = gap / mouth - min(shut, MOST_AT_REST)
        return Readings(above, width / mouth, lids), shut


def frames_of(path: Path) -> Iterator[np.ndarray]:
    """Yield a video's pictures, uint8 RGB (H, W, 3)."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def read_mouths(networks: MeshNetworks, path: Path, *, is_still: bool) -> Readings:
    """Look at every frame. is_still: the head does not move, so the mesh always looks there."""
    rows: list[tuple[float, ...]] = []
    person = MeshPerson(networks, longest_wait=1)
    place: FaceFrame | None = None
    for frame in frames_of(path):
        if place is None:
            person.follow(frame)
            seen = person.mesh
            place = seen.square if is_still and seen is not None else None
        else:
            seen = networks.look(frame, place)
        if seen is None or seen.confidence < LEAST_CONFIDENCE:
            rows.append(NOTHING)
        else:
            rows.append(measured(seen.points))
    return Readings(*np.array(rows).T)


def measured(points: np.ndarray) -> tuple[float, ...]:
    """Return one frame's values of ``Readings`` from a mesh."""
    left, right = points[list(CORNERS)]
    along = (right - left) / np.hypot(*(right - left))
    down = np.array([-along[1], along[0]])
    scale = np.hypot(*np.diff(points[list(EYES)], axis=0)[0])
    gap = np.median([(points[low] - points[high]) @ down for high, low in INNER])
    lids = max(np.hypot(*(points[low] - points[high])) for high, low in LIDS)
    values = (gap, (right - left) @ along, lids)
    return tuple(float(value / scale) for value in values)


def _filled(values: np.ndarray) -> np.ndarray:
    seen = np.isfinite(values)
    if not seen.any():
        raise SystemExit("no face is seen in the finished video")
    number = np.arange(len(values))
    return np.interp(number, number[seen], values[seen])
