"""The lips' inner edges through a video: as the pixels show them, calm, and by the person's own."""

from __future__ import annotations

import numpy as np
import pytest

from avatarvideo.media import LipShape
from avatarvideo.musetalk.puppet.edge_track import EdgeTrack
from avatarvideo.musetalk.puppet.pose import MouthPose
from avatarvideo.musetalk.puppet.puppet import Puppet

from .test_lip_edges import MIDDLE, too_narrow
from .test_puppet import TEETH, face, lips_at

GREY = np.full((128, 128, 3), 120, np.uint8)  # lips without colour keep their landmarks


def reading(gap: float) -> LipShape:
    """Lips that a mesh reads so far apart and calls shut."""
    lips = lips_at(64, 64, 60)
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
    return track, lips


def widest(lips: LipShape) -> float:
    return float((lips.curves[2] - lips.curves[1]).max())


def test_a_gap_that_shut_lips_of_this_face_never_read_is_one() -> None:
    track, lips = tracked([0.002] * 10 + [0.02, 0.034])
    shut, half, apart = (track.edged(number, lips[number]) for number in (0, 10, 11))
    assert (shut.parted, widest(shut)) == (False, pytest.approx(0, abs=1e-6))
    assert half.parted
    assert widest(half) == pytest.approx(0.02 * (0.018 - 0.008) / 0.022, abs=1e-3)
    assert apart.parted
    assert widest(apart) == pytest.approx(0.034, abs=1e-3)


def test_the_same_gap_is_none_where_shut_lips_read_it_too() -> None:
    track, lips = tracked([0.034] * 12)
    assert not track.edged(11, lips[11]).parted
    assert widest(track.edged(11, lips[11])) == pytest.approx(0, abs=1e-6)


def test_teeth_between_lips_that_are_read_shut_are_covered() -> None:
    parted, shut = lips_at(256, 300, 120, parted=0.1), lips_at(256, 300, 120)
    source = face((512, 512), parted)
    track = EdgeTrack(3)
    for number in range(3):
        track.put(number, source, shut, begins=number == 0)
    found = track.edged(1, shut)
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
    gap = widest(narrow)
    opened = [widest(track.edged(0, narrow)) - gap for track in (alone, with_like)]
    assert opened[0] > 0.04
    assert opened[1] == pytest.approx(opened[0] / 2, abs=1e-3)
    for track in (with_others, after_cut):
        assert widest(track.edged(0, narrow)) - gap == pytest.approx(opened[0], abs=1e-3)
