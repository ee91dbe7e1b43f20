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
from avatarvideo.musetalk.puppet.cavity import CavityLook
from avatarvideo.musetalk.puppet.lip_table import LipTable, MouthFrame
from avatarvideo.musetalk.puppet.pose import MouthPose
from avatarvideo.musetalk.puppet.puppet import Puppet
from avatarvideo.musetalk.puppet.warp import UPPER_SHARE, WarpGrid

REST = MouthPose()
POSES = [
    MouthPose(0.05),
    MouthPose(0.2),
    MouthPose(0.45),
    MouthPose(0.3, 1.08),
    MouthPose(0.3, 0.74),
    MouthPose(0, 1.08),
    MouthPose(0, 0.74),
    MouthPose(0.08, tuck=1),
    MouthPose(0.2, closure=0.5),
]
LIP_LUMA = 111
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


def gap_height(picture: np.ndarray, lips: LipShape, x: float = 0.0) -> int:
    """Rows between the lips in the column at x: what is neither lip nor skin."""
    centre = (lips.corners.x0 + lips.corners.x1) / 2
    red = picture[:, round(centre + x * lips.width)].astype(int) @ [1, -1, 0] > 62
    found = np.flatnonzero(red)
    if len(found) < 2:
        return 0
    holes = np.diff(found) - 1
    return int(holes.max())


def best_ms(call: Callable[[], object]) -> float:
    times = []
    for _ in range(30):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


@pytest.mark.parametrize("pose", [REST, MouthPose(0.3, closure=1), MouthPose(closure=1, tuck=1)])
def test_shut_mouth_is_the_source_itself(pose: MouthPose) -> None:
    lips = lips_at(256, 300, 90)
    source = face((512, 512), lips)
    puppet = Puppet(source, lips)
    result = puppet.render(pose)
    assert result is not source
    assert np.array_equal(result, source)
    assert puppet.is_source(pose)
    assert not puppet.is_source(MouthPose(0.1))


def test_source_is_never_written() -> None:
    lips = lips_at(256, 300, 90, parted=0.1)
    source = face((512, 512), lips)
    before = source.copy()
    puppet = Puppet(source, lips)
    for pose in POSES:
        puppet.render(pose)
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
        result = puppet.render(pose)
        assert not np.array_equal(result, source)
        assert np.array_equal(result[outside], source[outside])


def test_a_raised_chin_draws_no_streaks_from_under_the_picture() -> None:
    lips = lips_at(128, 120, 80, parted=0.4)
    source = face((256, 200), lips)
    shut = Puppet(source, lips).render(REST)
    rows = [np.abs(np.diff(p[-12:, 90:166].astype(int), axis=0)).mean() for p in (source, shut)]
    assert rows[1] > 0.5 * rows[0]
    assert np.array_equal(shut[-1], source[-1])
    assert gap_height(source, lips) > 25
    assert gap_height(shut, lips) < 4


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
    assert y1 < 300 + 2.1 * 90  # the chin is a mouth width down, and the neck takes up its motion
    assert x1 - x0 < 2.3 * 90


@pytest.mark.parametrize("width", [60, 100, 200])
@pytest.mark.parametrize("opening", [0.1, 0.3])
def test_gap_is_what_was_asked_for(width: float, opening: float) -> None:
    lips = lips_at(256, 250, width)
    source = face((512, 512), lips)
    opened = Puppet(source, lips).render(MouthPose(opening))
    grown = gap_height(opened, lips) - gap_height(source, lips)
    assert grown / width == pytest.approx(opening, abs=0.015 + 1 / width)
    assert gap_height(opened, lips, 0.55) <= 1


def test_gap_grows_with_the_opening_and_towards_the_middle() -> None:
    lips = lips_at(256, 250, 160)
    puppet = Puppet(face((512, 512), lips), lips)
    openings = (0.1, 0.2, 0.3, 0.4, 0.5)
    heights = [gap_height(puppet.render(MouthPose(opening)), lips) for opening in openings]
    assert all(after - before > 0.04 * 160 for before, after in itertools.pairwise(heights))
    wide_open = puppet.render(MouthPose(0.4))
    across = [gap_height(wide_open, lips, x) for x in (-0.45, -0.3, 0, 0.3, 0.45)]
    assert across[0] < across[1] <= across[2] >= across[3] > across[4]


def test_wide_openings_are_round_towards_their_corners() -> None:
    lips = lips_at(256, 220, 150)
    wide = Puppet(face((512, 512), lips), lips).render(MouthPose(0.45))
    assert gap_height(wide, lips, 0.4) > 0.38 * gap_height(wide, lips)


def test_a_wide_open_mouth_shuts_in_a_line_and_not_in_an_arch() -> None:
    lips = lips_at(256, 250, 150, parted=0.8)
    shut = Puppet(face((512, 512), lips), lips).render(REST)
    rows = [int(column(shut, lips, x)[120:330].argmin()) for x in (-0.4, 0, 0.4)]
    assert max(rows) - min(rows) < 0.09 * 150


def lower_lip_height(picture: np.ndarray, lips: LipShape, x: float) -> int:
    """Rows of lip in the column at x under the lips' seam."""
    centre = (lips.corners.x0 + lips.corners.x1) / 2
    red = picture[:, round(centre + x * lips.width)].astype(int) @ [1, -1, 0] > 62
    seam = int(column(picture, lips, x)[120:400].argmin()) + 120
    return int(red[seam + 2 :].sum())


def test_the_lower_lip_of_a_wide_open_mouth_shuts_without_lumps() -> None:
    lips = lips_at(256, 250, 150, parted=0.5)
    curves = lips.curves.copy()
    across = np.linspace(-1, 1, curves.shape[1])
    curves[3] = 0.42 * np.sqrt(1 - across**2)  # a round outline, the lip upright at its ends
    curves[2] = 0.25 * (1 - across**2)
    lips = LipShape(lips.corners, curves.astype(np.float32), parted=True)
    shut = Puppet(face((512, 512), lips), lips).render(REST)
    heights = [lower_lip_height(shut, lips, x) for x in (-0.4, -0.3, 0, 0.3, 0.4)]
    assert heights[2] >= max(heights) - 1
    assert max(heights[0], heights[4]) < 0.75 * heights[2]


@pytest.mark.parametrize(("chin", "least", "most"), [(0.6, 0.35, 0.39), (1.4, 0.49, 0.54)])
def test_the_chin_says_how_far_a_mouth_opens(chin: float, least: float, most: float) -> None:
    lips = lips_at(256, 200, 120)
    points = np.full((478, 2), 256.0)
    points[152, 1] = 200 + chin * 120
    source = face((512, 512), lips)
    opened = Puppet(source, lips, points=points).render(MouthPose(0.52))
    grown = gap_height(opened, lips) - gap_height(source, lips)
    assert least < grown / 120 < most


def test_the_chin_drops_and_the_neck_does_not() -> None:
    lips = lips_at(256, 160, 120)
    source = face((512, 512), lips)
    source[280:283, 200:312] = 0  # a line across the chin, a mouth width down
    source[420:, 100:400] = (np.arange(92) % 2 * 255)[:, None, None]
    opened = Puppet(source, lips).render(MouthPose(0.4))
    chin = int(np.flatnonzero(column(opened, lips)[250:380] < 60)[-1]) + 250
    assert 0.15 * 120 < chin - 281 < 0.3 * 120
    assert np.array_equal(opened[420:], source[420:])


def test_lower_lip_keeps_its_height_and_moves_rigidly() -> None:
    lips = lips_at(256, 250, 100)
    source = face((512, 512), lips)
    fall = (1 - UPPER_SHARE) * 0.25 * 100  # 21 whole pixels
    opened = Puppet(source, lips).render(MouthPose(0.25)).astype(int)
    moved = opened[250 + int(fall) + 5 : 250 + int(fall) + 13, 255:258]
    assert np.abs(moved - source[255:263, 255:258]).max() <= 2


def test_upper_lip_moves_a_little() -> None:
    lips = lips_at(256, 250, 200)
    source = face((512, 512), lips)
    opened = Puppet(source, lips).render(MouthPose(0.3))

    def top_of_lips(picture: np.ndarray) -> int:
        return int(np.flatnonzero(column(picture, lips)[180:] < 130)[0])

    assert 0.02 * 200 <= top_of_lips(source) - top_of_lips(opened) <= 0.06 * 200 + 1


def white(picture: np.ndarray, lips: LipShape) -> np.ndarray:
    """Rows of the middle column that show teeth."""
    return np.flatnonzero(column(picture, lips) > 205)


@pytest.mark.parametrize("parted", [0.05, 0.08, 0.15, 0.25])
@pytest.mark.parametrize("pose", [REST, MouthPose(0.3, closure=1)])
def test_parted_lips_are_brought_together_over_the_teeth(parted: float, pose: MouthPose) -> None:
    lips = lips_at(256, 250, 150, parted=parted)
    source = face((512, 512), lips)
    puppet = Puppet(source, lips)
    assert len(white(source, lips)) > 0.7 * parted * 150
    assert not puppet.is_source(pose)
    shut = puppet.render(pose)
    for x in (-0.3, 0.0, 0.3):
        assert not (column(shut, lips, x)[150:400] > 205).any()
    lip = shut[:, 256].astype(int) @ [1, -1, 0] > 62
    assert np.flatnonzero(lip).max() - np.flatnonzero(lip).min() < (0.12 + 0.17 + 0.04) * 150


def test_teeth_of_parted_lips_stay_where_the_upper_jaw_is() -> None:
    lips = lips_at(256, 250, 150, parted=0.15)
    puppet = Puppet(face((512, 512), lips), lips)
    ends = [white(puppet.render(MouthPose(opening)), lips).max() for opening in (0.25, 0.35, 0.45)]
    assert max(ends) - min(ends) <= 2
    opened = puppet.render(MouthPose(0.4))
    dark = np.flatnonzero(column(opened, lips) < 70)
    assert len(dark) > 0.1 * 150
    assert white(opened, lips).max() < dark.min()


def test_lower_teeth_below_a_dark_row_go_with_the_lower_lip() -> None:
    lips = lips_at(256, 250, 150, parted=0.18)
    source = face((512, 512), lips)
    source[250:256][source[250:256].min(axis=2) > 195] = (30, 15, 15)
    opened = Puppet(source, lips).render(MouthPose(0.4))
    assert np.diff(white(opened, lips)).max() > 0.15 * 150


def test_painted_teeth_stay_with_the_upper_jaw() -> None:
    lips = lips_at(256, 250, 150)
    puppet = Puppet(face((512, 512), lips), lips)
    ends = []
    for opening in (0.2, 0.3, 0.4):
        luma = column(puppet.render(MouthPose(opening)), lips)
        hollow = luma[250 : 250 + round(0.7 * opening * 150)]
        ends.append(int(np.flatnonzero(hollow > 90).max()))
    assert max(ends) - min(ends) <= 2
    assert max(ends) < 0.06 * 150


def test_tuck_hides_the_lower_lip_under_the_teeth() -> None:
    lips = lips_at(256, 250, 200)
    puppet = Puppet(face((512, 512), lips), lips)

    def lower_lip(picture: np.ndarray) -> tuple[int, int]:
        red = np.flatnonzero(picture[:, 256].astype(int) @ [1, -1, 0] > 62)
        return int(red[red > 250].min()), int(red.max())

    parted, tucked = (puppet.render(MouthPose(0.08, tuck=tuck)) for tuck in (0, 1))
    (top, bottom), (hidden_top, hidden_bottom) = lower_lip(parted), lower_lip(tucked)
    assert hidden_bottom - hidden_top < 0.9 * (bottom - top)
    assert hidden_top < top
    assert hidden_bottom < bottom


@pytest.mark.parametrize("pose", [MouthPose(0, 1.08), MouthPose(0, 0.74), MouthPose(0.25, 0.8)])
def test_width_is_what_was_asked_for(pose: MouthPose) -> None:
    lips = lips_at(256, 250, 200)
    source = face((512, 512), lips)

    def lip_span(picture: np.ndarray) -> int:
        red = picture[200:420].astype(int) @ [1, -1, 0] > 62
        return int(red.any(axis=0).sum())

    change = lip_span(Puppet(source, lips).render(pose)) / lip_span(source)
    assert change == pytest.approx(pose.width, abs=0.04)


@pytest.mark.parametrize("share", [0.8, 1.1])
def test_the_width_at_rest_takes_the_sources_own_out(share: float) -> None:
    lips = lips_at(256, 250, 150)
    source = face((512, 512), lips)
    rested = Puppet(source, lips, rest_width=150 / share).render(REST)
    red = rested[200:420].astype(int) @ [1, -1, 0] > 62
    before = source[200:420].astype(int) @ [1, -1, 0] > 62
    change = red.any(axis=0).sum() / before.any(axis=0).sum()
    assert change == pytest.approx(1 / share, abs=0.05)


def grid_of(lips: LipShape, side: int) -> WarpGrid:
    """Return the grid over a square picture, ``side`` nodes wide and high."""
    mouth = MouthFrame.of(lips)
    table = LipTable.of(lips, mouth)
    return WarpGrid.over(mouth, table, origin=(0, 0), size=(side, side), step=1, height=side)


@pytest.mark.parametrize("pose", POSES)
@pytest.mark.parametrize("parted", [0.0, 0.2])
def test_skin_is_stretched_but_never_folded(pose: MouthPose, parted: float) -> None:
    grid = grid_of(lips_at(128, 90, 50, parted=parted), 256)
    fields = grid.posed(pose)
    spacing = 1 / 50
    inside = fields.depth > fields.gap / 2
    for moved, side in ((grid.v + fields.above, ~inside), (grid.v + fields.below, inside)):
        steps = np.diff(moved, axis=0)[side[1:] & side[:-1]]
        assert steps.min() > 0.25 * spacing
    assert np.diff(grid.x + fields.along, axis=1).min() > 0.4 * spacing
    x_down, x_right = np.gradient(grid.x + fields.along, spacing)
    for across, side in ((fields.above, ~inside), (fields.below, inside)):
        v_down, v_right = np.gradient(grid.v + across, spacing)
        assert (x_right * v_down - x_down * v_right)[
            cv2.erode(side.astype(np.uint8), np.ones((3, 3))) > 0
        ].min() > 0


@pytest.mark.parametrize("pose", POSES)
@pytest.mark.parametrize("parted", [0.0, 0.2])
def test_motion_has_died_out_where_the_mask_ends(pose: MouthPose, parted: float) -> None:
    grid = grid_of(lips_at(200, 150, 100, parted=parted), 200)
    fields = grid.posed(pose)
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
    frames = [puppet.render(MouthPose(opening)).astype(int) for opening in np.linspace(0, 0.4, 51)]
    pairs = itertools.pairwise(frames)
    steps = [np.abs(after - before)[200:380, 150:360].mean() for before, after in pairs]
    assert max(steps) < 2.5


def test_colours_drift_through_a_video_and_jump_at_a_cut() -> None:
    lips = lips_at(128, 120, 80)
    source = face((256, 256), lips)
    lit, dark = (source * 0.9).astype(np.uint8), (source * 0.1).astype(np.uint8)

    def hollow(puppet: Puppet) -> float:
        return float(puppet.render(MouthPose(0.3))[132:138, 108:148].mean())

    first = Puppet(source, lips)
    alone, following = hollow(Puppet(lit, lips)), hollow(Puppet(lit, lips, after=first))
    assert alone < following < hollow(first)
    assert hollow(Puppet(dark, lips, after=first)) < 0.5 * hollow(first)


@pytest.mark.parametrize(
    ("before", "now", "least", "most"),
    [
        ((0.5, True), (1.0, True), 0.5, 0.6),  # a frame in which the dark row is too bright
        ((0.5, True), (1.0, False), 0.5, 0.5),  # and one whose lips hide it
        ((1.0, True), (0.5, True), 0.5, 0.7),  # a row that is seen
        ((1.0, False), (0.5, True), 0.5, 0.5),  # for the first time
    ],
)
def test_where_the_jaws_part_is_remembered(
    before: tuple[float, bool], now: tuple[float, bool], least: float, most: float
) -> None:
    one, other = (
        CavityLook(np.full((5, 3), 90, np.float32), 0.02, split, 0.01, is_open)
        for split, is_open in (before, now)
    )
    following = other.drifted_from(one)
    assert least <= following.split <= most
    assert following.is_open
    cut = other._replace(colours=other.colours + 100)
    assert cut.drifted_from(one).split == other.split


def test_teeth_are_painted_as_far_as_no_dark_row_parts_the_jaws() -> None:
    look = CavityLook(np.zeros((5, 3), np.float32), 0.02, 1.0, 0.01)
    shares = [look._replace(split=split).filled for split in (0.3, 0.75, 0.9, 1.0)]
    assert shares == pytest.approx([0, 0, 0.6, 1])


def test_tilted_picture_gives_the_tilted_result() -> None:
    upright = lips_at(255.5, 255.5, 120)
    source = cv2.GaussianBlur(face((512, 512), upright), (0, 0), 1.5)
    turn = cv2.getRotationMatrix2D((255.5, 255.5), -25, 1)

    def turned(picture: np.ndarray) -> np.ndarray:
        return cv2.warpAffine(picture, turn, (512, 512), flags=cv2.INTER_CUBIC)

    tilted = Puppet(turned(source), lips_at(255.5, 255.5, 120, 25)).render(MouthPose(0.25, 1.05))
    expected = turned(Puppet(source, upright).render(MouthPose(0.25, 1.05)))
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
        result = puppet.render(pose)
        assert result.shape == source.shape
        assert np.array_equal(result[outside], source[outside])


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(2, 250), st.integers(2, 250)),
    place=st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)),
    width=st.floats(3, 500),
    tilt=st.floats(-45, 45),
    pose=st.builds(
        MouthPose, st.floats(0, 0.6), st.floats(0.6, 1.2), st.floats(0, 1), st.floats(0, 1)
    ),
    parted=st.sampled_from([0, 0.05, 0.3]),
)
def test_any_mouth_in_any_picture_changes_only_its_region(
    size: tuple[int, int],
    place: tuple[float, float],
    width: float,
    tilt: float,
    pose: MouthPose,
    parted: float,
) -> None:
    source = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8)
    lips = lips_at(place[0] * size[0], place[1] * size[1], width, tilt, parted)
    puppet = Puppet(source, lips)
    result = puppet.render(pose)
    outside = puppet.mask() == 0
    assert result.dtype == np.uint8
    assert np.array_equal(result[outside], source[outside])


def test_a_view_into_a_larger_picture_is_accepted() -> None:
    lips = lips_at(256, 300, 90)
    wide = np.repeat(face((512, 512), lips), 2, axis=1)
    view = wide[:, ::2]
    expected = Puppet(np.ascontiguousarray(view), lips).render(MouthPose(0.25))
    assert np.array_equal(Puppet(view, lips).render(MouthPose(0.25)), expected)


def test_making_and_rendering_are_quick() -> None:
    lips = lips_at(256, 300, 100)
    source = face((512, 512), lips)
    puppet = Puppet(source, lips)
    assert best_ms(lambda: Puppet(source, lips)) < 10
    assert best_ms(lambda: puppet.render(MouthPose(0.25, 1.04))) < 8


def test_lips_outside_the_picture_are_refused() -> None:
    picture = np.zeros((100, 100, 3), np.uint8)
    with pytest.raises(MediaError, match="lips inside the 100x100 picture"):
        Puppet(picture, lips_at(130, 50, 40))


@pytest.mark.parametrize("picture", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3), np.float32)])
def test_other_kinds_of_picture_are_refused(picture: np.ndarray) -> None:
    with pytest.raises(MediaError, match="uint8"):
        Puppet(picture, lips_at(4, 4, 4))


def plain_face(lips: LipShape, side: int) -> np.ndarray:
    """One colour each of skin, lips and teeth: what varies along an edge is its drawing."""
    py, px = np.mgrid[:side, :side].astype(np.float32)
    x, v = MouthFrame.of(lips).to_mouth(px, py)
    up, inner_up, inner_low, low = (
        np.interp(x, np.linspace(-0.5, 0.5, 33), curve) for curve in lips.curves
    )
    picture = np.full((side, side, 3), SKIN, np.float32)
    for colour, top, bottom in ((LIPS, up, low), (TEETH, inner_up, inner_low)):
        share = np.clip(np.minimum(v - top, bottom - v) * lips.width + 0.5, 0, 1)
        picture += (np.array(colour) - picture) * share[..., None]
    return np.round(picture).astype(np.uint8)


def along_mouth(picture: np.ndarray, lips: LipShape, x: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Luminance at x (m,) and v (k,) in the mouth's frame, float32 (k, m)."""
    mouth = MouthFrame.of(lips)
    px, py = mouth.to_picture(x[None, :], v[:, None])
    luma = (picture @ np.array([0.299, 0.587, 0.114])).astype(np.float32)
    return cv2.remap(luma, px.astype(np.float32), py.astype(np.float32), cv2.INTER_LINEAR)


@pytest.mark.parametrize("tilt", [0, 7, 20])
@pytest.mark.parametrize("width", [21, 42, 120])
def test_lips_that_were_apart_shut_in_a_line_that_is_not_dotted(width: float, tilt: float) -> None:
    lips = lips_at(256, 250, width, tilt, parted=0.2)
    shut = Puppet(plain_face(lips, 512), lips).render(REST)
    rows = np.arange(-0.12, 0.16, 0.25 / width)
    line = along_mouth(shut, lips, np.arange(-0.3, 0.3, 1 / width), rows).min(axis=0)
    assert line.max() < LIP_LUMA
    assert np.abs(np.diff(line)).max() < 12


@pytest.mark.parametrize(("width", "opening"), [(80, 0.4), (300, 0.45)])
def test_the_openings_steep_ends_have_no_steps(width: float, opening: float) -> None:
    lips = lips_at(300, 250, width, 20)
    opened = Puppet(plain_face(lips, 600), lips).render(MouthPose(opening))
    across = np.arange(0.2, 0.6, 0.25 / width)
    rows = along_mouth(opened, lips, across, np.arange(0.06, 0.3, 1 / width))
    dark = np.clip((LIP_LUMA - rows) / (LIP_LUMA - 40), 0, 1)
    edge = dark.sum(axis=1) / 4  # pixels from the middle of the mouth's right half
    parabolas = np.linalg.pinv(np.vander(np.arange(-4.0, 5), 3))[-1]  # through nine rows each
    smooth = np.convolve(edge, parabolas, mode="valid")
    assert np.abs(edge[4:-4] - smooth).max() < 0.28


def test_skin_within_the_landmarks_of_an_opening_is_not_shown_inside_it() -> None:
    lips = lips_at(256, 250, 120, parted=0.3)
    source = plain_face(lips, 512)
    corners = np.abs(np.arange(512) - 255.5) > 0.4 * 120
    source[(source[..., 2] > 200) & corners] = SKIN  # teeth end before the landmarks do
    opened = Puppet(source, lips).render(MouthPose(0.45)).astype(int)
    for x in (-0.44, -0.42, 0.42, 0.44):
        column = opened[:, round(255.5 + x * 120)]
        lip = np.flatnonzero(np.abs(column - LIPS).sum(axis=1) < 60)
        between = column[lip[0] : lip[-1] + 1]
        assert (between.sum(axis=1) < 180).any()
        assert np.abs(between - SKIN).sum(axis=1).min() > 60


@pytest.mark.parametrize("opening", [0.25, 0.45])
def test_teeth_that_a_picture_shows_grow_no_longer(opening: float) -> None:
    lips = lips_at(256, 250, 150, parted=0.16)
    source = plain_face(lips, 512)
    low = slice(round(250 + 0.02 * 150), 250 + 30)
    source[low][source[low][..., 2] > 200] = LIPS  # the landmarks have part of the lip as opening
    opened = Puppet(source, lips).render(MouthPose(opening))
    before, after = ((column(one, lips)[225:275] > 125).sum() for one in (source, opened))
    assert 0.6 * before < after <= before + 0.025 * 150


def test_lip_within_the_landmarks_of_an_opening_is_not_shown_inside_it() -> None:
    lips = lips_at(256, 250, 120, parted=0.3)
    source = plain_face(lips, 512)
    aside = np.abs(np.arange(512) - 255.5) > 0.3 * 120
    source[(source[..., 2] > 200) & aside] = LIPS  # lips meet before the landmarks say so
    opened = Puppet(source, lips).render(MouthPose(0.45)).astype(int)
    for x in (-0.36, 0.36):
        column = opened[:, round(255.5 + x * 120)]
        is_lip = np.abs(column - LIPS).sum(axis=1) < 60
        dark = np.flatnonzero(column.sum(axis=1) < 180)
        assert len(dark) > 0.6 * 0.45 * 0.6 * 120
        assert not is_lip[dark[0] : dark[-1]].any()


def test_an_inside_as_pink_as_lips_is_shown_whole() -> None:
    lips = lips_at(256, 250, 120, parted=0.6)
    source = plain_face(lips, 512)
    throat = np.array([160, 92, 90])
    source[source[..., 2] > 200] = throat
    opened = Puppet(source, lips).render(MouthPose(0.45)).astype(int)
    row = opened[250 + 8, 256 - 30 : 256 + 31]
    assert np.abs(row - throat).sum(axis=1).max() < 40
