"""A face is followed from frame to frame, also where its cut-outs differ in size."""

from __future__ import annotations

import numpy as np
import pytest

from avatarvideo.musetalk.lips.frame import FaceFrame
from avatarvideo.musetalk.lips.motion import KeyView

SIDE = 240


def scene(dx: int, dy: int) -> np.ndarray:
    """A textured face-sized patch on a plain ground, moved by whole pixels."""
    texture = np.random.default_rng(3).integers(0, 256, (30, 30), np.uint8)
    patch = np.kron(texture, np.ones((4, 4), np.uint8))
    picture = np.full((SIDE, SIDE), 128, np.uint8)
    picture[60 + dy : 180 + dy, 60 + dx : 180 + dx] = patch
    return np.repeat(picture[:, :, None], 3, axis=2)


@pytest.mark.parametrize("expected_offset", [(0.0, 0.0), (6.3, -4.7), (-9.5, 3.2)])
def test_a_moved_face_is_found_where_it_went(expected_offset: tuple[float, float]) -> None:
    face = FaceFrame(120.0, 110.0, 45.0)
    key = KeyView.of(scene(0, 0), face)
    dx, dy = expected_offset

    found = key.find_again(scene(5, -3), FaceFrame(120.0 + dx, 110.0 + dy, 45.0))

    assert found is not None
    assert (found.x, found.y) == pytest.approx((125.0, 107.0), abs=0.5)
    assert found.eye_distance == pytest.approx(45.0, rel=0.02)


def test_a_face_that_is_gone_is_lost() -> None:
    face = FaceFrame(120.0, 110.0, 45.0)
    key = KeyView.of(scene(0, 0), face)
    plain = np.full((SIDE, SIDE, 3), 128, np.uint8)
    assert key.find_again(plain, face) is None
