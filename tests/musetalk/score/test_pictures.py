"""Sharpness and change, on pictures whose detail and difference are known."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from avatarvideo.encoders.read.picture import read_image
from avatarvideo.musetalk.face.mesh_networks import FaceMesh, mesh_networks
from avatarvideo.musetalk.face.mesh_search import find_meshes
from avatarvideo.musetalk.score.pictures import MOUTH, change_outside, sharpness

PORTRAIT = Path(__file__).resolve().parents[3] / "web" / "samples" / "portrait.png"


@pytest.fixture(scope="module")
def portrait(mesh_models: Path) -> tuple[np.ndarray, FaceMesh]:
    picture, networks = read_image(PORTRAIT), mesh_networks([mesh_models])
    assert networks is not None
    return picture, find_meshes(networks, picture)[0]


def noise_like(picture: np.ndarray) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, picture.shape).astype(np.uint8)


def softened(picture: np.ndarray, mesh: FaceMesh, deviation: float) -> np.ndarray:
    """The picture with a soft lower face, as a small crop put back is."""
    mask = np.zeros(picture.shape[:2], np.float32)
    hull = cv2.convexHull(mesh.points[list(MOUTH)].astype(np.int32))
    cv2.fillConvexPoly(mask, hull, 1.0)
    mask = cv2.dilate(mask, np.ones((25, 25), np.uint8))[..., None]
    soft = cv2.GaussianBlur(picture, (0, 0), deviation)
    return (picture * (1 - mask) + soft * mask).astype(np.uint8)


def test_equal_detail_is_one_and_a_soft_mouth_is_less(
    portrait: tuple[np.ndarray, FaceMesh],
) -> None:
    picture, mesh = portrait
    noise = noise_like(picture)
    assert sharpness(noise, mesh) == pytest.approx(1, abs=0.03)
    values = [sharpness(softened(noise, mesh, each), mesh) or 0 for each in (0.5, 1.0, 2.0)]
    assert values == sorted(values, reverse=True)
    assert values[0] < 0.9
    assert values[-1] < 0.35


def test_a_softer_picture_of_both_is_as_sharp_as_before(
    portrait: tuple[np.ndarray, FaceMesh],
) -> None:
    picture, mesh = portrait
    noise = noise_like(picture)
    assert sharpness(cv2.GaussianBlur(noise, (0, 0), 1.5), mesh) == pytest.approx(1, abs=0.06)


def test_a_mouth_that_is_small_or_without_detail_has_no_sharpness(
    portrait: tuple[np.ndarray, FaceMesh],
) -> None:
    picture, mesh = portrait
    small = FaceMesh(mesh.points * 0.2, 1.0)
    assert sharpness(noise_like(picture), small) is None
    assert sharpness(np.full_like(picture, 90), mesh) is None


def test_change_counts_outside_the_lower_face_only(
    portrait: tuple[np.ndarray, FaceMesh],
) -> None:
    picture, mesh = portrait
    x, y = mesh.points[[13, 14]].mean(0).astype(int)
    spoken = picture.copy()
    spoken[y - 20 : y + 20, x - 30 : x + 30] = 0
    assert change_outside(spoken, picture, mesh) == 0
    brighter = np.where(picture < 250, picture + 5, picture - 5).astype(np.uint8)
    assert change_outside(brighter, picture, mesh) == 5
    sky = picture.copy()
    sky[:10] = 255 - sky[:10]
    assert 0 < (change_outside(sky, picture, mesh) or 0) < 20
