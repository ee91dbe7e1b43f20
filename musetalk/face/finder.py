"""Where a face and its lips are: every way to find them, in the one order in which they are tried.

LoadAvatar's picture, the puppet and MuseTalk all go through FINDERS. A new way is one class and one
row. Lips are refused rather than guessed.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import MediaError
from ...media import Box, FaceLocation, LipCorners
from ..lips import mediapipe_mesh
from ..lips.cascade import cascade_file
from ..lips.held_corners import corners_of_mask, locate_by_corners
from ..lips.search import NO_FACE, find_face
from ..weights.mesh_file import MISSING
from .mesh_locate import locate_by_mesh, no_face_at
from .mesh_networks import SAME_PLACE, mesh_networks, mesh_problem, opencv_problem, overlap
from .mesh_search import find_meshes
from .wish import FaceWish, chosen_box, is_at

if TYPE_CHECKING:
    from ..weights.catalogue import Role
    from .landmarks import CropFinder, CropRules

    Networks = Mapping[Role, Any]  # Any: each role's network has its own class

log = logging.getLogger("avatarvideo.musetalk.face.finder")


@dataclass(frozen=True, eq=False)
class Sought:
    """Whose face is looked for in a picture.

    face_index: by size, 0 is the largest face. near: take the one closest to this box instead.
    point: take the one that it is a point of, in pixels, instead.
    corners: lip corners known to the user, in pixels.
    mask: float32 (H, W), 0..1, where the user lets the picture change.
    check: called before each step of a search; what it raises ends it.
    model_folders: where a finder may look for its model file.
    """

    face_index: int = 0
    near: Box | None = None
    corners: LipCorners | None = None
    mask: np.ndarray | None = None
    check: Callable[[], None] = lambda: None
    model_folders: Sequence[Path] = ()
    point: tuple[float, float] | None = None


class FaceFinder(ABC):
    """One way to find a face; with the networks ``roles`` where their files are there.

    is_substitute: asked only where no finder before it could look at all.
    """

    roles: tuple[Role, ...] = ()
    is_substitute = False

    @abstractmethod
    def locate(self, frame: np.ndarray, sought: Sought) -> FaceLocation | None:
        """Return one person's face in a uint8 RGB picture (H, W, 3), or None: it cannot look.

        A face without lips is no answer either, but its reason is told if nobody finds any.
        """

    def advice(self, model_folders: Sequence[Path]) -> str | None:
        """Return what would let it look, part of a sentence for a refusal."""
        return None

    def follow(self, networks: Networks, rules: CropRules) -> CropFinder | None:
        """Return what finds MuseTalk's crop with loaded networks; None: from the lips, then."""
        return None

    def states(self, roles: Collection[str]) -> dict[str, str]:
        """Return what it looks with and whether that is here. roles: of the files that are."""
        return {}


class GivenCorners(FaceFinder):
    """The lip corners that the user gave."""

    def locate(self, frame: np.ndarray, sought: Sought) -> FaceLocation | None:
        return None if sought.corners is None else locate_by_corners(frame, sought.corners)


class ReferenceNetworks(FaceFinder):
    """S3FD and RTMPose, MuseTalk's own: they find its crop, and no lips."""

    roles = ("s3fd", "rtmpose")

    def locate(self, frame: np.ndarray, sought: Sought) -> FaceLocation | None:
        return None

    def follow(self, networks: Networks, rules: CropRules) -> CropFinder | None:
        from .landmarks import LandmarkFinder  # here: PyTorch is not needed before

        if rules.landmarks == "face mesh" or not all(role in networks for role in self.roles):
            return None
        return LandmarkFinder(networks["s3fd"], networks["rtmpose"], rules)

    def states(self, roles: Collection[str]) -> dict[str, str]:
        there = all(role in roles for role in self.roles)
        return {"face networks": "usable" if there else "model files missing"}


class OwnMesh(FaceFinder):
    """The face mesh in its own file, run by OpenCV."""

    def locate(self, frame: np.ndarray, sought: Sought) -> FaceLocation | None:
        networks = mesh_networks(sought.model_folders)
        if networks is None:
            return None
        return locate_by_mesh(
            networks, frame, sought.face_index, sought.near, sought.check, point=sought.point
        )

    def advice(self, model_folders: Sequence[Path]) -> str | None:
        problem = mesh_problem(model_folders)
        return None if problem is None else f"the face mesh finds more faces ({problem})"

    def follow(self, networks: Networks, rules: CropRules) -> CropFinder | None:
        from .mesh_follow import MeshFollower  # here: PyTorch is not needed before

        if rules.landmarks == "reference":
            return None
        mesh = mesh_networks(rules.model_folders)
        return None if mesh is None else MeshFollower(mesh, rules)

    def states(self, roles: Collection[str]) -> dict[str, str]:
        missing = None if "face mesh" in roles else MISSING
        return {"face mesh": opencv_problem() or missing or "usable"}


class MediapipeMesh(FaceFinder):
    """The face mesh of an installed mediapipe that still carries its models."""

    is_substitute = True

    def locate(self, frame: np.ndarray, sought: Sought) -> FaceLocation | None:
        faces = mediapipe_mesh.find_faces(frame)
        if sought.point is not None:
            boxes = {number: face.box for number, face in enumerate(faces) if face.box is not None}
            at = chosen_box(FaceWish(point=sought.point), list(boxes.values()))
            return None if at is None else faces[list(boxes)[at]]
        return faces[sought.face_index] if sought.face_index < len(faces) else None

    def states(self, roles: Collection[str]) -> dict[str, str]:
        return {"mediapipe": mediapipe_mesh.state()}


class LipTemplate(FaceFinder):
    """The lip template on the boxes of OpenCV's cascade or on our own proposals."""

    is_substitute = True

    def locate(self, frame: np.ndarray, sought: Sought) -> FaceLocation | None:
        near = sought.near if sought.point is None else Box(*sought.point, *sought.point)
        found = find_face(frame, sought.face_index, near=near, check=sought.check)
        if sought.point is None or found.lips is None or found.box is None:
            return found
        return found if is_at(found.box, sought.point) else no_face_at(sought.point)

    def states(self, roles: Collection[str]) -> dict[str, str]:
        cascade = "usable" if cascade_file() else "not in this OpenCV"
        return {"OpenCV cascade": cascade, "own search": "usable"}


class GivenMask(FaceFinder):
    """The ends of the user's mask: it may be drawn generously, so lips that are found go first."""

    def locate(self, frame: np.ndarray, sought: Sought) -> FaceLocation | None:
        if sought.mask is None or not sought.mask.any():
            return None
        return locate_by_corners(frame, corners_of_mask(sought.mask))


# The order in which they are asked; the first one that answers is taken.
FINDERS: list[FaceFinder] = [
    GivenCorners(),
    ReferenceNetworks(),
    OwnMesh(),
    MediapipeMesh(),
    LipTemplate(),
    GivenMask(),
]


def locate_face(
    frame: np.ndarray,
    *,
    face_index: int = 0,
    corners: LipCorners | None = None,
    mask: np.ndarray | None = None,
    check: Callable[[], None] = lambda: None,
    model_folders: Sequence[Path] = (),
    finders: Sequence[FaceFinder] = FINDERS,
) -> FaceLocation:
    """Return face box and lips of one person in a picture.

    frame: uint8 RGB (H, W, 3). The others as in ``Sought``.
    Raises MediaError for another kind of picture, and for corners or a mask that cannot be meant.
    """
    return locate(frame, Sought(face_index, None, corners, mask, check, model_folders), finders)


def locate(
    frame: np.ndarray, sought: Sought, finders: Sequence[FaceFinder] = FINDERS
) -> FaceLocation:
    """Return what ``locate_face`` does, of somebody who may be named by a point too.

    The user's corners say more than a point, and a point more than the index and the mask.
    """
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise MediaError(f"Expected a picture uint8 (H, W, 3), got {frame.dtype} {frame.shape}.")
    if sought.corners is not None:
        sought = replace(sought, point=None)
    elif sought.point is not None:
        sought = replace(sought, face_index=0, mask=None)
    location = _first_answer(frame, sought, finders)
    log.info("face: %s: %s", location.method, location.reason)
    return location


def faces_beside(
    frame: np.ndarray, location: FaceLocation, model_folders: Sequence[Path] = ()
) -> list[Box]:
    """Return the faces that a look at a picture finds, largest first, with the one located.

    Those that were seen when it was located are not looked for again. Small ones may be missing:
    they are looked for only where nobody else is.
    """
    found = list(location.faces or ())
    if location.faces is None and (networks := mesh_networks(model_folders)) is not None:
        found = [face.box for face in find_meshes(networks, frame)]
    own = location.box
    if own is not None and all(overlap(own, box) < SAME_PLACE for box in found):
        found.append(own)
    return sorted(found, key=lambda box: -box.width * box.height)


def locate_again(
    frame: np.ndarray,
    near: Box | None,
    model_folders: Sequence[Path] = (),
    face_index: int = 0,
    check: Callable[[], None] = lambda: None,
) -> FaceLocation:
    """Return the face closest to where one was last seen, for a ``LipTracker`` that lost it.

    near: None where none was: then ``face_index`` says which.
    """
    sought = Sought(face_index, near, check=check, model_folders=model_folders)
    return _first_answer(frame, sought, FINDERS)


def crop_finder(
    networks: Networks, rules: CropRules, finders: Sequence[FaceFinder] = FINDERS
) -> CropFinder | None:
    """Return the first finder's way to MuseTalk's crop; None where no finder has its own."""
    ways = (finder.follow(networks, rules) for finder in finders)
    return next((way for way in ways if way is not None), None)


def _first_answer(frame: np.ndarray, sought: Sought, finders: Sequence[FaceFinder]) -> FaceLocation:
    refusal = FaceLocation(None, None, 0.0, "none", NO_FACE)
    has_looked = False  # somebody who is no substitute
    for finder in finders:
        if finder.is_substitute and has_looked:
            continue
        sought.check()
        location = finder.locate(frame, sought)
        if location is not None and location.lips is not None:
            return location
        has_looked = has_looked or (location is not None and not finder.is_substitute)
        refusal = location or refusal
    ways = filter(None, (finder.advice(sought.model_folders) for finder in finders))
    return replace(refusal, reason="; ".join([refusal.reason, *ways]))
