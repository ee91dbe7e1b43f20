"""How many faces are beside the one that is followed through a video."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..face.mesh_networks import FaceMesh, MeshNetworks, overlap
from ..face.mesh_search import find_meshes

LOOK_AGAIN_SECONDS = 1.0  # how often all faces are looked for
COMPARABLE = 0.5  # of the larger face's side, from which another one counts
SAME_FACE = 0.1  # overlap (IoU) of two sightings of one face
CROWDED_SHARE = 0.5  # of the looks that found a face


class Crowd:
    """Counts the faces of like size, once a second and where a face appears."""

    def __init__(
        self, networks: MeshNetworks, frame_rate: float, check: Callable[[], None]
    ) -> None:
        self._networks = networks
        self._every = max(1, round(LOOK_AGAIN_SECONDS * frame_rate))
        self._check = check
        self._frames = 0
        self._counts: list[int] = []  # where there was a face

    def see(self, frame: np.ndarray, known: FaceMesh | None, *, appears: bool) -> None:
        """Take the next frame, uint8 RGB (H, W, 3), and the face that is followed in it."""
        is_due = self._frames % self._every == 0
        self._frames += 1
        if not is_due and not appears:
            return
        faces = find_meshes(self._networks, frame, in_parts=is_due, check=self._check)
        if known is not None and not any(overlap(known.box, f.box) > SAME_FACE for f in faces):
            faces.append(known)
        if faces:
            sides = [max(face.box.width, face.box.height) for face in faces]
            self._counts.append(sum(side >= COMPARABLE * max(sides) for side in sides))

    @property
    def is_crowded(self) -> bool:
        """Whether two faces of like size are seen most of the time."""
        crowded = sum(count > 1 for count in self._counts)
        return bool(self._counts) and crowded >= CROWDED_SHARE * len(self._counts)

    @property
    def most(self) -> int:
        return max(self._counts, default=0)
