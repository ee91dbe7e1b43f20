"""The mouth opens where the lips are, and nothing else in the picture changes."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatarvideo.errors import MediaError
from avatarvideo.media import LipCorners, LipShape
from avatarvideo.musetalk.puppet.puppet import Puppet
from avatarvideo.musetalk.puppet.warp import FULL_GAP, LipTable, MouthFrame, WarpGrid

POSES = [(0.1, 0.0), (0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (1.0, -1.0), (0.0, 1.0), (0.0, -1.0)]
LENS = (1 - np.linspace(-1, 1, 33) ** 2) ** 0.8
SKIN, LIPS, SEAM, TEETH = (205, 165, 145), (170, 85, 85), (60, 25, 20), (235, 230, 220)
UPPER_LIP, LOWER_LIP = 0.12, 0.17


def lips_at(cx: float, cy: float, width: float, tilt: float = 0, parted: float = 0) -> LipShape:
    """A plain mouth: tilt in degrees, lips apart by so many mouth widths."""
    dx, dy = math.cos(math.radians(tilt)) * width / 2, math.sin(math.radians(tilt)) * width / 2
    edges = [-UPPER_LIP - parted / 2, -parted / 2, parted / 2, LOWER_LIP + parted / 2]
    curves = np.array([edge * LENS for edge in edges], np.float32)
    return LipShape(LipCorners(cx - dx, cy - dy, cx + dx, cy + dy), curves, parted > 0)


def face(size: tuple[int, int], lips: LipShape) -> np.ndarray:
    """Skin with soft shading and grain, size (W, H), and a painted mouth with a dark seam."""
    py, px = np.mgrid[: size[1], : size[0]].astype(np.float32)
    x, v = MouthFrame.of(lips).to_mouth(px, py)
    place = np.linspace(-0.5, 0.5, 33)
    up, inner_up, inner_low, low = (np.interp(x, place, curve) for curve in lips.curves)
    grain = np.random.default_rng(0).standard_normal((size[1], size[0], 1))
    picture = np.array(SKIN) * (1 - 0.12 * np.clip(x, -1, 1))[..., None] + 4 * grain
    picture[(v > up) & (v < low)] = LIPS
    picture[(v > inner_up) & (v < inner_low)] = TEETH
    seam = np.exp(-(((v - inner_up) / 0.015) ** 2)) * (np.abs(x) < 0.5) * (not lips.parted)
    picture += (np.array(SEAM) - picture) * seam[..., None]
    return np.clip(picture, 0, 255).astype(np.uint8)


def column(picture: np.ndarray, lips: LipShape, x: float = 0.0) -> np.ndarray:
    """Luminance down the picture's column at x of an upright mouth."""
    centre = (lips.corners.x0 + lips.corners.x1) / 2
    return picture[:, round(centre + x * lips.width)] @ np.array([0.299, 0.587, 0.114])


def dark_height(picture: np.ndarray, lips: LipShape, x: float = 0.0) -> int:
    return int((column(picture, lips, x) < 70).sum())


def best_ms(call: Callable[[], object]) -> float:
    times = []
    for _ in range(30):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def test_shut_mouth_is_the_source_itself() -> None:
    lips = lips_at(256, 300, 90)
    source = face((512, 512), lips)
    result = Puppet(source, lips).render(0.0)
    assert result is not source
    assert np.array_equal(result, source)


def test_source_is_never_written() -> None:
    lips = lips_at(256, 300, 90)
    source = face((512, 512), lips)
    before = source.copy()
    puppet = Puppet(source, lips)
    for pose in POSES:
        puppet.render(*pose)
    assert np.array_equal(source, before)


@pytest.mark.slow
@pytest.mark.parametrize("tilt", [-30, 0, 17])
@pytest.mark.parametrize("width", [20, 90, 200])
def test_pixels_outside_the_mask_are_identical(tilt: float, width: float) -> None:
    lips = lips_at(260, 270, width, tilt)
    source = face((512, 512), lips)
    puppet = Puppet(source, lips)
    outside = puppet.mask() == 0
    assert outside.mean() > 0.1
    for pose in POSES:
        result = puppet.render(*pose)
        assert not np.array_equal(result, source)
        assert np.array_equal(result[outside], source[outside])


def test_mask_stays_in_the_region_and_off_the_upper_face() -> None:
    lips = lips_at(256, 300, 90)
    puppet = Puppet(face((512, 512), lips), lips)
    x0, y0, x1, y1 = (int(edge) for edge in puppet.region)
    assert tuple(puppet.region) == (x0, y0, x1, y1)
    mask = puppet.mask()
    assert mask.dtype == np.float32
    assert set(np.unique(mask)) == {0.0, 1.0}
    inside = mask[y0:y1, x0:x1].sum()
    assert inside == mask.sum()
    assert y0 > 300 - 0.75 * 90  # the eyes are 1.1 mouth widths up
    assert y1 < 300 + 1.25 * 90
    assert x1 - x0 < 2.3 * 90


@pytest.mark.parametrize("width", [60, 100, 240])
def test_gap_at_full_opening_is_an_eighth_of_the_mouth(width: float) -> None:
    lips = lips_at(256, 250, width)
    source = face((512, 512), lips)
    puppet = Puppet(source, lips)
    grown = dark_height(puppet.render(1.0), lips) - dark_height(source, lips)
    assert grown == pytest.approx(FULL_GAP * width, abs=0.04 * width + 1)
    assert dark_height(puppet.render(1.0), lips, 0.55) == 0


def test_gap_grows_with_the_opening_and_towards_the_middle() -> None:
    lips = lips_at(256, 250, 160)
    puppet = Puppet(face((512, 512), lips), lips)
    heights = [dark_height(puppet.render(opening), lips) for opening in (0.2, 0.4, 0.6, 0.8, 1)]
    assert heights == sorted(heights)
    wide_open = puppet.render(1.0)
    across = [dark_height(wide_open, lips, x) for x in (-0.45, -0.3, 0, 0.3, 0.45)]
    assert across[0] < across[1] <= across[2] >= across[3] > across[4]


def test_lower_lip_moves_rigidly() -> None:
    lips = lips_at(256, 250, 10 / (0.88 * FULL_GAP))  # its middle drops by ten whole pixels
    source = face((512, 512), lips)
    moved = Puppet(source, lips).render(1.0)[266:274, 255:258].astype(int)
    assert np.abs(moved - source[256:264, 255:258]).max() <= 2


def test_upper_lip_hardly_moves() -> None:
    lips = lips_at(256, 250, 200)
    source = face((512, 512), lips)
    opened = Puppet(source, lips).render(1.0)

    def top_of_lips(picture: np.ndarray) -> int:
        return int(np.flatnonzero(column(picture, lips)[180:] < 130)[0])

    assert 1 <= top_of_lips(source) - top_of_lips(opened) <= 0.02 * 200 + 1


def test_teeth_of_parted_lips_stay_with_the_upper_lip() -> None:
    lips = lips_at(256, 250, 150, parted=0.12)
    source = face((512, 512), lips)
    opened = Puppet(source, lips).render(1.0)
    bright = (column(source, lips) > 210).sum()
    assert (column(opened, lips) > 210).sum() == pytest.approx(bright, abs=4)
    assert dark_height(opened, lips) > 0.03 * 150
    teeth, hollow = column(opened, lips) > 210, column(opened, lips) < 70
    assert np.flatnonzero(teeth).max() < np.flatnonzero(hollow).min()


@pytest.mark.parametrize("spread", [1.0, -1.0])
def test_spread_moves_the_corners_slightly(spread: float) -> None:
    lips = lips_at(256, 250, 200)
    source = face((512, 512), lips)

    def lip_span(picture: np.ndarray) -> int:
        red = picture[200:320].astype(int) @ [1, -1, 0] > 62
        return int(red.any(axis=0).sum())

    change = lip_span(Puppet(source, lips).render(0.0, spread)) - lip_span(source)
    assert 0.04 * 200 < change * spread < 0.16 * 200


@pytest.mark.parametrize(("opening", "spread"), POSES)
@pytest.mark.parametrize("parted", [0.0, 0.2])
def test_skin_is_stretched_but_never_folded(opening: float, spread: float, parted: float) -> None:
    lips = lips_at(128, 128, 50, parted=parted)
    mouth, table = MouthFrame.of(lips), LipTable.of(lips)
    grid = WarpGrid.over(mouth, table, origin=(0, 0), size=(256, 256))
    fields = grid.posed(opening, spread)
    spacing = 1 / 50
    for moved in (grid.v + fields.above, grid.v + fields.below):
        assert np.diff(moved, axis=0).min() > 0.4 * spacing
    assert np.diff(grid.x + fields.along, axis=1).min() > 0.4 * spacing


@pytest.mark.parametrize(("opening", "spread"), POSES)
def test_motion_has_died_out_where_the_mask_ends(opening: float, spread: float) -> None:
    lips = lips_at(200, 200, 100)
    mouth, table = MouthFrame.of(lips), LipTable.of(lips)
    grid = WarpGrid.over(mouth, table, origin=(0, 0), size=(200, 200))
    fields = grid.posed(opening, spread)
    outside = grid.support() <= 0
    for field in (
        fields.along,
        np.where(fields.depth > fields.gap / 2, fields.below, fields.above),
    ):
        assert np.abs(100 * field[outside]).max() < 1 / 32  # pixels; the resampling's own step


@pytest.mark.slow
def test_opening_a_little_changes_the_picture_a_little() -> None:
    lips = lips_at(256, 250, 100)
    puppet = Puppet(face((512, 512), lips), lips)
    frames = [puppet.render(opening).astype(int) for opening in np.linspace(0, 1, 51)]
    pairs = itertools.pairwise(frames)
    steps = [np.abs(after - before)[200:380, 150:360].mean() for before, after in pairs]
    assert max(steps) < 2.5


def test_colours_drift_through_a_video_and_jump_at_a_cut() -> None:
    lips = lips_at(128, 120, 80)
    source = face((256, 256), lips)
    lit, dark = (source * 0.9).astype(np.uint8), (source * 0.1).astype(np.uint8)

    def hollow(puppet: Puppet) -> float:
        return float(puppet.render(1.0)[126, 100:156].mean())

    first = Puppet(source, lips)
    alone, following = hollow(Puppet(lit, lips)), hollow(Puppet(lit, lips, after=first))
    assert alone < following < hollow(first)
    assert hollow(Puppet(dark, lips, after=first)) < 0.5 * hollow(first)


def test_tilted_picture_gives_the_tilted_result() -> None:
    upright = lips_at(255.5, 255.5, 120)
    source = cv2.GaussianBlur(face((512, 512), upright), (0, 0), 1.5)
    turn = cv2.getRotationMatrix2D((255.5, 255.5), -25, 1)

    def turned(picture: np.ndarray) -> np.ndarray:
        return cv2.warpAffine(picture, turn, (512, 512), flags=cv2.INTER_CUBIC)

    tilted = Puppet(turned(source), lips_at(255.5, 255.5, 120, 25)).render(0.8, 0.5)
    expected = turned(Puppet(source, upright).render(0.8, 0.5))
    difference = np.abs(tilted.astype(int) - expected)[120:400, 120:400]
    assert difference.mean() < 1.0
    assert np.quantile(difference, 0.999) < 40


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cx", "cy"), [(12, 250), (500, 250), (256, 6), (256, 505), (4, 4), (508, 509)]
)
@pytest.mark.parametrize("width", [20, 120, 600])
def test_mouth_at_the_border_of_the_picture_opens(cx: float, cy: float, width: float) -> None:
    lips = lips_at(cx, cy, width, 12)
    source = face((512, 512), lips)
    puppet = Puppet(source, lips)
    outside = puppet.mask() == 0
    for pose in POSES:
        result = puppet.render(*pose)
        assert result.shape == source.shape
        assert np.array_equal(result[outside], source[outside])


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(2, 250), st.integers(2, 250)),
    place=st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)),
    width=st.floats(3, 500),
    tilt=st.floats(-45, 45),
    pose=st.tuples(st.floats(0, 1), st.floats(-1, 1)),
)
def test_any_mouth_in_any_picture_changes_only_its_region(
    size: tuple[int, int],
    place: tuple[float, float],
    width: float,
    tilt: float,
    pose: tuple[float, float],
) -> None:
    source = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8)
    lips = lips_at(place[0] * size[0], place[1] * size[1], width, tilt)
    puppet = Puppet(source, lips)
    result = puppet.render(*pose)
    outside = puppet.mask() == 0
    assert result.dtype == np.uint8
    assert np.array_equal(result[outside], source[outside])


def test_a_view_into_a_larger_picture_is_accepted() -> None:
    lips = lips_at(256, 300, 90)
    wide = np.repeat(face((512, 512), lips), 2, axis=1)
    view = wide[:, ::2]
    expected = Puppet(np.ascontiguousarray(view), lips).render(0.7)
    assert np.array_equal(Puppet(view, lips).render(0.7), expected)


def test_making_and_rendering_are_quick() -> None:
    lips = lips_at(256, 300, 100)
    source = face((512, 512), lips)
    puppet = Puppet(source, lips)
    assert best_ms(lambda: Puppet(source, lips)) < 10
    assert best_ms(lambda: puppet.render(0.7, 0.3)) < 8


def test_lips_outside_the_picture_are_refused() -> None:
    picture = np.zeros((100, 100, 3), np.uint8)
    with pytest.raises(MediaError, match="lips inside the 100x100 picture"):
        Puppet(picture, lips_at(130, 50, 40))


@pytest.mark.parametrize("picture", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3), np.float32)])
def test_other_kinds_of_picture_are_refused(picture: np.ndarray) -> None:
    with pytest.raises(MediaError, match="uint8"):
        Puppet(picture, lips_at(4, 4, 4))
