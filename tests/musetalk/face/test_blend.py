"""Masks and mixing equal what Pillow and OpenCV make of the same steps, to the last bit."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from avatarvideo.musetalk.face.blend import (
    Backdrop,
    MaskSettings,
    cut_square,
    face_mask,
    given_mask,
    replaced_region,
)
from avatarvideo.musetalk.face.crop import FaceBox
from support import reference_path

# Inside; square beyond every side; box at each border; wide; tall; tiny; odd.
BOXES = [
    (60, 50, 141, 133),
    (20, 15, 190, 150),
    (0, 0, 60, 70),
    (140, 90, 201, 161),
    (30, 70, 180, 101),
    (90, 5, 115, 150),
    (100, 80, 108, 88),
]


@pytest.fixture(scope="module")
def frame() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (161, 201, 3), np.uint8)


@pytest.fixture(scope="module")
def crop() -> np.ndarray:
    return np.random.default_rng(4).integers(0, 256, (256, 256, 3), np.uint8)


def drawn_parts(seed: int = 0) -> np.ndarray:
    """A parsed face: skin, nose, mouth and neck with rough borders, and scattered mistakes."""
    source = np.random.default_rng(seed)
    parts = np.zeros((512, 512), np.uint8)
    cv2.rectangle(parts, (190, 400), (330, 512), 14, -1)
    cv2.ellipse(parts, (256, 260), (150, 190), 0, 0, 360, 1, -1)
    cv2.ellipse(parts, (256, 270), (30, 50), 0, 0, 360, 10, -1)
    cv2.ellipse(parts, (256, 360), (60, 25), 0, 0, 360, 12, -1)
    cv2.ellipse(parts, (256, 375), (50, 14), 0, 0, 360, 13, -1)
    cv2.ellipse(parts, (256, 366), (40, 6), 0, 0, 360, 11, -1)
    mistakes = source.random((512, 512)) < 0.002
    parts[mistakes] = source.integers(0, 19, mistakes.sum())
    return parts


@pytest.mark.parametrize("mode", ["raw", "neck", "jaw"])
@pytest.mark.parametrize("seed", [0, 1])
def test_regions_equal_the_reference(mode, seed):
    parts = drawn_parts(seed)
    got = replaced_region(parts, MaskSettings(mode=mode))
    assert np.array_equal(got, reference_path.region_of(parts, mode))
    assert got.any()


@pytest.mark.parametrize("widths", [(20, 160), (80, 80), (90, 91)])
def test_cheek_widths_equal_the_reference(widths):
    parts = drawn_parts()
    got = replaced_region(parts, MaskSettings("jaw", *widths))
    assert np.array_equal(got, reference_path.region_of(parts, "jaw", *widths))


def test_one_pixel_of_skin_grows_further_up_than_down():
    parts = np.zeros((512, 512), np.uint8)
    parts[256, 256] = 1
    rows, columns = np.nonzero(replaced_region(parts, MaskSettings("jaw")))
    assert (rows.min() - 256, rows.max() - 256) == (-16, 6)
    assert (columns.min() - 256, columns.max() - 256) == (-10, 10)


def test_the_nose_is_never_replaced_and_the_lips_always_are():
    parts = drawn_parts()
    region = replaced_region(parts, MaskSettings("jaw"))
    assert not region[parts == 10].any()
    assert region[np.isin(parts, (11, 12, 13))].all()


@pytest.mark.parametrize("box", BOXES)
def test_the_parser_sees_the_square_that_the_reference_shows_it(frame, box):
    expected = np.array(reference_path.seen_by_the_parser(frame, box))
    assert np.array_equal(cut_square(frame, FaceBox(*box)), expected)


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("blur", [0.05, 0.1])
def test_blended_frames_equal_the_reference_everywhere(frame, crop, box, blur):
    region = replaced_region(drawn_parts(), MaskSettings("jaw"))
    face = FaceBox(*box)
    mask = face_mask(region, face, blur_ratio=blur)
    got = Backdrop(frame, face, mask).with_face(crop)
    assert np.array_equal(got, reference_path.blend(frame, crop, box, region, blur))
    if face.width > 20:
        assert not np.array_equal(got, frame)


def test_every_mixing_weight_rounds_as_pillow_does():
    levels = np.arange(256, dtype=np.uint8)
    frame = np.repeat(np.broadcast_to(levels[:, None, None], (256, 256, 3)), 1, axis=0).copy()
    mask = np.broadcast_to(levels[None, :], (256, 256)).copy()
    crop = np.full((256, 256, 3), 201, np.uint8)
    got = Backdrop(frame, FaceBox(0, 0, 256, 256), mask).with_face(crop)
    a, m = frame[:, :, 0].astype(int), mask.astype(int)
    expected = np.rint((a * (255 - m) + 201 * m) / 255)
    assert np.array_equal(got[:, :, 0], expected)


def test_nothing_outside_the_box_changes_and_the_source_stays(frame, crop):
    box = FaceBox(60, 50, 141, 133)
    before = frame.copy()
    got = Backdrop(frame, box, np.full((box.height, box.width), 255, np.uint8)).with_face(crop)
    outside = np.ones(frame.shape[:2], bool)
    outside[box.area] = False
    assert np.array_equal(got[outside], frame[outside])
    assert not np.array_equal(got, frame)
    assert np.array_equal(frame, before)


def test_an_empty_mask_leaves_the_frame(frame, crop):
    box = FaceBox(60, 50, 141, 133)
    got = Backdrop(frame, box, np.zeros((box.height, box.width), np.uint8)).with_face(crop)
    assert np.array_equal(got, frame)
    assert got is not frame


def test_the_users_mask_is_taken_as_it_is():
    mask = np.zeros((161, 201), np.float32)
    mask[60:70, 65:80] = 1.0
    mask[75, 70] = 0.5
    box = FaceBox(60, 50, 141, 133)
    expected = np.zeros((83, 81), np.uint8)
    expected[10:20, 5:20] = 255
    expected[25, 10] = 128
    assert np.array_equal(given_mask(mask, box), expected)
