"""The mouth in its head, from meshes whose shape and motion are known."""

from __future__ import annotations

import numpy as np
import pytest

from avatarvideo.musetalk.face.mesh_networks import POINTS, FaceMesh
from avatarvideo.musetalk.score.mouth import (
    CORNERS,
    INNER_LIPS,
    LOWER_LIP,
    NOSE,
    REST_PERCENT,
    SHUT,
    MouthTrack,
)

WIDTH = 40.0  # pixels, of the mouth


def head(gap: float, *, shift: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """A face's points, its lips apart by so many mouth widths, the mouth moved by as many."""
    points = np.random.default_rng(5).uniform(60, 200, (POINTS, 2))
    points[[33, 263]] = ((90, 110), (170, 110))
    mouth = np.array([130.0, 180.0]) + np.multiply(shift, WIDTH)
    points[NOSE] = (130, 160)
    points[list(LOWER_LIP)] = mouth + np.array([0, gap * WIDTH / 2])
    points[list(CORNERS)] = mouth + np.array([[-WIDTH / 2, 0], [WIDTH / 2, 0]])
    for number, (upper, lower) in enumerate(INNER_LIPS):
        points[upper] = mouth - np.array([2.0 - number, gap * WIDTH / 2])
        points[lower] = mouth + np.array([number - 2.0, gap * WIDTH / 2])
    return points


def moved(points: np.ndarray, *, turn: float, scale: float, by: tuple[float, float]) -> FaceMesh:
    c, s = scale * np.cos(turn), scale * np.sin(turn)
    return FaceMesh(points @ np.array([[c, s], [-s, c]]) + by, 1.0)


def test_the_opening_is_that_of_the_lips_wherever_the_head_is() -> None:
    track, noise = MouthTrack(), np.random.default_rng(2)
    gaps = noise.uniform(0, 0.4, 30)
    for gap in gaps:
        turn, scale = noise.uniform(-0.4, 0.4), noise.uniform(0.5, 2)
        by = (noise.uniform(-50, 50), noise.uniform(-50, 50))
        track.add(moved(head(gap), turn=turn, scale=scale, by=by))
    mouth = track.done()
    np.testing.assert_allclose(mouth.opening, gaps, atol=1e-9)
    np.testing.assert_allclose(mouth.drop, 20 / WIDTH + gaps / 2, atol=1e-9)
    assert mouth.moves
    assert np.ptp(np.abs(mouth.middle - mouth.middle[0])) < 1e-9


def test_frames_without_a_face_stay_unknown() -> None:
    track = MouthTrack()
    for gap in (None, 0.1, None, 0.3):
        track.add(None if gap is None else FaceMesh(head(gap), 1.0))
    mouth = track.done()
    assert mouth.seen.tolist() == [False, True, False, True]
    np.testing.assert_allclose(mouth.opening[[1, 3]], [0.1, 0.3])
    assert mouth.jitter() is None


def test_jitter_is_the_deviation_of_what_shakes() -> None:
    noise, track = np.random.default_rng(3), MouthTrack()
    for _ in range(400):
        shift = tuple(noise.normal(0, 0.01, 2).tolist())
        track.add(FaceMesh(head(0.0, shift=shift), 1.0))
    assert track.done().jitter() == pytest.approx(0.01, rel=0.1)


def test_a_head_that_jumps_or_a_mouth_that_glides_is_no_jitter() -> None:
    track = MouthTrack()
    for number in range(60):
        by = (0.0, 0.0) if number < 30 else (90.0, 40.0)
        points = head(0.0, shift=(0.002 * number, 0.001 * number))
        track.add(moved(points, turn=0.0, scale=1.0, by=by))
    assert track.done().jitter() == pytest.approx(0, abs=1e-6)


def test_shut_is_measured_against_the_videos_own_rest() -> None:
    rest = 0.04
    gaps = np.where(np.arange(100) < 50, rest, 0.3)
    gaps[:10] = rest + SHUT + 0.01
    track = MouthTrack()
    for gap in gaps:
        track.add(FaceMesh(head(gap), 1.0))
    mouth = track.done()
    assert mouth.rest == pytest.approx(rest)
    assert mouth.closure(np.arange(100) < 50) == pytest.approx(0.8)
    assert mouth.closure(np.arange(100) >= 50) == 0


def test_a_mouth_that_never_shuts_is_not_at_rest_when_it_is_widest_shut() -> None:
    track = MouthTrack()
    for gap in np.linspace(0.2, 0.4, 50):
        track.add(FaceMesh(head(gap), 1.0))
    mouth = track.done()
    assert np.percentile(mouth.opening, REST_PERCENT) > 0.2
    assert mouth.closure(np.ones(50, bool)) == 0


def test_noise_is_no_motion() -> None:
    noise, track = np.random.default_rng(4), MouthTrack()
    for gap in noise.normal(0.02, 0.002, 100):
        track.add(FaceMesh(head(gap), 1.0))
    assert not track.done().moves
