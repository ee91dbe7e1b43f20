"""Faces and lips found without weights: right or refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from avatarvideo.errors import MediaError
from avatarvideo.media import LipCorners
from avatarvideo.musetalk.face.locate import draw_overlay, locate_face

# Lip corners read off enlarged crops by eye: x0, y0, x1, y1 in pixels.
MARKED = {
    "portrait_bouguereau.jpg": LipCorners(334.0, 307.5, 374.0, 308.5),
    "portrait_sargent_chanler_1893.jpg": LipCorners(265.0, 217.0, 295.5, 220.5),
}


def read_rgb(path: Path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def corner_error(found: LipCorners, marked: LipCorners) -> float:
    """Return the larger distance of the two corners in mouth widths."""
    width = np.hypot(marked.x1 - marked.x0, marked.y1 - marked.y0)
    apart = np.subtract(found, marked)
    return float(max(np.hypot(*apart[:2]), np.hypot(*apart[2:])) / width)


@pytest.mark.parametrize("name", sorted(MARKED))
def test_painted_portrait_is_located_right(real_data: Path, name: str) -> None:
    location = locate_face(read_rgb(real_data / name))
    assert location.lips is not None, location.reason
    assert corner_error(location.lips.corners, MARKED[name]) < 0.15


def test_picture_of_one_colour_has_no_face() -> None:
    location = locate_face(np.full((120, 160, 3), 90, np.uint8))
    assert location.lips is None
    assert location.box is None
    assert location.reason


@pytest.mark.parametrize(
    "corners",
    [(-1, 5, 20, 5), (5, 5, 200, 5), (5, 5, 6, 5), (float("nan"), 5, 20, 5)],
)
def test_unusable_lip_corners_are_refused(corners: tuple[float, ...]) -> None:
    picture = np.zeros((100, 100, 3), np.uint8)
    with pytest.raises(MediaError, match="Expected lip corners"):
        locate_face(picture, corners=LipCorners(*corners))


def test_swapped_lip_corners_are_put_in_order() -> None:
    picture = np.full((100, 100, 3), 128, np.uint8)
    location = locate_face(picture, corners=LipCorners(60, 52, 40, 50))
    assert location.method == "user"
    assert location.lips is not None
    assert location.lips.corners == LipCorners(40, 50, 60, 52)


def test_overlay_leaves_the_picture_alone() -> None:
    picture = np.full((100, 120, 3), 128, np.uint8)
    location = locate_face(picture, corners=LipCorners(40, 50, 60, 52))
    drawn = draw_overlay(picture, location)
    assert drawn.shape == picture.shape
    assert (picture == 128).all()
    assert (drawn != picture).any()


def test_wrong_kind_of_picture_is_refused() -> None:
    with pytest.raises(MediaError, match="uint8"):
        locate_face(np.zeros((10, 10), np.uint8))
