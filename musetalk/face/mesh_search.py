"""The faces of a picture by the face mesh: in the whole of it, then in overlapping parts.

The detector sees 128 pixels a side, so that a small face in a large picture needs a part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ...media import Box
from .mesh_networks import EYE_CORNERS, Detection, FaceMesh, MeshNetworks, overlap

PARTS = (1, 2, 4, 8)  # of the longer side, how often a part goes into it
NEIGHBOURHOOD = 3  # sides of a face, searched first where it was before
LEAST_PART = 192  # pixels; what is smaller than a tenth of that has no lips to read
LEAST_CONFIDENCE = 0.5  # of the mesh that it goes on seeing a face
# From which a face that appears is one: real ones are over 0.99, and in hundreds of parts of a
# picture, or thousands of frames, something else is taken for a face now and then.
SURE = 0.9
# How far points may move when the mesh looks again, in distances of the outer eye corners: those of
# 117 faces moved 0.008 (median), 0.004 at the third look; those on walls and windows 0.04 to 0.3.
SETTLED = 0.02
MOST_MOTION = 0.1
MOST_LATER_MOTION = 0.04
SAME_FACE = 0.3  # overlap (IoU) of two meshes of one face


def find_meshes(
    networks: MeshNetworks,
    picture: np.ndarray,
    *,
    are_enough: Callable[[list[FaceMesh]], bool] = bool,
    near: Box | None = None,
    in_parts: bool = True,
    check: Callable[[], None] = lambda: None,
) -> list[FaceMesh]:
    """Return the faces of a uint8 RGB picture (H, W, 3), largest first.

    are_enough: says of the faces found so far whether smaller parts need not be searched.
    near: where a face was before; the search begins there.
    in_parts: False leaves it at the whole picture.
    check: called before each part; what it raises ends the search.
    """
    faces: list[FaceMesh] = []
    height, width = picture.shape[:2]
    for parts in _levels(height, width, near, PARTS if in_parts else PARTS[:1]):
        for part in parts:
            check()
            for seen in _detections(networks, picture, part):
                face = _mesh_of(networks, picture, seen)
                if face is not None and not _is_known(face, faces):
                    faces.append(face)
        faces.sort(key=lambda face: -face.box.width * face.box.height)
        if are_enough(faces):
            break
    return faces


def _levels(
    height: int, width: int, near: Box | None, counts: tuple[int, ...]
) -> Iterator[list[Box]]:
    """Yield the place near, the whole picture, then smaller and smaller squares: half overlaps."""
    longer = max(height, width)
    if near is not None and (around := _around(near, height, width)) is not None:
        yield [around]
    for count in counts:
        side = longer // count
        if count > 1 and side < LEAST_PART:
            return
        across, down = _starts(width, side), _starts(height, side)
        yield [Box(x, y, min(x + side, width), min(y + side, height)) for y in down for x in across]


def _around(near: Box, height: int, width: int) -> Box | None:
    """Return the neighbourhood of a face inside the picture; None where it is as good as all."""
    half = max(NEIGHBOURHOOD * max(near.width, near.height), LEAST_PART) / 2
    x, y = (near.x0 + near.x1) / 2, (near.y0 + near.y1) / 2
    x0, x1 = (int(min(max(edge, 0), width)) for edge in (x - half, x + half))
    y0, y1 = (int(min(max(edge, 0), height)) for edge in (y - half, y + half))
    is_small = 0 < 2 * max(x1 - x0, y1 - y0) <= max(height, width)
    return Box(x0, y0, x1, y1) if is_small and min(x1 - x0, y1 - y0) > 0 else None


def _starts(length: int, side: int) -> list[int]:
    """Return where squares begin that cover a length, each half over the one before."""
    if side >= length:
        return [0]
    count = -(-2 * (length - side) // side) + 1
    return [round(start) for start in np.linspace(0, length - side, count)]


def _detections(networks: MeshNetworks, picture: np.ndarray, part: Box) -> list[Detection]:
    x0, y0, x1, y1 = (int(edge) for edge in part)
    shift = np.array([x0, y0], float)
    found = networks.detect(picture[y0:y1, x0:x1])
    return [
        Detection(
            seen.score,
            Box(seen.box.x0 + x0, seen.box.y0 + y0, seen.box.x1 + x0, seen.box.y1 + y0),
            seen.eyes + shift,
        )
        for seen in found
    ]


def _mesh_of(networks: MeshNetworks, picture: np.ndarray, seen: Detection) -> FaceMesh | None:
    """Look twice, and again where the points have not settled: those of no face never do."""
    first = networks.look(picture, seen.square)
    second = None if first is None else confirmed(networks, picture, first)
    if first is None or second is None or points_moved(first, second) > MOST_MOTION:
        return None
    if points_moved(first, second) <= SETTLED:
        return second if second.confidence >= SURE else None
    third = confirmed(networks, picture, second)
    if third is None or third.confidence < SURE:
        return None
    return third if points_moved(second, third) <= MOST_LATER_MOTION else None


def points_moved(before: FaceMesh, now: FaceMesh) -> float:
    """Return how far the points moved on average, in distances of the outer eye corners."""
    moved = np.hypot(*(now.points - before.points).T).mean()
    left, right = now.points[list(EYE_CORNERS)]
    return float(moved / max(np.hypot(*(right - left)), 1e-6))


def confirmed(networks: MeshNetworks, picture: np.ndarray, face: FaceMesh) -> FaceMesh | None:
    """Return the face seen again from its own points, or None where it is none."""
    if face.confidence < LEAST_CONFIDENCE:
        return None
    again = networks.look(picture, face.square)
    return again if again is not None and again.confidence >= LEAST_CONFIDENCE else None


def _is_known(face: FaceMesh, faces: list[FaceMesh]) -> bool:
    return any(overlap(face.box, other.box) > SAME_FACE for other in faces)


def detections_near(networks: MeshNetworks, picture: np.ndarray, near: Box) -> list[Detection]:
    """Return what the detector sees round a place; nothing where that is as good as everything."""
    around = _around(near, *picture.shape[:2])
    return [] if around is None else _detections(networks, picture, around)
