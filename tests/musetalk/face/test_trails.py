"""Trails of faces by place, motion and looks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from avatarvideo.encoders.read.picture import read_image
from avatarvideo.musetalk.face.mesh_networks import mesh_networks
from avatarvideo.musetalk.face.trail import FIRST_WAITS, PLACE_NUMBERS, Trail
from avatarvideo.musetalk.face.trails import MOST_MISSED, TrailWatcher
from avatarvideo.musetalk.lips.frame import FaceFrame
from support.crowd import Crowd, Y, box_at, walk


def trails_of(crowd: Crowd) -> tuple[list[Trail], TrailWatcher]:
    networks: Any = crowd
    watcher = TrailWatcher(networks)
    for number in range(len(crowd.people[0])):
        watcher.see(crowd.frame(number))
    return watcher.trails, watcher


def spans(trails: Sequence[Trail]) -> list[tuple[int, int, bool]]:
    return [(each.first, each.end, each.mixed) for each in trails]


def test_each_face_is_one_trail_and_seldom_looked_at() -> None:
    crowd = Crowd(walk(100, 2, 40), walk(500, -2, 40))
    trails, watcher = trails_of(crowd)
    assert spans(trails) == [(0, 40, False), (0, 40, False)]
    assert trails[0].box(30) == box_at(160)
    assert trails[0].square(30) == FaceFrame(160, Y, 120, 0)
    assert (watcher.detections, crowd.detections) == (40, 40)
    assert [len(each.looks) for each in trails] == [len(FIRST_WAITS) + 1] * 2


def test_a_trail_takes_twenty_bytes_a_frame() -> None:
    (trail,), _ = trails_of(Crowd(walk(100, 1, 30)))
    assert trail.numbers.itemsize * len(trail.numbers) == 30 * 4 * PLACE_NUMBERS == 600


def test_frames_without_a_face_are_filled_for_a_moment() -> None:
    path = walk(100, 4, 20)
    path[6 : 6 + MOST_MISSED] = [None] * MOST_MISSED
    (trail,), _ = trails_of(Crowd(path))
    assert spans([trail]) == [(0, 20, False)]
    assert trail.box(7) == box_at(128)
    path[6 : 7 + MOST_MISSED] = [None] * (MOST_MISSED + 1)
    assert spans(trails_of(Crowd(path))[0]) == [(0, 6, False), (10, 20, False)]


def test_who_is_in_front_goes_on_where_looks_differ() -> None:
    trails, _ = trails_of(Crowd(walk(160, 10, 36), walk(510, -10, 36)))
    front = [each for each in trails if each.box(each.first).x0 > 400]
    assert spans(front[:1]) == [(0, 36, False)]
    behind = [each for each in trails if each is not front[0] and not each.mixed]
    assert spans(behind) == [(0, 16, False), (23, 36, False)]  # lost behind, and found again


def test_both_end_where_looks_are_alike() -> None:
    crowd = Crowd(walk(160, 10, 36), walk(510, -10, 36), kinds=(7, 7))
    trails, _ = trails_of(crowd)
    before = [each for each in trails if each.first == 0]
    assert all(each.mixed for each in before)
    assert max(each.end for each in before) < 22


def test_a_face_that_is_suddenly_another_one_ends_there() -> None:
    one, other = walk(160, 0, 30), walk(480, 0, 30)
    crowd = Crowd(
        [*one[:12], *other[12:]], [*other[:12], *one[12:]]
    )  # they exchange places in one frame
    trails, _ = trails_of(crowd)
    ends = [each.end for each in trails if each.first == 0]
    assert ends == [12, 12]
    assert sorted(each.first for each in trails)[2:] == [12, 12]


def test_a_stranger_who_takes_a_place_within_a_frame_is_a_new_face() -> None:
    nobody: list[float | None] = [None] * 30
    place = walk(160, 1, 30)
    crowd = Crowd([*place[:12], *nobody[12:]], [*nobody[:12], *place[12:]], walk(480, 0, 30))
    trails, _ = trails_of(crowd)
    assert sorted(spans(trails)) == [(0, 12, True), (0, 30, False), (12, 30, False)]


def test_a_stranger_who_fades_in_bit_by_bit_is_a_new_face() -> None:
    place = walk(160, 0, 50)
    crowd = Crowd(place, place)
    crowd.there = [160.0]
    pictures = [Crowd(place, kinds=(kind,)).frame(0).astype(float) for kind in (0, 3)]
    networks: Any = crowd
    watcher = TrailWatcher(networks)
    for number in range(50):
        share = min(max((number - 10) / 25, 0), 1)
        mixed = pictures[0] + (pictures[1] - pictures[0]) * share
        watcher.see(mixed.round().astype(np.uint8))
    known, *others = watcher.trails
    assert known.mixed
    assert 8 <= known.end < 20
    assert others[-1].end == 50
    assert sum(len(each) for each in watcher.trails) < 50  # whose the frames between are is open


@pytest.mark.slow
def test_what_only_the_detector_takes_for_a_face_hides_no_small_one(
    real_data: Path, mesh_models: Path
) -> None:
    networks = mesh_networks([mesh_models])
    assert networks is not None
    names = ("portrait_bouguereau.jpg", "portrait_sargent_agnew_1892.jpg")
    pictures = [read_image(real_data / name) for name in names]
    widths = [540 * picture.shape[1] // picture.shape[0] for picture in pictures]
    sides = [
        cv2.resize(picture, (width, 540)) for picture, width in zip(pictures, widths, strict=True)
    ]
    both = np.hstack(sides)
    assert len(networks.detect(both)) == 2  # the girl, and the lady's bodice instead of her face
    watcher = TrailWatcher(networks, enough=2)
    watcher.see(both)
    faces = sorted(trail.last_box.x0 for trail in watcher.trails)
    assert len(faces) == 2
    assert faces[0] < 260
    assert 730 < faces[1] < 780
