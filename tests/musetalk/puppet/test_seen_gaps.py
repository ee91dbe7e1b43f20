"""A mouth is drawn so far open that the face mesh sees what was asked for, within bounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from avatarvideo.errors import Cancelled
from avatarvideo.musetalk.face.finder import locate_face
from avatarvideo.musetalk.face.mesh_networks import FaceMesh, mesh_networks
from avatarvideo.musetalk.inputs import load_avatar
from avatarvideo.musetalk.lips.mesh_shape import lips_of_mesh
from avatarvideo.musetalk.puppet.playback import PuppetPlayback
from avatarvideo.musetalk.puppet.pose import MouthPose, MouthShapes
from avatarvideo.musetalk.puppet.seen_gaps import AIMED, ASKED, DRAWN, WIDTHS, gaps_of, seen_alike

SAMPLES = Path(__file__).resolve().parents[3] / "web" / "samples"
GAPS = np.array((0.0, 0.06, 0.13, 0.26, 0.36), np.float32)
TO_SEE = np.interp(GAPS, ASKED, AIMED)


def drawn(gaps: np.ndarray, width: float = 1.0) -> np.ndarray:
    seen = gaps_of(np.stack([gaps, gaps])[None])
    return np.array([seen.pose(MouthPose(float(one), width)).opening for one in GAPS])


def playback_of(path: Path, models: Path, *, with_points: bool = True) -> PuppetPlayback:
    """A still that opens its mouth as GAPS."""
    avatar = load_avatar(path)
    face = locate_face(avatar.first_frame(), model_folders=[models])
    rest = np.zeros_like(GAPS)
    shapes = MouthShapes(GAPS, np.ones_like(GAPS), rest, rest)
    points = [face.points] if with_points else None
    return PuppetPlayback(avatar, np.zeros(GAPS.size, np.int64), shapes, [face.lips], None, points)


@pytest.mark.parametrize("width", [0.7, 0.9, 1.0, 1.08])
def test_what_is_seen_as_it_is_drawn_stays_but_for_what_a_codec_takes(width: float) -> None:
    np.testing.assert_allclose(drawn(np.array(DRAWN), width), TO_SEE, atol=1e-6)
    assert np.abs(TO_SEE - GAPS).max() < 0.0101


def test_what_is_seen_less_is_drawn_more() -> None:
    gaps = drawn(np.array(DRAWN) - 0.03)
    assert gaps[0] == 0
    np.testing.assert_allclose(gaps[1:], TO_SEE[1:] + 0.03, atol=1e-6)


def test_what_is_seen_more_is_drawn_less() -> None:
    np.testing.assert_allclose(drawn(np.array(DRAWN) + 0.02)[2:], TO_SEE[2:] - 0.02, atol=1e-6)


def test_of_looks_at_several_frames_the_middle_one_counts() -> None:
    readings = np.array([DRAWN, DRAWN]) - np.array([0.0, 0.03, 0.05])[:, None, None]
    aimed = float(np.interp(0.2, ASKED, AIMED))
    np.testing.assert_allclose(gaps_of(readings).pose(MouthPose(0.2)).opening, aimed + 0.03)


def test_a_round_mouth_has_its_own_curve_and_widths_between_have_one_between() -> None:
    seen = gaps_of(np.array([[np.array(DRAWN) + 0.02, DRAWN]]))
    usual, between, narrow, narrower = (
        seen.pose(MouthPose(0.25, width)).opening for width in (1.0, sum(WIDTHS) / 2, *(0.8, 0.62))
    )
    np.testing.assert_allclose([between, narrow], [usual - 0.01, usual - 0.02], atol=1e-6)
    assert narrower == narrow


@given(arrays(float, (3, len(WIDTHS), len(DRAWN)), elements=st.floats(-0.1, 0.6)))
def test_any_reading_gives_a_curve_that_rises_within_bounds(readings: np.ndarray) -> None:
    asked = np.linspace(0, 0.52, 200)
    to_see = np.interp(asked, ASKED, AIMED)
    seen = gaps_of(readings)
    for width in (0.8, 0.87, 1.0):
        gaps = np.array([seen.pose(MouthPose(float(one), width)).opening for one in asked])
        assert gaps[0] == 0
        assert (np.diff(gaps) >= -1e-9).all()
        assert gaps.max() <= 0.52
        assert (gaps <= to_see + 0.1 + 1e-9).all()
        assert (gaps >= np.minimum(to_see - 0.03, 0.52) - 1e-9).all()


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
def test_a_gate_brings_a_seen_mouth_to_rest(mesh_models: Path) -> None:
    playback = playback_of(SAMPLES / "portrait.png", mesh_models)
    motion = seen_alike(playback, np.array([0]), [mesh_models], lambda: None).motion
    gated = motion.gated(np.array([1, 1, 0.5, 0, 1], np.float32))
    assert gated.at(3).opening == 0
    assert gated.at(4) == motion.at(4)
    assert 0 < gated.at(2).opening < motion.at(2).opening
