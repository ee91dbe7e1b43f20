"""What is kept of one person's mesh over a whole video: the points that the mouth needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar, overload

import numpy as np

from ...media import LipShape
from ..lips.mesh_shape import BORDERS, lips_of_mesh
from .mesh_follow import LANDMARKS_68
from .mesh_networks import EYE_CORNERS, POINTS
from .steady_points import head_poses, steadied_points

LIPS = tuple(dict.fromkeys((*(point for border in BORDERS for point in border), 78, 308)))
# They move with the skull alone: eye corners, bridge of the nose, temples, forehead, cheekbones.
RIGID = (*EYE_CORNERS, 133, 362, 168, 6, 197, 195, 127, 356, 10, 151, 234, 454)
KEPT = tuple(dict.fromkeys((*RIGID, *LIPS, *LANDMARKS_68[:17])))  # and the jaw
PLACE = {point: place for place, point in enumerate(KEPT)}
RIGID_PLACES = [PLACE[point] for point in RIGID]
LIP_PLACES = [PLACE[point] for point in LIPS]
SHUT = 0.03  # mouth widths between the lips, below which a mouth counts as shut
SHAPE_FRAMES = 2000  # that say how a face is built
LEAST_SHUT = 0.1  # of the frames; where fewer are shut, so many with the smallest gap are taken

Item = TypeVar("Item")


class PerFrame(Sequence[Item]):
    """One item a frame, made when it is asked for."""

    def __init__(self, make: Callable[[int], Item], count: int) -> None:
        self._make, self._count = make, count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | Sequence[Item]:
        if isinstance(index, slice):
            return [self._make(number) for number in range(*index.indices(self._count))]
        if not -self._count <= index < self._count:
            raise IndexError(index)
        return self._make(index % self._count)


class MeshTrack:
    """The points in ``count`` frames, 8 bytes each; what was not put is lost."""

    def __init__(self, count: int) -> None:
        self._kept = np.full((count, len(KEPT), 2), np.nan, np.float32)
        self._begins = np.zeros(count, bool)
        self._whole: np.ndarray | None = None  # float64 (478, K): every point by those kept

    def put(self, number: int, points: np.ndarray, *, begins: bool) -> None:
        """Keep the mesh (478, 2) of a frame. begins: it does not go on from the frame before."""
        self._kept[number] = points[list(KEPT)]
        self._begins[number] = begins
        if self._whole is None:
            model = np.column_stack([points, np.ones(POINTS)])
            self._whole = model @ np.linalg.pinv(model[list(KEPT)])

    @property
    def found(self) -> np.ndarray:
        """Bool (N,): frames with a face."""
        return np.isfinite(self._kept[:, 0, 0])

    def steady(self, check: Callable[[], None] = lambda: None) -> None:
        """Take the noise out, once, when every frame was put. check: called between shots."""
        found = self.found
        starts = found & (self._begins | ~np.concatenate([[False], found[:-1]]))
        for start in np.flatnonzero(starts):
            check()
            after = np.flatnonzero(starts[start + 1 :] | ~found[start + 1 :])
            end = start + 1 + after[0] if after.size else len(found)
            shot = self._kept[start:end]
            shot[:] = steadied_points(shot, RIGID_PLACES, LIP_PLACES)

    def lips(self, number: int) -> LipShape | None:
        """Return the lips in a frame, None where there are none."""
        kept = self._kept[number]
        return lips_of_mesh(_spread(kept)) if np.isfinite(kept[0, 0]) else None

    def points(self, number: int) -> np.ndarray | None:
        """Return a whole mesh, float64 (478, 2), or None where there is none.

        What was not kept is the first mesh's, moved as what was kept moved on the whole.
        """
        kept = self._kept[number].astype(np.float64)
        if self._whole is None or not np.isfinite(kept[0, 0]):
            return None
        turned = self._whole @ kept
        turned[list(KEPT)] = kept
        return turned

    def rest_widths(self) -> np.ndarray:
        """Return float32 (N,): the mouth's width at rest in every frame, pixels; NaN where lost.

        Speech narrows and widens a mouth, and a turned head shortens it as it does the face: so it
        is the median over the shut frames, measured by the face's breadth.
        """
        found = self.found
        widths = np.full(len(found), np.nan, np.float32)
        if not found.any():
            return widths
        left, right, upper, lower = (self._kept[found, PLACE[p]] for p in (61, 291, 13, 14))
        across = np.hypot(*(right - left).T)
        size = _breadths(self._kept[:, RIGID_PLACES][found])
        gap = np.hypot(*(lower - upper).T) / across
        limit = max(SHUT, float(np.quantile(gap, LEAST_SHUT)))
        widths[found] = np.median((across / size)[gap <= limit]) * size
        return widths


def _breadths(rigid: np.ndarray) -> np.ndarray:
    """Return how broad a face is in each frame, (N,), by its points (N, K, 2): foreshortened too.

    The first two are the outer eye corners. All points are fitted, as they are less noisy together.
    """
    places = _complex(rigid[:: max(1, len(rigid) // SHAPE_FRAMES)])
    turn, middle = head_poses(places)
    shape = ((places - middle[:, None]) / turn[:, None]).mean(axis=0)
    along = np.linalg.pinv(np.stack([shape.real, shape.imag], axis=1))[0].astype(np.float32)
    return np.hypot(along @ rigid[..., 0].T, along @ rigid[..., 1].T)  # the weights' sum is 0


def _complex(points: np.ndarray) -> np.ndarray:
    return points[..., 0] + 1j * points[..., 1].astype(np.float64)


def _spread(kept: np.ndarray) -> np.ndarray:
    points = np.zeros((POINTS, 2))
    points[list(KEPT)] = kept
    return points
