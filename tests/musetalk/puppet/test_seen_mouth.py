"""What the face mesh sees of a posed mouth: shut where it is told to be, open, round, wide."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest

from avatarvideo.media import FaceLocation
from avatarvideo.musetalk.face.finder import locate_face
from avatarvideo.musetalk.face.mesh_networks import FaceMesh, MeshNetworks, mesh_networks
from avatarvideo.musetalk.puppet.pose import MouthPose
from avatarvideo.musetalk.puppet.puppet import Puppet

SAMPLES = Path(__file__).resolve().parents[3] / "web" / "samples"
REST = MouthPose()


def skimage_picture(name: str) -> np.ndarray:
    """Return one of scikit-image's own pictures."""
    import skimage

    return read_rgb(Path(skimage.__file__).parent / "data" / f"{name}.png")


def read_rgb(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path))
    assert picture is not None
    return np.ascontiguousarray(picture[:, :, ::-1])


class Ruler(NamedTuple):
    """One face, and the mesh that measures its mouth in any pose."""

    networks: MeshNetworks
    face: FaceLocation
    puppet: Puppet

    def seen(self, picture: np.ndarray) -> tuple[float, float]:
        """Return gap and width in widths of the source's mouth."""
        assert self.face.points is not None
        assert self.face.lips is not None
        square = FaceMesh(self.face.points, 1.0).square
        mesh = self.networks.look(picture, square)
        assert mesh is not None
        gap, width = (
            np.hypot(*(mesh.points[one] - mesh.points[other]))
            for one, other in ((13, 14), (61, 291))
        )
        return gap / self.face.lips.width, width / self.face.lips.width

    def posed(self, pose: MouthPose) -> tuple[float, float]:
        return self.seen(self.puppet.render(pose))


def ruler(picture: np.ndarray, models: Path) -> Ruler:
    networks = mesh_networks([models])
    face = locate_face(picture, model_folders=[models])
    assert networks is not None
    assert face.lips is not None
    return Ruler(networks, face, Puppet(picture, face.lips, points=face.points))


@pytest.fixture(scope="module", params=["portrait", "smile"])
def mouth(request: pytest.FixtureRequest, mesh_models: Path) -> Ruler:
    """A render with shut lips, and a photographed smile with teeth."""
    if request.param == "portrait":
        return ruler(read_rgb(SAMPLES / "portrait.png"), mesh_models)
    return ruler(skimage_picture("astronaut"), mesh_models)


@pytest.mark.parametrize("pose", [REST, MouthPose(0.4, closure=1), MouthPose(0, 0.8)])
def test_any_mouth_is_shut(mouth: Ruler, pose: MouthPose) -> None:
    assert mouth.posed(pose)[0] < 0.02


def test_openings_are_seen(mouth: Ruler) -> None:
    gaps = [mouth.posed(MouthPose(opening))[0] for opening in (0.1, 0.2, 0.3, 0.4)]
    assert gaps == sorted(gaps)
    assert gaps[1] > 0.12
    assert gaps[3] > 0.27
    assert gaps[3] < 0.45


def test_round_is_narrower_than_wide(mouth: Ruler) -> None:
    narrow, wide = (mouth.posed(MouthPose(0.25, width))[1] for width in (0.72, 1.08))
    assert narrow < 0.85 * wide


def test_a_smile_was_open_before(mesh_models: Path) -> None:
    picture = skimage_picture("astronaut")
    found = ruler(picture, mesh_models)
    assert found.seen(picture)[0] > 0.08
    assert not found.puppet.is_source(REST)
    outside = found.puppet.mask() == 0
    assert np.array_equal(found.puppet.render(REST)[outside], picture[outside])


def test_the_chin_follows_the_lower_lip(mesh_models: Path) -> None:
    found = ruler(read_rgb(SAMPLES / "portrait.png"), mesh_models)
    assert found.face.points is not None
    assert found.face.lips is not None
    square = FaceMesh(found.face.points, 1.0).square
    chins = []
    for opening in (0, 0.4):
        mesh = found.networks.look(found.puppet.render(MouthPose(opening)), square)
        assert mesh is not None
        chins.append(mesh.points[152, 1])
    assert 0.1 < (chins[1] - chins[0]) / found.face.lips.width < 0.35
