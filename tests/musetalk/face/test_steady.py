"""Planted tracks: the noise goes, the motion stays, without lag and per shot."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import cv2
import numpy as np
import pytest

from avatarvideo.musetalk.face.crop import CROP_SIZE, FaceBox, cut_face, stretch_face
from avatarvideo.musetalk.face.detect import FaceTrack
from avatarvideo.musetalk.face.steady import ShotFinder, steadied

FPS, COUNT = 25, 400
TIMES = np.arange(COUNT) / FPS
SIZE = (1280, 720)
REACH = FPS  # frames at either end of the track, that know one side only


def eased(times: np.ndarray) -> np.ndarray:
    within = np.clip(times, 0, 1)
    return within * within * (3 - 2 * within)


def box_track(x: np.ndarray, y: np.ndarray, width: np.ndarray, height: np.ndarray) -> np.ndarray:
    return np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=1)


def still() -> np.ndarray:
    zero = np.zeros(COUNT)
    return box_track(400 + zero, 300 + zero, 200 + zero, 240 + zero)


def turns() -> np.ndarray:
    turn = 60 * (eased((TIMES - 3) / 0.8) - eased((TIMES - 8) / 0.8) + eased((TIMES - 13) / 0.8))
    return box_track(400 + turn, 300 + 0.1 * turn, 200 - 0.3 * turn, 240 + 0 * turn)


def nods() -> np.ndarray:
    nodding = ((TIMES > 4) & (TIMES < 6)) | ((TIMES > 12) & (TIMES < 14))
    nod = 15 * np.sin(2 * np.pi * TIMES) * nodding
    return box_track(400 + 0 * nod, 300 + nod, 200 + 0 * nod, 240 + 0.2 * nod)


def walking() -> np.ndarray:
    sway, bob = 3 * np.sin(2 * np.pi * 0.95 * TIMES), 5 * np.sin(2 * np.pi * 1.9 * TIMES)
    return box_track(200 + 40 * TIMES + sway, 300 + bob, 120 + 6 * TIMES, 140 + 7 * TIMES)


MOTIONS = [still, turns, nods, walking]


def seen(boxes: np.ndarray, *, seed: int = 0, noise: float = 2.0) -> FaceTrack:
    """Return what a detector makes of boxes: whole pixels with noise."""
    shaken = boxes + np.random.default_rng(seed).normal(0, noise, boxes.shape)
    count = len(boxes)
    whole = np.rint(shaken).astype(np.int32)
    return FaceTrack(whole, np.ones(count, bool), np.zeros((count, 2), np.int32), "landmarks")


def steady(track: FaceTrack, steadiness: float = 1.0) -> np.ndarray:
    smooth = steadied(track, steadiness, frame_rate=Fraction(FPS), size=SIZE)
    assert smooth.exact is not None
    return smooth.exact


def shaking(errors: np.ndarray) -> float:
    """Return how far boxes jump from frame to frame, pixels."""
    return float(np.sqrt((np.diff(errors, axis=0) ** 2).mean()))


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("motion", MOTIONS)
def test_noise_falls_four_times_and_motion_stays(
    motion: Callable[[], np.ndarray], seed: int
) -> None:
    true = motion()
    track = seen(true, seed=seed)
    error = steady(track) - true
    assert shaking(error) * 4 <= shaking(track.boxes - true)
    assert np.abs(error).mean() <= 0.5
    assert np.abs(steady(seen(true, noise=0)) - true).mean() <= 0.5  # true motion is kept


@pytest.mark.parametrize("motion", MOTIONS)
def test_noise_deviates_four_times_less(motion: Callable[[], np.ndarray]) -> None:
    true, seeds = motion(), range(4)
    errors = np.stack([steady(seen(true, seed=seed)) - true for seed in seeds])
    noise = np.stack([seen(true, seed=seed).boxes - true for seed in seeds])
    left = errors - errors.mean(axis=0)  # what the tracks share is the motion's error
    assert left.std() * np.sqrt(len(seeds) / (len(seeds) - 1)) * 4 <= noise.std()
    assert np.abs(errors.mean(axis=0)).mean() <= 0.35
    assert errors.std() * 3.8 <= noise.std()  # both together


@pytest.mark.parametrize("motion", [turns, nods, walking])
def test_there_is_no_lag(motion: Callable[[], np.ndarray]) -> None:
    true = motion()
    column = int(np.argmax(true.std(axis=0)))
    wanted, got = (np.gradient(each[:, column]) for each in (true, steady(seen(true))))
    likeness = {lag: float(wanted[20:-20] @ np.roll(got, -lag)[20:-20]) for lag in range(-5, 6)}
    assert max(likeness, key=lambda lag: likeness[lag]) == 0


def test_zero_changes_nothing() -> None:
    track = seen(walking())
    assert steadied(track, 0, frame_rate=Fraction(FPS), size=SIZE) is track


def test_less_steadiness_shakes_more() -> None:
    track, true = seen(still()), still()
    shaken = [shaking(steady(track, steadiness) - true) for steadiness in (0.05, 0.2, 1)]
    assert shaking(track.boxes - true) > shaken[0] > shaken[1] > shaken[2]


def test_outliers_are_replaced() -> None:
    true = nods()
    track = seen(true)
    for number, jump in ((50, 80), (51, 80), (200, -150), (333, 40)):
        track.boxes[number] += jump
    error = np.abs(steady(track) - true)
    assert error[[50, 51, 200, 333]].max() < 4
    assert error.mean() <= 1


@pytest.mark.parametrize("noise", [0.5, 2.0])
@pytest.mark.parametrize(("hertz", "pixels"), [(1, 100), (2, 50), (3, 20)])
def test_the_far_ends_of_a_fast_nod_are_no_outliers(hertz: int, pixels: int, noise: float) -> None:
    nod = pixels * np.sin(2 * np.pi * hertz * TIMES)
    true = box_track(400 + 0 * nod, 300 + nod, 200 + 0 * nod, 240 + 0 * nod)
    track = seen(true, noise=noise)
    assert np.abs(steady(track) - true).mean() <= 1
    track.boxes[200] += 150
    assert np.abs(steady(track) - true)[200].max() < 0.2 * pixels + 4


def test_a_cut_is_never_smoothed_across() -> None:
    true = still()
    true[200:] += 300
    begins = np.zeros(COUNT, bool)
    begins[200] = True
    track = seen(true)
    cut = FaceTrack(track.boxes, track.by_landmarks, track.bridges, track.method, begins)
    error = np.abs(steady(cut) - true)
    assert error[195:205].max() < 3


def test_a_face_that_is_lost_stays_lost() -> None:
    track = seen(still())
    track.boxes[100:110] = 0
    smooth = steadied(track, 1, frame_rate=Fraction(FPS), size=SIZE)
    assert np.array_equal(smooth.found, track.found)
    assert smooth.boxes[105].tolist() == [0, 0, 0, 0]


def test_no_box_leaves_the_frame() -> None:
    true = still() + np.array([-298, -180, -298, -180])
    smooth = steadied(seen(true), 1, frame_rate=Fraction(FPS), size=SIZE)
    assert smooth.boxes.min() >= 0
    assert (smooth.boxes[:, 2] <= SIZE[0]).all()


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_a_track_of_any_length(count: int) -> None:
    assert np.abs(steady(seen(still()[:count])) - still()[:count]).max() < 8


# --- cuts


def scene(seed: int, shift: int) -> np.ndarray:
    """A picture of large soft blots, moved sideways as a camera would."""
    rough = np.random.default_rng(seed).integers(0, 255, (9, 32, 3), np.uint8)
    wide = cv2.resize(rough, (640, 180), interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(wide[:, shift : shift + 320])


def test_cuts_are_found_exactly_and_pans_are_not() -> None:
    frames = [scene(shot, 4 * number) for shot in range(4) for number in range(25)]
    finder = ShotFinder()
    passed = list(finder.watched(frames))
    assert all(one is other for one, other in zip(passed, frames, strict=True))
    assert np.flatnonzero(finder.begins()).tolist() == [25, 50, 75]


def test_one_frame_and_none_have_no_cut() -> None:
    for count in (0, 1, 2):
        finder = ShotFinder()
        assert len(list(finder.watched([scene(0, 0)] * count))) == count
        assert not finder.begins().any()


# --- crops of parts of a pixel


def ramp(width: int = 400, height: int = 300) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns * 0.5, rows * 0.6, (columns + rows) * 0.3], axis=2).astype(np.uint8)


@pytest.mark.parametrize("side", [120, 256, 280])
def test_a_box_of_whole_pixels_is_cut_as_it_always_was(side: int) -> None:
    box = FaceBox(15, 10, 15 + side, 10 + side)
    whole = cut_face(ramp(), box).astype(int)
    warped = cut_face(ramp(), box, np.array(box, np.float64)).astype(int)
    assert np.abs(whole - warped)[8:-8, 8:-8].max() <= 1


def test_a_quarter_of_a_pixel_moves_the_crop() -> None:
    times = np.arange(400)
    wave = np.repeat((127 + 100 * np.sin(times / 9))[None, :, None], 300, axis=0)
    frame = np.repeat(wave, 3, axis=2).astype(np.uint8)
    box = np.array([60, 40, 60 + CROP_SIZE, 40 + CROP_SIZE], np.float64)
    moved = cut_face(frame, FaceBox(60, 40, 316, 296), box + np.array([0.25, 0, 0.25, 0]))
    expected = 127 + 100 * np.sin((np.arange(CROP_SIZE) + 60.25) / 9)
    assert np.abs(moved[128, :, 0] - expected).max() <= 2


def test_what_is_cut_goes_back_to_its_place() -> None:
    frame = cv2.GaussianBlur(scene(3, 0), (9, 9), 0)
    frame = cv2.resize(frame, (640, 360))
    exact = np.array([100.3, 50.7, 300.6, 260.2])
    box = FaceBox(100, 51, 301, 260)
    back = stretch_face(cut_face(frame, box, exact), box, exact).astype(int)
    difference = np.abs(back - frame[box.area])[3:-3, 3:-3]
    assert difference.mean() < 0.5
    assert difference.max() <= 4
