"""Lips in every frame of a video avatar: exact, steady, of one person, late faces and gaps too."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from avatarvideo.errors import Cancelled
from avatarvideo.media import Avatar, LipCorners
from avatarvideo.musetalk.face.choice import FaceChoice
from avatarvideo.musetalk.face.finder import locate_face
from avatarvideo.musetalk.puppet.lip_track import LipTrack, track_lips
from avatarvideo.musetalk.puppet.playback import PuppetPlayback
from avatarvideo.musetalk.puppet.pose import MouthPose
from avatarvideo.musetalk.puppet.puppet import Puppet

SAMPLES = Path(__file__).resolve().parents[3] / "web" / "samples"
CORNERS = np.array([[352.0, 437.0], [441.0, 440.0]])  # in the sample portrait, by eye
SIDE = 384
Frames = Sequence[np.ndarray]


def read(path: Path, side: int) -> np.ndarray:
    bgr = cv2.imread(str(path))
    assert bgr is not None
    small = cv2.resize(bgr, (side, side), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_BGR2RGB)


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return read(SAMPLES / "portrait.png", SIDE)


def sway(step: int) -> np.ndarray:
    """The matrix (2, 3) of a head that pans, comes nearer and turns."""
    phase = 2 * math.pi * step / 40
    middle = (SIDE / 2, SIDE / 2)
    turn = cv2.getRotationMatrix2D(middle, 5 * math.sin(phase), 1 + 0.08 * math.sin(1.3 * phase))
    turn[:, 2] += (0.03 * SIDE * math.sin(phase), 0.02 * SIDE * math.sin(0.7 * phase))
    return turn


def moved(picture: np.ndarray, turn: np.ndarray) -> np.ndarray:
    return cv2.warpAffine(
        picture, turn, picture.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )


def avatar_of(frames: Frames, opened: list[int] | None = None) -> Avatar:
    """An avatar of these frames; ``opened`` is told where each reading begins."""

    def read_from(start: int) -> Iterator[np.ndarray]:
        if opened is not None:
            opened.append(start)
        return iter(frames[start:])

    height, width = frames[0].shape[:2]
    return Avatar(
        open_frames=read_from,
        width=width,
        height=height,
        frame_rate=Fraction(25),
        frame_count=len(frames),
    )


def tracked(
    frames: Frames,
    models: Path | None,
    choice: FaceChoice = FaceChoice(),  # noqa: B008 - frozen
    **options: Callable[..., None],
) -> LipTrack:
    folders = [] if models is None else [models]
    first = locate_face(frames[0], face_index=choice.index, model_folders=folders)
    avatar = avatar_of(frames)
    return track_lips(avatar, first, len(frames), choice=choice, model_folders=folders, **options)


def corners(track: LipTrack, number: int) -> np.ndarray:
    lips = track.shapes[number]
    assert lips is not None
    return np.array(lips.corners).reshape(2, 2)


def found(track: LipTrack) -> str:
    """One letter a frame: x with lips, a dot without."""
    return "".join("." if shape is None else "x" for shape in track.shapes)


def errors(track: LipTrack, turns: Sequence[np.ndarray], origin: np.ndarray) -> np.ndarray:
    """Each frame's larger distance of a corner from where the motion takes ``origin``, pixels."""
    truth = [origin @ turn[:, :2].T + turn[:, 2] for turn in turns]
    return np.array([np.hypot(*(corners(track, n) - each).T).max() for n, each in enumerate(truth)])


@pytest.mark.slow
def test_lips_stay_on_a_head_that_moves_and_turns(portrait: np.ndarray, mesh_models: Path) -> None:
    turns = [sway(step) for step in range(24)]
    track = tracked([moved(portrait, turn) for turn in turns], mesh_models)
    still = tracked([portrait] * 2, mesh_models)
    assert errors(still, turns[:1] * 2, CORNERS * SIDE / 768).max() < 0.15 * 44
    # Against the mesh's own corners in the unmoved picture, of a mouth 44 pixels wide.
    apart = errors(track, turns, corners(still, 0))
    assert apart.max() < 0.03 * 44
    assert apart.mean() < 0.012 * 44


@pytest.mark.slow
def test_noise_on_a_still_head_does_not_shake_the_mouth(
    portrait: np.ndarray, mesh_models: Path
) -> None:
    rng = np.random.default_rng(1)
    noisy = [
        np.clip(portrait + rng.normal(0, 4, portrait.shape), 0, 255).astype(np.uint8)
        for _ in range(16)
    ]
    track = tracked(noisy, mesh_models)
    places = np.array([corners(track, number) for number in range(16)])
    steps = np.diff(places, axis=0)
    assert np.sqrt((steps**2).mean()) < 0.06
    assert places.std(axis=0).max() < 0.12


@pytest.mark.slow
def test_faceless_stretches_are_none_to_the_frame(portrait: np.ndarray, mesh_models: Path) -> None:
    empty = np.full_like(portrait, 120)
    pattern = "." * 11 + "x" * 4 + "." * 13 + "x" * 3 + "." * 2
    frames = [portrait if each == "x" else empty for each in pattern]
    track = tracked(frames, mesh_models)
    assert found(track) == pattern
    assert track.first is not None
    assert track.first.method == "face mesh"
    assert track.points is not None
    assert track.rest_widths is not None
    assert [points is not None for points in track.points] == [each == "x" for each in pattern]
    assert np.isfinite(track.rest_widths).tolist() == [each == "x" for each in pattern]


def test_a_playback_knows_points_and_width_where_they_are_known(portrait: np.ndarray) -> None:
    lips = locate_face(portrait, corners=LipCorners(*(CORNERS / 2).ravel())).lips
    motion: Any = None  # no frame is rendered
    parts = (avatar_of([portrait] * 2), np.zeros(1, np.int64), motion, [lips, None])
    plain = PuppetPlayback(*parts)
    assert (plain.points_at(0), plain.rest_width_at(0)) == (None, None)
    points, widths = np.zeros((478, 2)), np.array([44.5, np.nan], np.float32)
    known = PuppetPlayback(*parts, points=[points, None], rest_widths=widths)
    assert known.points_at(0) is points
    assert (known.rest_width_at(0), known.rest_width_at(1)) == (44.5, None)


@pytest.mark.slow
def test_a_late_face_is_found_to_the_frame_without_the_mesh(portrait: np.ndarray) -> None:
    empty = np.full_like(portrait, 120)
    pattern = "." * 13 + "x" * 8
    frames = [portrait if each == "x" else empty for each in pattern]
    track = tracked(frames, None)
    assert found(track) == pattern
    assert track.points is None
    assert track.first is not None
    assert track.first.lips is not None


@pytest.mark.slow
@pytest.mark.parametrize("has_mesh", [True, False])
def test_a_face_that_leaves_the_picture_has_no_lips_outside_of_it(
    portrait: np.ndarray, mesh_models: Path, has_mesh: bool
) -> None:
    way = [0, 20, 40, 60, 90, 120, 150, 180, 200, 210, 220, 240, 300, 384, 300, 200, 100, 0]
    turns = [np.array([[1.0, 0, shift], [0, 1, 0]]) for shift in way]
    room = cv2.copyMakeBorder(portrait, 0, 0, 384, 0, cv2.BORDER_CONSTANT, value=(90, 110, 90))
    frames = [np.ascontiguousarray(room[:, 384 - shift : 768 - shift]) for shift in way]
    track = tracked(frames, mesh_models if has_mesh else None)
    assert found(track)[:4] == "xxxx"
    assert "." in found(track)[9:14]
    for frame, turn, lips in zip(frames, turns, track.shapes, strict=True):
        if lips is None:
            continue
        Puppet(frame, lips).render(MouthPose(0.2))  # refuses lips that are outside
        truth = CORNERS * 0.5 + turn[:, 2]
        assert np.hypot(*(np.array(lips.corners).reshape(2, 2) - truth).T).max() < 0.2 * 44


@pytest.mark.slow
def test_two_people_who_pass_each_other_keep_their_lips(
    real_data: Path, portrait: np.ndarray, mesh_models: Path
) -> None:
    other = read(real_data / "portrait_bouguereau.jpg", 512)[130:430, 220:470]
    one = portrait[90:330, 80:300]
    frames, places = [], []
    for step in range(9):
        canvas = np.full((620, 800, 3), 110, np.uint8)
        place = (20 + 60 * step, 20)
        canvas[20 : 20 + one.shape[0], place[0] : place[0] + one.shape[1]] = one
        x = 540 - 60 * step
        canvas[300 : 300 + other.shape[0], x : x + other.shape[1]] = other
        frames.append(canvas)
        places.append(place[0])
    seen = [tracked(frames, mesh_models, FaceChoice(index)) for index in range(2)]
    for track in seen:
        xs = [corners(track, n)[:, 0].mean() for n in range(9)]
        steps = np.diff(xs)
        way = np.sign(steps[0])
        np.testing.assert_allclose(steps, 60 * way, atol=1)
    ways = {float(np.sign(corners(t, 8)[0, 0] - corners(t, 0)[0, 0])) for t in seen}
    assert ways == {-1.0, 1.0}


@pytest.mark.slow
def test_lips_are_where_another_shot_has_them(
    real_data: Path, portrait: np.ndarray, mesh_models: Path
) -> None:
    painting = read(real_data / "portrait_bouguereau.jpg", SIDE)
    track = tracked([portrait] * 4 + [painting] * 4, mesh_models)
    alone = [tracked([each], mesh_models) for each in (portrait, painting)]
    for number in range(8):
        apart = corners(track, number) - corners(alone[number // 4], 0)
        assert np.hypot(*apart.T).max() < 1.0


def test_no_face_at_all_is_no_track(mesh_models: Path) -> None:
    empty = np.full((64, 64, 3), 120, np.uint8)
    track = tracked([empty] * 5, mesh_models)
    assert (found(track), track.first) == (".....", None)
    assert track.rest_widths is not None
    assert np.isnan(track.rest_widths).all()


@pytest.mark.slow
@pytest.mark.parametrize("has_mesh", [True, False])
def test_a_cancel_ends_the_work(portrait: np.ndarray, mesh_models: Path, has_mesh: bool) -> None:
    done: list[int] = []

    def on_frame(number: int) -> None:
        done.append(number)
        if number == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        tracked([portrait] * 9, mesh_models if has_mesh else None, on_frame=on_frame)
    assert done == [1, 2, 3]
