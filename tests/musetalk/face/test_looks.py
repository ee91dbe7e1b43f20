"""Looks of faces: light and colour, without brightness, contrast and the mouth."""

from __future__ import annotations

import math

import numpy as np

from avatarvideo.musetalk.face.looks import (
    LIKE,
    difference,
    is_anothers,
    is_told,
    look_of,
    unlikeness,
)
from avatarvideo.musetalk.lips.frame import FaceFrame

SQUARE = FaceFrame(100, 100, 150)


def picture(seed: int) -> np.ndarray:
    rough = np.random.default_rng(seed).integers(40, 200, (10, 10, 3)).astype(np.float32)
    return rough.repeat(20, 0).repeat(20, 1)


def test_light_and_mouth_change_no_look() -> None:
    one = look_of(picture(1).astype(np.uint8), SQUARE)
    darker = look_of((picture(1) * 0.7).astype(np.uint8), SQUARE)
    speaks = picture(1)
    speaks[125:150, 70:130] = (120, 30, 30)
    assert difference(one, one) == 0
    assert difference(one, darker) < 0.3
    assert difference(one, look_of(speaks.astype(np.uint8), SQUARE)) == 0


def test_other_faces_and_other_colours_do() -> None:
    one = look_of(picture(1).astype(np.uint8), SQUARE)
    tinted = (picture(1) * (1, 0.75, 0.6)).astype(np.uint8)
    assert difference(one, look_of(picture(2).astype(np.uint8), SQUARE)) > 2
    assert difference(one, look_of(tinted, SQUARE)) > 1


def test_a_person_is_as_unlike_as_the_most_alike_looks() -> None:
    looks = [look_of(picture(seed).astype(np.uint8), SQUARE) for seed in range(3)]
    assert unlikeness(looks, looks[:1]) == 0
    assert unlikeness(looks[:1], looks[1:]) == min(difference(looks[0], each) for each in looks[1:])
    assert unlikeness([], looks) == math.inf


def test_a_look_is_told_only_from_clearly_others() -> None:
    assert is_told(0.3, 0.7)
    assert not is_told(0.1, 0.6)  # of one person, by how far looks of one are apart
    assert not is_told(0.6, 0.9)  # not clearly nearer
    assert not is_told(0.7, 3.0)
    assert is_told(0.6, math.inf)


def test_who_turns_may_be_less_like_before_a_look_is_anothers() -> None:
    known = [look_of(picture(1).astype(np.uint8), SQUARE)]
    mixed = (picture(1) * 0.7 + picture(2) * 0.3).astype(np.uint8)
    assert LIKE < difference(known[0], look_of(mixed, SQUARE)) < 1.2
    assert is_anothers(look_of(mixed, SQUARE), known)
    assert not is_anothers(look_of(mixed, SQUARE, 0.07), known)  # ten degrees to a side
    assert is_anothers(look_of(picture(2).astype(np.uint8), SQUARE, 0.07), known)
    assert not is_anothers(look_of(picture(2).astype(np.uint8), SQUARE), [])
    assert not is_anothers(known[0], known)
