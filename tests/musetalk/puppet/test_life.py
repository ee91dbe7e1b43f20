"""When a still blinks and how its head sways: like people, smoothly, and the same every time."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from avatarvideo.musetalk.puppet.life import Life, blink_times, lids_closed
from avatarvideo.musetalk.puppet.sway import Sway, sway_offsets
from support.planted_face import mesh_points, planted_face

FPS = Fraction(25)
HOUR = 25 * 3600
SEEDS = range(300)
FACE_WIDTH = 160.0  # pixels from cheek to cheek of the planted face


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def runs(closed: np.ndarray) -> list[tuple[int, int]]:
    """First and last frame of every stretch in which the lids are not wholly open."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], closed > 0, [False]]).astype(int)))
    return [(int(first), int(end) - 1) for first, end in edges.reshape(-1, 2)]


def test_an_hour_has_as_many_blinks_as_a_persons() -> None:
    blinks = blink_times(generator(), HOUR, FPS)
    assert 12 <= len(blinks) / 60 <= 25
    apart = np.diff([blink.meets for blink in blinks])
    double = apart < 1
    assert 0.08 < double.mean() < 0.22
    assert apart[~double].min() > 1.9
    assert apart[~double].max() < 6.1
    assert np.median(apart[~double]) == pytest.approx(3.4, abs=0.4)


def test_a_blink_shuts_fast_and_opens_slower() -> None:
    for blink in blink_times(generator(), HOUR, FPS):
        assert 0.06 < blink.closing < 0.11 < blink.opening < 0.25
        assert 0.1 <= blink.closing + blink.shut + blink.opening <= 0.4


@pytest.mark.parametrize("rate", [Fraction(10), FPS, Fraction(30000, 1001), Fraction(60)])
def test_the_lids_meet_in_a_frame_of_every_blink(rate: Fraction) -> None:
    count = int(120 * rate)
    blinks = blink_times(generator(), count, rate)
    closed = lids_closed(blinks, count, rate)
    found = runs(closed)
    assert len(found) == len(blinks) > 20
    assert all(closed[first : last + 1].max() == 1 for first, last in found)
    lengths = [(last - first + 1) / rate for first, last in found]
    assert max(lengths) < 0.45
    assert closed.dtype == np.float32
    assert closed.min() == 0


def test_the_first_blink_comes_neither_at_once_nor_late() -> None:
    firsts = [blink_times(generator(seed), 250, FPS)[0].meets for seed in SEEDS]
    assert min(firsts) > 0.7
    assert max(firsts) < 2.8
    assert np.std(firsts) > 0.3
    for seed in SEEDS:
        assert lids_closed(blink_times(generator(seed), 250, FPS), 250, FPS)[:15].max() == 0


def test_a_clip_ends_with_open_eyes() -> None:
    for seed in SEEDS:
        for count in (40, 60, 90):
            assert lids_closed(blink_times(generator(seed), count, FPS), count, FPS)[-1] == 0


@pytest.mark.parametrize("count", [1, 5, 15])
def test_a_clip_too_short_for_a_blink_has_none(count: int) -> None:
    assert blink_times(generator(), count, FPS) == []


def test_both_eyes_shut_together_and_levels_are_made_once() -> None:
    made: list[float] = []

    class Counted:
        region = (0, 0, 1, 1)

        def change(self, amount: float) -> np.ndarray:
            made.append(amount)
            return np.full((1, 1, 3), round(100 * amount), np.int16)

    frames = [np.zeros((2, 2, 3), np.uint8)] * 6
    closed = np.array([0, 0.5, 1, 1, 0.5, 0], np.float32)
    life = Life([Counted(), Counted()], closed)  # pyright: ignore[reportArgumentType] - two of a kind
    values = [int(frame[0, 0, 0]) for frame in life.over(iter(frames))]
    assert values == [0, 100, 200, 200, 100, 0]
    assert made == [0.5, 0.5, 1.0, 1.0]


def test_eyes_that_fill_a_large_picture_are_not_kept() -> None:
    class Huge:
        region = (0, 0, 2000, 1000)
        calls = 0

        def change(self, amount: float) -> np.ndarray:
            self.calls += 1
            return np.zeros((1000, 2000, 3), np.int16)  # 12 MB

    huge = Huge()
    closed = np.array([0.5, 1, 0.5, 1], np.float32)
    life = Life([huge], closed)  # pyright: ignore[reportArgumentType] - as above
    assert sum(1 for _ in life.over(iter([np.zeros((1000, 2000, 3), np.uint8)] * 4))) == 4
    assert huge.calls == 3  # the first stays, the second would be too much


# --- sway


def test_the_sway_is_slow_and_starts_from_the_picture() -> None:
    offsets = sway_offsets(generator(), 1500, FPS)
    assert offsets.shape == (1500, 3)
    assert not offsets[0].any()
    assert (np.abs(offsets).max(axis=0) <= np.array([0.003, 0.0022, 0.0028]) * 1.001).all()
    assert np.abs(offsets).max(axis=0).min() > 0.001
    assert np.abs(np.diff(offsets, axis=0)).max() < 2e-4  # face widths a frame
    assert np.abs(np.diff(offsets, 2, axis=0)).max() < 3e-5


def test_the_head_moves_by_less_than_a_hundredth_of_its_width() -> None:
    rows, columns = np.mgrid[:256, :256].astype(np.float32)
    ramps = np.stack([columns, rows, rows], axis=2).astype(np.uint8)  # each pixel says its place
    sway = Sway(mesh_points(), (256, 256))
    furthest = np.array([0.003, 0.0022, 0.0028], np.float32)
    moved = sway.moved(ramps, furthest)
    way = np.abs(moved.astype(int) - ramps)
    assert way.max() <= round(0.01 * FACE_WIDTH)
    assert way[60:200, 60:200].max() >= 1
    large = sway.moved(ramps, 4 * furthest)  # parts of a pixel are not seen in the ramps
    shift = (large.astype(int) - ramps)[100:160, 100:160, :2].mean(axis=(0, 1)) / 4
    assert np.hypot(*shift) < 0.01 * FACE_WIDTH


def test_the_pictures_edges_stay_where_they_are() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    moved = Sway(mesh_points(), (256, 256)).moved(picture, np.array([0.003, 0.0022, 0.0028]))
    for edge in (np.s_[:2], np.s_[-2:], np.s_[:, :2], np.s_[:, -2:]):
        assert np.abs(moved[edge].astype(int) - picture[edge]).max() <= 3
    assert (moved[80:160, 80:160] != picture[80:160, 80:160]).any()


def test_what_is_far_from_the_face_is_still() -> None:
    points = mesh_points(scale=0.25) + 40.0  # a small face at the left
    picture = np.random.default_rng(0).integers(0, 256, (256, 512, 3), np.uint8)
    sway = Sway(points, (512, 256))
    moved = sway.moved(picture, np.array([0.003, 0.0022, 0.0028]))
    assert np.array_equal(moved[:, 200:], picture[:, 200:])
    assert sway.region.x1 < 200


@pytest.mark.parametrize(("width", "height"), [(2, 2), (9, 300), (40, 30)])
def test_a_head_larger_than_the_picture_keeps_the_edges(width: int, height: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    sway = Sway(mesh_points() - np.array([110.0, 120.0]), (width, height))
    moved = sway.moved(picture, np.array([0.003, 0.0022, 0.0028]))
    assert moved.shape == picture.shape
    assert np.array_equal(moved[0], picture[0])
    assert np.array_equal(moved[:, -1], picture[:, -1])


def test_a_frame_without_sway_is_itself() -> None:
    picture = planted_face()
    offsets = np.zeros((2, 3), np.float32)
    offsets[1] = 0.002
    life = Life([], np.zeros(2, np.float32), Sway(mesh_points(), (256, 256)), offsets)
    still, swayed = life.over(iter([picture, picture]))
    assert still is picture
    assert (swayed != picture).any()
    assert life.mask(256, 256).max() == 1
