"""A mouth is drawn so far open that the face mesh sees what was asked for, within bounds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from avatarvideo.errors import Cancelled
from avatarvideo.musetalk.face.finder import locate_face
from avatarvideo.musetalk.face.mesh_networks import FaceMesh, mesh_networks
from avatarvideo.musetalk.inputs import load_avatar
from avatarvideo.musetalk.lips.mesh_shape import lips_of_mesh
from avatarvideo.musetalk.puppet.gap_table import CODEC
from avatarvideo.musetalk.puppet.playback import PuppetPlayback
from avatarvideo.musetalk.puppet.pose import MouthShapes
from avatarvideo.musetalk.puppet.seen_gaps import FIRST, seen_alike

SAMPLES = Path(__file__).resolve().parents[3] / "web" / "samples"
GAPS = np.array((0.0, 0.06, 0.13, 0.26, 0.36), np.float32)
TO_SEE = GAPS + np.interp(GAPS, *CODEC)


def playback_of(path: Path, models: Path, *, with_points: bool = True) -> PuppetPlayback:
    """A picture, or the first of a video, that opens its mouth as GAPS."""
    avatar = load_avatar(path)
    face = locate_face(avatar.first_frame(), model_folders=[models])
    rest = np.zeros_like(GAPS)
    shapes = MouthShapes(GAPS, np.ones_like(GAPS), rest, rest)
    points = [face.points] if with_points else None
    return PuppetPlayback(avatar, np.zeros(GAPS.size, np.int64), shapes, [face.lips], None, points)


def test_frames_without_lips_change_nothing() -> None:
    rest = np.zeros_like(GAPS)
    shapes = MouthShapes(GAPS, np.ones_like(GAPS), rest, rest)
    indices = np.zeros(GAPS.size, np.int64)
    playback = PuppetPlayback(load_avatar(SAMPLES / "portrait.png"), indices, shapes, [None])
    assert seen_alike(playback, np.array([0]), [], lambda: None) is playback


@pytest.mark.slow
@pytest.mark.parametrize("name", ["portrait.png", "portrait_sargent_chanler_1893.jpg"])
def test_the_mesh_sees_what_was_asked_for(name: str, mesh_models: Path, real_data: Path) -> None:
    path = (SAMPLES if name == "portrait.png" else real_data) / name
    plain = playback_of(path, mesh_models)
    known = seen_alike(plain, np.array([0]), [mesh_models], lambda: None)
    networks, points = mesh_networks([mesh_models]), plain.points_at(0)
    assert networks is not None
    assert points is not None

    def errors(playback: PuppetPlayback) -> np.ndarray:
        gaps: list[float] = []
        widths: list[float] = []
        for picture in playback.frames():
            mesh = networks.look(picture, FaceMesh(points, 1.0).square)
            lips = None if mesh is None else lips_of_mesh(mesh.points)
            assert lips is not None
            gaps.append(float((lips.curves[2] - lips.curves[1]).max()) * lips.width)
            widths.append(lips.width)
        return np.abs((np.array(gaps) - gaps[0]) / widths[0] - TO_SEE)

    before, after = errors(plain), errors(known)
    assert after[2:].max() < 0.025  # 0.06 needs more than is allowed on one of them
    assert after.mean() < 0.6 * before.mean()


@pytest.mark.slow
def test_lips_without_a_mesh_and_folders_without_its_file_change_nothing(
    mesh_models: Path, tmp_path: Path
) -> None:
    given_lips = playback_of(SAMPLES / "portrait.png", mesh_models, with_points=False)
    assert seen_alike(given_lips, np.array([0]), [mesh_models], lambda: None) is given_lips
    found = playback_of(SAMPLES / "portrait.png", mesh_models)
    assert seen_alike(found, np.array([0]), [tmp_path], lambda: None) is found


@pytest.mark.slow
def test_a_cancelled_run_is_not_looked_at(mesh_models: Path) -> None:
    def cancelled() -> None:
        raise Cancelled("cancelled")

    playback = playback_of(SAMPLES / "portrait.png", mesh_models)
    with pytest.raises(Cancelled):
        seen_alike(playback, np.array([0]), [mesh_models], cancelled)


@pytest.mark.slow
def test_a_face_that_comes_late_is_looked_at(mesh_models: Path) -> None:
    plain = playback_of(SAMPLES / "talking_head.mp4", mesh_models)
    assert plain.points is not None
    count = plain.avatar.frame_count
    late = replace(
        plain,
        shapes=[None] * (count - 1) + [*plain.shapes],
        points=[None] * (count - 1) + [*plain.points],
    )
    numbers = np.append(np.zeros(FIRST, np.int64), count - 1)
    assert seen_alike(late, numbers, [mesh_models], lambda: None).gaps is not None
