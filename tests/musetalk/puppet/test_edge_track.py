"""The lips' inner edges through a video: as the pixels show them, calm, and by the person's own."""

from __future__ import annotations

import numpy as np
import pytest

from avatarvideo.media import LipCorners, LipShape
from avatarvideo.musetalk.puppet.edge_track import EdgeTrack
from avatarvideo.musetalk.puppet.pose import MouthPose
from avatarvideo.musetalk.puppet.puppet import Puppet

from .test_lip_edges import MIDDLE, too_narrow
from .test_puppet import TEETH, face, lips_at

WIDTH = 60  # pixels, of the mouths of ``reading``
GREY = np.full((128, 128, 3), 120, np.uint8)  # lips without colour keep their landmarks


def reading(gap: float) -> LipShape:
    """Lips that a mesh reads so far apart and calls shut."""
    lips = lips_at(64, 64, WIDTH)
    curves = lips.curves.copy()
    arch = 1 - np.linspace(-1, 1, curves.shape[1]) ** 2
    curves[1] -= gap / 2 * arch
    curves[2] += gap / 2 * arch
    return LipShape(lips.corners, curves.astype(np.float32), parted=False)


def tracked(gaps: list[float], begins: tuple[int, ...] = (0,)) -> tuple[EdgeTrack, list[LipShape]]:
    lips = [reading(gap) for gap in gaps]
    track = EdgeTrack(len(lips))
    for number, one in enumerate(lips):
        track.put(number, GREY, one, begins=number in begins)
    track.learn(np.full(len(lips), WIDTH, np.float32))
    return track, lips


def grown(lips: LipShape, by: float, width: float = 1.0) -> LipShape:
    """Lips that are so much thicker, of a mouth whose width is that share of ``WIDTH``."""
    middle = lips.curves[1:3].mean(axis=0)
    curves = (middle + (lips.curves - middle) * (1 + by)) / width
    x0, y0, x1, y1 = lips.corners
    narrower = (1 - width) * (x1 - x0) / 2
    corners = LipCorners(x0 + narrower, y0, x1 - narrower, y1)
    return LipShape(corners, curves.astype(np.float32), lips.parted)


def widest(lips: LipShape) -> float:
    return float((lips.curves[2] - lips.curves[1]).max())


def test_a_gap_that_shut_lips_of_this_face_never_read_is_one() -> None:
    track, lips = tracked([0.002] * 10 + [0.02, 0.034])
    shut, half, apart = (track.edged(number, lips[number], WIDTH) for number in (0, 10, 11))
    assert (shut.parted, widest(shut)) == (False, pytest.approx(0, abs=1e-6))
    assert half.parted
    assert widest(half) == pytest.approx(0.02 * (0.018 - 0.008) / 0.022, abs=1e-3)
    assert apart.parted
    assert widest(apart) == pytest.approx(0.034, abs=1e-3)


def test_the_same_gap_is_none_where_shut_lips_read_it_too() -> None:
    track, lips = tracked([0.034] * 12)
    assert not track.edged(11, lips[11], WIDTH).parted
    assert widest(track.edged(11, lips[11], WIDTH)) == pytest.approx(0, abs=1e-6)


def test_teeth_between_lips_that_are_read_shut_are_covered() -> None:
    parted, shut = lips_at(256, 300, 120, parted=0.1), lips_at(256, 300, 120)
    source = face((512, 512), parted)
    track = EdgeTrack(3)
    for number in range(3):
        track.put(number, source, shut, begins=number == 0)
    track.learn(np.full(3, 120, np.float32))
    found = track.edged(1, shut, 120)
    assert found.parted
    assert np.abs(found.curves - parted.curves)[1:3, MIDDLE].max() < 0.02
    at_rest = Puppet(source, found).render(MouthPose())[285:315, 220:292].astype(int)
    before = source[285:315, 220:292].astype(int)
    white = [int((np.abs(part - TEETH).sum(axis=2) < 60).sum()) for part in (before, at_rest)]
    assert white[0] > 300
    assert white[1] < 0.02 * white[0]


def test_edges_are_shared_by_frames_that_are_as_far_open_in_one_shot() -> None:
    lips = lips_at(256, 300, 120, parted=0.2)
    source = face((512, 512), lips)
    narrow = too_narrow(lips, 0.03)
    grey = np.full_like(source, 120)
    wide = lips_at(256, 300, 120, parted=0.4)
    alone, with_like, with_others, after_cut = (EdgeTrack(2) for _ in range(4))
    for track, other, begins in (
        (with_like, narrow, False),
        (with_others, wide, False),
        (after_cut, narrow, True),
    ):
        track.put(0, source, narrow, begins=True)
        track.put(1, grey, other, begins=begins)
    alone.put(0, source, narrow, begins=True)
    for track in (alone, with_like, with_others, after_cut):
        track.learn(np.full(2, 120, np.float32))
    gap = widest(narrow)
    opened = [widest(track.edged(0, narrow, 120)) - gap for track in (alone, with_like)]
    assert opened[0] > 0.04
    assert opened[1] == pytest.approx(opened[0] / 2, abs=1e-3)
    for track in (with_others, after_cut):
        assert widest(track.edged(0, narrow, 120)) - gap == pytest.approx(opened[0], abs=1e-3)


def thickness(lips: LipShape) -> np.ndarray:
    """Heights of the upper and the lower lip in the middle."""
    middle = lips.curves[:, lips.curves.shape[1] // 2]
    return np.array([middle[1] - middle[0], middle[3] - middle[2]])


def test_what_shut_lips_are_thicker_is_a_gap() -> None:
    shut = reading(0)
    apart = grown(shut, 0.3)
    track = EdgeTrack(9)
    for number in range(9):
        track.put(number, GREY, apart if number == 8 else shut, begins=number == 0)
    track.learn(np.full(9, WIDTH, np.float32))
    assert not track.edged(0, shut, WIDTH).parted
    found = track.edged(8, apart, WIDTH)
    assert found.parted
    whole = float(thickness(apart).sum() - thickness(shut).sum())
    assert whole < widest(found) < 1.3 * whole
    assert np.array_equal(found.curves[[0, 3]], apart.curves[[0, 3]])


def test_the_lips_of_a_narrowed_mouth_may_be_thicker() -> None:
    shut = reading(0)
    narrowed = grown(shut, 0.125, width=0.8)  # half of what the mouth is narrower
    track = EdgeTrack(9)
    for number in range(9):
        track.put(number, GREY, narrowed if number == 8 else shut, begins=number == 0)
    track.learn(np.full(9, WIDTH, np.float32))
    assert not track.edged(8, narrowed, WIDTH).parted


def test_lips_keep_the_thickness_they_have_shut_whatever_pixels_say() -> None:
    shut, lips = lips_at(256, 300, 120), lips_at(256, 300, 120, parted=0.3)
    teeth_on_lips = too_narrow(lips, -0.05)
    frames = [(face((512, 512), shut), shut)] * 8 + [(face((512, 512), teeth_on_lips), lips)]
    track = EdgeTrack(9)
    for number, (frame, shape) in enumerate(frames):
        track.put(number, frame, shape, begins=number == 0)
    free = track.edged(8, lips, 120)
    track.learn(np.full(9, 120, np.float32))
    held = track.edged(8, lips, 120)
    least = 0.9 * thickness(shut)
    assert (thickness(free) < least - 0.01).any()
    assert (thickness(held) >= least - 0.003).all()


def test_a_lip_that_is_upright_beside_an_open_mouth_is_not_taken_for_a_thick_one() -> None:
    shut = reading(0)
    opened = lips_at(64, 64, WIDTH, parted=0.5)
    curves = opened.curves.copy()
    round_outline = np.sqrt(1 - np.linspace(-1, 1, curves.shape[1]) ** 2)
    curves[0], curves[3] = -0.45 * round_outline, 0.5 * round_outline
    opened = LipShape(opened.corners, curves.astype(np.float32), parted=True)
    track = EdgeTrack(9)
    for number in range(9):
        track.put(number, GREY, opened if number == 8 else shut, begins=number == 0)
    track.learn(np.full(9, WIDTH, np.float32))
    before, after = (
        lips.curves[2] - lips.curves[1] for lips in (opened, track.edged(8, opened, WIDTH))
    )
    share = (after / after.max())[[1, 2, -3, -2]]
    assert (share < (before / before.max())[[1, 2, -3, -2]] + 0.02).all()
