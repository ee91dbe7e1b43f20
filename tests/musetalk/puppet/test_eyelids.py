"""Lids come down over both eyes: skin and a line of lashes where the eye was, nothing elsewhere."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from avatarvideo.musetalk.puppet.eye_shape import EYES, EyeShape
from avatarvideo.musetalk.puppet.eyelids import Eyelids
from avatarvideo.musetalk.puppet.life import Life, eyes_of
from support.planted_face import (
    CENTERS,
    EYE_GAP,
    EYE_WIDTH,
    SKIN,
    inside_eye,
    mesh_points,
    planted_face,
    turned,
)

BOTH = (0, 1)


def lids_of(picture: np.ndarray, points: np.ndarray) -> list[Eyelids]:
    eyes = eyes_of(picture, points)
    assert not isinstance(eyes, str), eyes
    return [Eyelids(picture, eye) for eye in eyes]


def shown(picture: np.ndarray, lids: list[Eyelids], *amounts: float) -> list[np.ndarray]:
    life = Life(lids, np.array(amounts, np.float32))
    return list(life.over(iter([picture] * len(amounts))))


def pale(picture: np.ndarray, where: np.ndarray) -> int:
    """How many pixels there are as pale as the white of an eye."""
    return int((picture[where].min(axis=1) > 180).sum())


@pytest.mark.parametrize("number", BOTH)
def test_the_shape_is_that_of_the_points(number: int) -> None:
    shape = EyeShape.of(mesh_points(), EYES[number])
    assert shape.gap * shape.width == pytest.approx(EYE_GAP * EYE_WIDTH, rel=0.06)
    assert shape.is_outer_first == (number == 0)
    assert shape.width == pytest.approx(1.06 * EYE_WIDTH)  # the white behind the outer corner


def test_open_eyes_are_the_picture_itself() -> None:
    picture = planted_face()
    lids = lids_of(picture, mesh_points())
    (frame,) = shown(picture, lids, 0.0)
    assert frame is picture
    for one in lids:
        assert np.abs(one.change(0.0)).max() <= 2  # the same by way of the warp


@pytest.mark.parametrize("number", BOTH)
def test_shut_eyes_are_skin_and_a_dark_line(number: int) -> None:
    picture = planted_face()
    (shut,) = shown(picture, lids_of(picture, mesh_points()), 1.0)
    where = inside_eye(number)
    assert pale(picture, where) > 70
    assert pale(shut, where) == 0
    rows, columns = np.nonzero(where)
    lid = where & (np.arange(picture.shape[0]) < np.median(rows))[:, None]
    away = np.abs(shut[lid].astype(int) - SKIN).max(axis=1)
    assert (away < 25).mean() > 0.9
    middle = columns == round(float(np.median(columns)))
    column = shut[rows[middle], columns[middle]].mean(axis=1)
    assert column.min() < 90  # the lashes
    assert rows[middle][column.argmin()] > np.median(rows)  # below the eye's middle


@pytest.mark.parametrize("number", BOTH)
def test_half_shut_eyes_show_their_lower_half(number: int) -> None:
    picture = planted_face()
    half, shut = shown(picture, lids_of(picture, mesh_points()), 0.5, 1.0)
    where = inside_eye(number)
    assert pale(shut, where) == 0 < pale(half, where) < pale(picture, where)
    rows = np.nonzero(where)[0]
    upper = where & (np.arange(picture.shape[0]) < np.percentile(rows, 25))[:, None]
    assert pale(half, upper) == 0


def test_the_lids_come_down_step_by_step() -> None:
    picture = planted_face()
    frames = shown(picture, lids_of(picture, mesh_points()), 0, 0.25, 0.5, 0.75, 1)
    seen = [pale(frame, inside_eye(0) | inside_eye(1)) for frame in frames]
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == len(seen)


def test_nothing_but_the_eyes_changes() -> None:
    picture = planted_face()
    lids = lids_of(picture, mesh_points())
    life = Life(lids, np.ones(1, np.float32))
    (shut,) = life.over(iter([picture]))
    changed = np.any(shut != picture, axis=2)
    mask = life.mask(*picture.shape[:2]) > 0
    assert not changed[~mask].any()
    assert changed.any()
    rows, columns = np.nonzero(mask)
    assert rows.min() > 85  # the brow's middle is at 80
    assert rows.max() < 140
    assert columns.min() > 55
    assert columns.max() < 200


def test_what_another_hand_changed_below_the_eyes_stays() -> None:
    picture = planted_face()
    lids = lids_of(picture, mesh_points())
    spoken = picture.copy()
    spoken[150:] = 200 - spoken[150:] // 2
    (shut,) = Life(lids, np.ones(1, np.float32)).over(iter([spoken]))
    assert np.array_equal(shut[150:], spoken[150:])
    assert pale(shut, inside_eye(0)) == 0


def test_frames_given_to_it_are_not_written_in() -> None:
    picture = planted_face()
    before = picture.copy()
    shown(picture, lids_of(picture, mesh_points()), 0.5, 1.0)
    assert np.array_equal(picture, before)


@pytest.mark.parametrize("degrees", [-40.0, 25.0, 180.0])
def test_a_tilted_face_shuts_its_eyes_too(degrees: float) -> None:
    picture, points = turned(planted_face(), mesh_points(), degrees)
    (shut,) = shown(picture, lids_of(picture, points), 1.0)
    back, _ = turned(shut, points, -degrees)
    for number in BOTH:
        assert pale(back, inside_eye(number, shrunk=0.7)) <= 2


def test_an_eye_at_the_pictures_edge_is_cut_there() -> None:
    picture, points = planted_face()[:, 80:], mesh_points() - (80.0, 0.0)
    (shut,) = shown(picture, lids_of(picture, points), 1.0)
    assert shut.shape == picture.shape
    assert pale(shut, inside_eye(1)[:, 80:]) == 0


def test_a_users_mask_limits_what_changes() -> None:
    picture = planted_face()
    limit = np.zeros(picture.shape[:2], np.float32)
    limit[:, :128] = 1  # one half of the face
    lids = lids_of(picture, mesh_points())
    life = Life(lids, np.ones(1, np.float32), limit=limit)
    (shut,) = life.over(iter([picture]))
    assert np.array_equal(shut[:, 128:], picture[:, 128:])
    assert pale(shut, inside_eye(0)) == 0
    assert not life.mask(*picture.shape[:2])[:, 128:].any()


@pytest.mark.parametrize(
    ("points", "why"),
    [
        (mesh_points(gap=0.08), "an eye is closed in the picture"),
        (mesh_points(scale=0.1), "the eyes are too small, 4 pixels wide"),
        (mesh_points(narrow=0.3), "one eye is turned away"),
        (mesh_points() - np.array([90.0, 0.0]), "an eye is outside the picture"),
    ],
    ids=["closed", "small", "profile", "outside"],
)
def test_eyes_that_cannot_blink_say_why(points: np.ndarray, why: str) -> None:
    assert eyes_of(planted_face(), points) == why


def test_eyes_behind_dark_glasses_do_not_blink() -> None:
    picture, points = planted_face(), mesh_points()
    assert not isinstance(eyes_of(picture, points), str)
    for x, y in CENTERS:
        cv2.ellipse(picture, (round(x), round(y)), (34, 26), 0, 0, 360, (60, 50, 45), -1)
    assert eyes_of(picture, points) == "the eyes are behind dark glasses"


def test_shadow_below_the_eyes_is_no_glasses() -> None:
    picture, points = planted_face(), mesh_points()
    dark = picture.copy()
    dark[:135] = dark[:135] * 0.6
    assert not isinstance(eyes_of(dark, points), str)


@pytest.mark.parametrize("number", BOTH)
def test_the_shadow_right_below_an_eye_does_not_make_its_lid_grey(number: int) -> None:
    picture, points = planted_face(), mesh_points()
    x, y = CENTERS[number]
    shadow = np.zeros(picture.shape[:2], np.uint8)
    axes = round(0.6 * EYE_WIDTH), round((EYE_GAP / 2 + 0.3) * EYE_WIDTH)
    cv2.ellipse(shadow, (round(x), round(y)), axes, 0, 0, 360, 1, -1)
    dark = (shadow > 0) & ~inside_eye(number)
    dark &= (np.arange(picture.shape[0]) > y)[:, None]
    picture[dark] = (0.5 * picture[dark]).astype(np.uint8)
    (shut,) = shown(picture, lids_of(picture, points), 1.0)
    lid = inside_eye(number) & (np.arange(picture.shape[0]) < y)[:, None]
    assert (np.median(shut[lid], axis=0) > 0.82 * np.array(SKIN)).all()
