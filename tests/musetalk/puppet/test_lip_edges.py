"""The lips' inner edges are where a still's pixels show them."""

from __future__ import annotations

import numpy as np
import pytest

from avatarvideo.media import LipShape
from avatarvideo.musetalk.puppet.lip_edges import lips_by_pixels
from avatarvideo.musetalk.puppet.pose import MouthPose
from avatarvideo.musetalk.puppet.puppet import Puppet

from .test_puppet import LIPS, TEETH, face, lips_at

MIDDLE = slice(10, 23)  # of 33 columns


def too_narrow(lips: LipShape, by: float) -> LipShape:
    """Landmarks whose inner edges are so far inside of the lips'."""
    curves = lips.curves.copy()
    curves[1, 1:-1] += by
    curves[2, 1:-1] -= by
    curves[2] = np.maximum(curves[1], curves[2])
    return LipShape(lips.corners, curves, lips.parted)


@pytest.mark.parametrize("parted", [0.16, 0.4])
def test_landmarks_inside_of_a_gap_go_to_its_edges(parted: float) -> None:
    lips = lips_at(256, 300, 120, parted=parted)
    found = lips_by_pixels(face((512, 512), lips), too_narrow(lips, 0.03))
    away = np.abs(found.curves - lips.curves)[:, MIDDLE]
    assert away[1:3].max() < 0.015
    assert np.array_equal(found.curves[[0, 3]], lips.curves[[0, 3]])


def test_right_landmarks_stay() -> None:
    lips = lips_at(256, 300, 120, parted=0.2)
    found = lips_by_pixels(face((512, 512), lips), lips)
    assert np.abs(found.curves - lips.curves)[:, MIDDLE].max() < 0.01


def test_teeth_between_lips_that_landmarks_call_shut_are_seen() -> None:
    parted, shut = lips_at(256, 300, 120, parted=0.1), lips_at(256, 300, 120)
    source = face((512, 512), parted)
    found = lips_by_pixels(source, shut)
    assert found.parted
    assert np.abs(found.curves - parted.curves)[1:3, MIDDLE].max() < 0.02
    at_rest = Puppet(source, shut, is_still=True).render(MouthPose())
    near = np.abs(at_rest[285:315, 220:292].astype(int) - TEETH).sum(axis=2) < 60
    before = np.abs(source[285:315, 220:292].astype(int) - TEETH).sum(axis=2) < 60
    assert before.sum() > 300
    assert near.sum() < 0.02 * before.sum()


def test_a_shine_on_shut_lips_is_no_gap() -> None:
    lips = lips_at(256, 300, 120)
    source = face((512, 512), lips)
    source[307:312, 236:276] = TEETH  # in the lower lip, lip above it
    assert lips_by_pixels(source, lips) is lips


def test_lips_without_colour_keep_their_landmarks() -> None:
    lips = lips_at(256, 300, 120, parted=0.2)
    source = face((512, 512), lips)
    grey = np.repeat(source.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    inside = too_narrow(lips, 0.03)
    assert np.array_equal(lips_by_pixels(grey, inside).curves, inside.curves)
    assert sum(LIPS) / 3 < 120
