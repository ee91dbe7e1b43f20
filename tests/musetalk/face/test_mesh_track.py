"""A mesh kept over a video: steady at rest, exact in motion, and the mouth's width at rest."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest

from avatarvideo.errors import Cancelled
from avatarvideo.musetalk.face.mesh_track import KEPT, LIPS, MeshTrack, PerFrame
from avatarvideo.musetalk.face.steady_points import BLOCK, NOISE, steadied_points
from avatarvideo.musetalk.lips.mesh_shape import BORDERS, lips_of_mesh

EYES = 100.0  # pixels between the outer corners
MOUTH = 60.0
LIP_POINTS, KEPT_POINTS = list(LIPS), list(KEPT)


def face(gap: float = 0.0, width: float = MOUTH) -> np.ndarray:
    """A mesh, float64 (478, 2): scattered points, eyes, and lips ``gap`` pixels apart."""
    points = np.random.default_rng(3).uniform(-90, 90, (478, 2))
    points[[33, 263]] = ((-EYES / 2, -40), (EYES / 2, -40))
    arch = np.array([0, *[1] * 9, 0])
    for border, height in zip(BORDERS, (-8 - gap / 2, -gap / 2, gap / 2, 9 + gap / 2), strict=True):
        points[list(border), 0] = np.linspace(-width / 2, width / 2, len(border))
        points[list(border), 1] = 45 + height * arch
    points[[78, 308]] = points[[61, 291]] * (0.9, 1)
    return points


def placed(points: np.ndarray, x: float, y: float, tilt: float, scale: float) -> np.ndarray:
    turn = np.array([[math.cos(tilt), -math.sin(tilt)], [math.sin(tilt), math.cos(tilt)]])
    return scale * points @ turn.T + (x, y)


def swaying(count: int) -> np.ndarray:
    """A talking head that pans, turns and comes nearer: float64 (N, 478, 2)."""
    meshes = []
    for number in range(count):
        phase = 2 * math.pi * number / 40
        gap = max(0.0, 12 * math.sin(2 * math.pi * number / 7))
        where = (
            300 + 20 * math.sin(phase),
            250 + 9 * math.sin(0.7 * phase),
            0.08 * math.sin(phase),
        )
        meshes.append(placed(face(gap), *where, 1 + 0.1 * math.sin(1.3 * phase)))
    return np.array(meshes)


def track_of(meshes: np.ndarray, begins: tuple[int, ...] = (0,)) -> MeshTrack:
    track = MeshTrack(len(meshes))
    for number, mesh in enumerate(meshes):
        if np.isfinite(mesh).all():
            track.put(number, mesh, begins=number in begins)
    return track


def shaken(meshes: np.ndarray, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, NOISE * EYES / math.sqrt(2), meshes.shape)
    return meshes + noise


def lip_points(track: MeshTrack) -> np.ndarray:
    whole = [track.points(number) for number in range(len(track.found))]
    return np.array([each[LIP_POINTS] for each in whole if each is not None])


def test_noise_of_a_face_at_rest_is_averaged() -> None:
    meshes = np.repeat(placed(face(), 300, 250, 0.1, 1)[None], 40, axis=0)
    track = track_of(shaken(meshes))
    before = np.abs(np.diff(lip_points(track), axis=0)).mean()
    track.steady()
    points = lip_points(track)
    assert np.abs(np.diff(points, axis=0)).mean() < 0.25 * before
    assert np.abs(points - meshes[:, LIP_POINTS]).mean() < 0.07


def test_motion_of_the_head_and_of_the_mouth_is_kept() -> None:
    meshes = swaying(60)
    track = track_of(meshes)
    track.steady()
    apart = np.hypot(*(lip_points(track) - meshes[:, LIP_POINTS]).T)
    assert apart.max() < 0.005 * MOUTH
    truth = [lips_of_mesh(mesh) for mesh in meshes]
    found = [track.lips(number) for number in range(60)]
    gaps = [(each.curves[2] - each.curves[1]).max() for each in truth if each is not None]
    steady = [(each.curves[2] - each.curves[1]).max() for each in found if each is not None]
    np.testing.assert_allclose(steady, gaps, atol=0.005)
    assert np.ptp(gaps) > 0.15


def test_a_nod_of_eight_frames_keeps_its_height() -> None:
    heights = 250 + 20 * np.sin(2 * math.pi * np.arange(40) / 8) * (np.arange(40) // 10 == 1)
    meshes = np.array([placed(face(), 300, float(y), 0, 1) for y in heights])
    track = track_of(meshes)
    track.steady()
    assert np.abs(lip_points(track) - meshes[:, LIP_POINTS]).max() < 0.3


def test_nothing_is_averaged_over_a_cut_or_a_gap() -> None:
    one, other = placed(face(), 200, 200, 0, 1), placed(face(), 200.15, 200, 0, 1)
    meshes = np.array([one] * 6 + [other] * 6 + [np.full_like(one, np.nan)] * 2 + [one] * 3)
    track = track_of(meshes, begins=(0, 6))
    track.steady()
    assert track.found.tolist() == [True] * 12 + [False] * 2 + [True] * 3
    kept = [number for number in range(17) if track.found[number]]
    np.testing.assert_allclose(lip_points(track), meshes[kept][:, LIP_POINTS], atol=1e-4)
    assert track.lips(12) is None
    assert track.points(12) is None


@pytest.mark.slow
def test_blocks_leave_no_seam() -> None:
    points = np.tile(swaying(40)[:, KEPT_POINTS], (BLOCK // 40 + 2, 1, 1)).astype(np.float32)
    rigid, judged = list(range(14)), list(range(14, 54))
    around = slice(BLOCK - 60, BLOCK + 20)  # no beginning of a block of its own
    whole = steadied_points(points, rigid, judged)[around]
    own = steadied_points(points[BLOCK - 100 : BLOCK + 60], rigid, judged)[40:120]
    np.testing.assert_allclose(whole, own, atol=0.02)


def test_a_whole_mesh_comes_back_from_what_is_kept() -> None:
    meshes = swaying(12)
    track = track_of(meshes)
    for number in range(12):
        points = track.points(number)
        assert points is not None
        assert points.shape == (478, 2)
        np.testing.assert_allclose(points[KEPT_POINTS], meshes[number][KEPT_POINTS], atol=1e-4)
        assert np.hypot(*(points - meshes[number]).T).max() < 2  # the chin's motion bends the rest


def test_the_width_at_rest_is_that_of_the_shut_mouth() -> None:
    spoken = [(gap, 0.8 * MOUTH if gap else MOUTH) for gap in [0.0, 9, 14, 11, 0, 8, 13, 12] * 5]
    meshes = np.array([placed(face(gap, width), 300, 250, 0, 1) for gap, width in spoken])
    np.testing.assert_allclose(track_of(meshes).rest_widths(), MOUTH, rtol=0.002)
    always_open = meshes[[n for n, (gap, _) in enumerate(spoken) if gap]]
    np.testing.assert_allclose(track_of(always_open).rest_widths(), 0.8 * MOUTH, rtol=0.002)


def test_the_width_at_rest_follows_the_size_and_the_turn_of_the_face() -> None:
    scales = np.linspace(1, 1.5, 12)
    meshes = np.array([placed(face(), 300, 250, 0.2 * s, s) for s in scales])
    np.testing.assert_allclose(track_of(meshes).rest_widths(), MOUTH * scales, rtol=0.002)
    breadths = np.linspace(1, 0.7, 12)  # as of a head that turns away
    meshes = np.array([placed(face() * (b, 1), 300, 250, 0, 1) for b in breadths])
    np.testing.assert_allclose(track_of(meshes).rest_widths(), MOUTH * breadths, rtol=0.02)


def test_frames_without_a_face_have_no_width() -> None:
    meshes = np.array([face(), np.full((478, 2), np.nan), face()])
    assert np.isnan(track_of(meshes).rest_widths()).tolist() == [False, True, False]
    assert np.isnan(MeshTrack(3).rest_widths()).all()


def test_steadying_can_be_cancelled() -> None:
    def cancelled() -> None:
        raise Cancelled

    track = track_of(swaying(3))
    with pytest.raises(Cancelled):
        track.steady(cancelled)


@pytest.mark.slow
def test_a_frame_takes_a_few_hundred_bytes() -> None:
    count = 20_000
    mesh = placed(face(), 300, 250, 0, 1)
    tracemalloc.start()
    track = MeshTrack(count)
    for number in range(count):
        track.put(number, mesh, begins=False)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    track.steady()
    track.rest_widths()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert held < 600 * count
    assert most < held + 20e6  # what a block takes, however long the video is


def test_items_are_made_when_they_are_asked_for() -> None:
    made: list[int] = []

    def make(number: int) -> int:
        made.append(number)
        return 10 * number

    items = PerFrame(make, 5)
    assert made == []
    assert (items[3], items[-1], list(items[1:3]), len(items)) == (30, 40, [10, 20], 5)
    assert list(items) == [0, 10, 20, 30, 40]
