"""Who speaks stays who speaks: drawn clips of portraits that cross, hide, leave, and are cut."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from avatarvideo.errors import Cancelled, MediaError
from avatarvideo.media import Box
from avatarvideo.musetalk.face.cast import Cast, covers_mouth, find_cast, seen_by_mesh
from avatarvideo.musetalk.face.mesh_networks import MeshNetworks, mesh_networks
from avatarvideo.musetalk.face.wish import FaceWish, parse_wish
from support.people_clips import (
    Head,
    Path_,
    PeopleClip,
    gone,
    heads_of,
    instead,
    still,
    walk,
)
from support.turning_heads import turned_heads

NO_SWAP_BACKGROUNDS = ((0, 150), (15, 60))


@pytest.fixture(scope="session")
def networks(mesh_models: Path) -> MeshNetworks:
    found = mesh_networks([mesh_models])
    assert found is not None
    return found


@pytest.fixture(scope="session")
def heads(real_data: Path, networks: MeshNetworks) -> tuple[Head, ...]:
    return heads_of(real_data, networks)


def seen(
    clip: PeopleClip, networks: MeshNetworks, faces: list[str]
) -> tuple[Cast, list[dict[int, int | None]]]:
    """The cast, and for each member who really is where it was seen, by frames."""
    avatar = clip.avatar()
    cast = find_cast(avatar, [parse_wish(face) for face in faces], clip.count, networks)
    found: list[dict[int, int | None]] = [{} for _ in faces]
    for number, place, location, _ in seen_by_mesh(avatar, cast, networks):
        box = location.box
        assert box is not None
        found[place][number] = clip.who_is_at(number, (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)
    return cast, found


def assert_no_swap(found: list[dict[int, int | None]], who: list[int]) -> None:
    for frames, expected in zip(found, who, strict=True):
        assert Counter(frames.values()).keys() <= {expected}


def crossing(one: Head, other: Head) -> PeopleClip:
    paths = [
        walk((120, 180, 100), (520, 180, 100), 5, 35),
        walk((520, 188, 100), (120, 188, 100), 5, 35),
    ]
    return PeopleClip([one, other], paths, 40)


def hiding(one: Head, other: Head) -> PeopleClip:
    """The other one stands over the first for ten frames and more, then goes on."""
    there = walk((520, 180, 110), (320, 180, 110), 5, 15)
    away = walk((320, 180, 110), (120, 180, 110), 26, 36)
    return PeopleClip([one, other], [still(320, 180, 100), instead(there, away, 26)], 42)


def exchanged(one: Head, other: Head, *, backgrounds: tuple[tuple[int, int], ...]) -> PeopleClip:
    """A cut in frame 15, after which both are on the other side and of another size."""
    left, right = still(160, 180, 100), still(480, 180, 100)
    paths = [instead(left, still(480, 150, 80), 15), instead(right, still(160, 200, 120), 15)]
    return PeopleClip([one, other], paths, 30, backgrounds=backgrounds)


@pytest.mark.slow
def test_two_who_cross_keep_their_voices(networks: MeshNetworks, heads: tuple[Head, ...]) -> None:
    _, found = seen(crossing(heads[0], heads[1]), networks, ["left 0", "left 1"])
    assert_no_swap(found, [0, 1])
    assert {*range(14), *range(30, 40)} <= found[0].keys()
    assert {*range(14), *range(22, 40)} <= found[1].keys()  # in front


@pytest.mark.slow
def test_two_who_look_alike_rest_once_they_have_crossed(
    networks: MeshNetworks, heads: tuple[Head, ...]
) -> None:
    cast, found = seen(crossing(heads[0], heads[0]), networks, ["left 0", "left 1"])
    assert_no_swap(found, [0, 1])
    for frames, member in zip(found, cast.members, strict=True):
        assert {*range(14)} <= frames.keys()
        assert max(frames) < 24
        assert member.doubtful[28:].all()


@pytest.mark.slow
def test_two_who_look_alike_speak_where_they_do_not_meet(
    networks: MeshNetworks, heads: tuple[Head, ...]
) -> None:
    paths = [
        walk((160, 180, 100), (230, 190, 100), 0, 20),
        walk((480, 180, 100), (400, 180, 100), 0, 20),
    ]
    clip = PeopleClip([heads[0], heads[0]], paths, 20, rate=Fraction(24000, 1001))
    _, found = seen(clip, networks, ["left 1", "left 0"])
    assert found == [dict.fromkeys(range(20), 1), dict.fromkeys(range(20), 0)]


@pytest.mark.slow
def test_one_hidden_for_ten_frames_is_the_same_one_afterwards(
    networks: MeshNetworks, heads: tuple[Head, ...]
) -> None:
    _, found = seen(hiding(heads[0], heads[1]), networks, ["left 0", "left 1"])
    assert_no_swap(found, [0, 1])
    assert not found[0].keys() & {*range(14, 27)}
    assert {*range(8), *range(37, 42)} <= found[0].keys()
    assert {*range(8), *range(16, 42)} <= found[1].keys()
    _, alike = seen(hiding(heads[0], heads[0]), networks, ["left 0", "left 1"])
    assert_no_swap(alike, [0, 1])
    assert max(max(frames) for frames in alike) < 20


@pytest.mark.slow
def test_one_who_left_is_known_on_return_elsewhere(
    networks: MeshNetworks, heads: tuple[Head, ...]
) -> None:
    path = gone(instead(still(130, 180, 110), still(330, 200, 90), 20), 12, 28)
    clip = PeopleClip([heads[2], heads[1]], [path, still(530, 180, 90)], 40)
    _, found = seen(clip, networks, ["left 0", "left 1"])
    assert found[0] == dict.fromkeys([*range(12), *range(28, 40)], 0)
    assert found[1] == dict.fromkeys(range(40), 1)
    stranger = PeopleClip(
        [heads[2], heads[3], heads[1]],
        [gone(still(130, 180, 110), 12, 99), gone(still(130, 180, 110), 0, 24), clip.paths[1]],
        40,
    )
    _, found = seen(stranger, networks, ["left 0", "left 1"])
    assert found[0] == dict.fromkeys(range(12), 0)


@pytest.mark.slow
@pytest.mark.parametrize("backgrounds", [((0, 150),), NO_SWAP_BACKGROUNDS])
def test_a_cut_that_exchanges_the_sides_exchanges_nobody(
    networks: MeshNetworks, heads: tuple[Head, ...], backgrounds: tuple[tuple[int, int], ...]
) -> None:
    clip = exchanged(heads[0], heads[1], backgrounds=backgrounds)
    _, found = seen(clip, networks, ["left 0", "left 1"])
    assert_no_swap(found, [0, 1])
    assert all({*range(15), *range(16, 30)} <= frames.keys() for frames in found)
    alike = exchanged(heads[1], heads[1], backgrounds=NO_SWAP_BACKGROUNDS)
    cast, found = seen(alike, networks, ["left 0", "left 1"])
    assert found == [dict.fromkeys(range(15), 0), dict.fromkeys(range(15), 1)]
    assert all(member.doubtful.nonzero()[0].tolist() == [*range(15, 30)] for member in cast.members)


@pytest.mark.slow
def test_two_small_faces_are_found_again_behind_a_quick_crossing(
    networks: MeshNetworks, heads: tuple[Head, ...]
) -> None:
    paths = [
        walk((250, 500, 180), (1600, 500, 180), 2, 20),
        walk((1600, 506, 180), (250, 506, 180), 2, 20),
    ]
    clip = PeopleClip(heads[:2], paths, 20, size=(1920, 1080), rate=Fraction(24000, 1001))
    _, found = seen(clip, networks, ["250,500", "1600,506"])
    assert_no_swap(found, [0, 1])
    assert all({*range(9), *range(15, 20)} <= frames.keys() for frames in found)


class Dissolve(PeopleClip):
    """Two who exchange their places while one picture fades into the other."""

    def frame(self, number: int) -> np.ndarray:
        share = min(max((number - 15) / 8, 0.0), 1.0)
        sides = self.paths[0](0), self.paths[1](0)
        there, back = (
            PeopleClip(self.heads, [lambda _, a=a: a, lambda _, b=b: b], 1).frame(0).astype(float)
            for a, b in (sides, sides[::-1])
        )
        return (there + (back - there) * share).round().astype(np.uint8)


@pytest.mark.slow
def test_a_dissolve_that_exchanges_the_sides_exchanges_nobody(
    networks: MeshNetworks, heads: tuple[Head, ...]
) -> None:
    left, right = still(170, 180, 110), still(470, 180, 110)
    clip = Dissolve(heads[:2], [instead(left, right, 19), instead(right, left, 19)], 36)
    _, found = seen(clip, networks, ["left 0", "left 1"])
    assert_no_swap(found, [0, 1])
    assert all({*range(15), *range(24, 36)} <= frames.keys() for frames in found)


class FadesIn(PeopleClip):
    """The second one fades in in the place of the first, from frame 20 on for a second."""

    FADE = 25  # frames

    def frame(self, number: int) -> np.ndarray:
        before, after = (
            PeopleClip([head, *self.heads[2:]], self.paths, 1).frame(0).astype(float)
            for head in self.heads[:2]
        )
        share = min(max((number - 20) / self.FADE, 0.0), 1.0)
        return (before + (after - before) * share).round().astype(np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize(("who", "latest"), [((0, 1, 2), 30), ((1, 2, 3), 45)])  # 1 and 2: alike
def test_who_fades_in_in_anothers_place_does_not_speak(
    networks: MeshNetworks, heads: tuple[Head, ...], who: tuple[int, ...], latest: int
) -> None:
    paths = [still(170, 180, 110), still(470, 180, 110)]
    clip = FadesIn([heads[number] for number in who], paths, 60)
    _, found = seen(clip, networks, ["left 0", "left 1"])
    assert {*range(20)} <= found[0].keys() <= {*range(latest)}
    assert found[1].keys() == {*range(60)}


class FadesInAt50(FadesIn):
    FADE = 50


@pytest.mark.slow
@pytest.mark.parametrize("who", [(1, 2, 3), (2, 1, 3)])  # 1 and 2: alike
def test_who_fades_in_at_50_frames_a_second_does_not_speak(
    networks: MeshNetworks, heads: tuple[Head, ...], who: tuple[int, ...]
) -> None:
    paths = [still(170, 180, 110), still(470, 180, 110)]
    clip = FadesInAt50([heads[number] for number in who], paths, 95, rate=Fraction(50))
    _, found = seen(clip, networks, ["left 0", "left 1"])
    assert {*range(20)} <= found[0].keys() <= {*range(70)}
    assert found[1].keys() == {*range(95)}


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 3])
def test_who_turns_the_head_to_both_sides_goes_on_speaking(
    networks: MeshNetworks, heads: tuple[Head, ...], number: int
) -> None:
    turns = [np.radians(35) * np.sin(2 * np.pi * frame / 48) for frame in range(49)]
    turned = turned_heads(heads[number], networks, turns)
    paths = [still(170, 180, 110), still(470, 180, 110)]
    beside = heads[1]
    pictures = [PeopleClip([head, beside], paths, 1).frame(0) for head in turned]
    clip = PeopleClip([heads[number], beside], paths, len(turns))
    avatar = replace(clip.avatar(), open_frames=lambda start: iter(pictures[start:]))
    cast = find_cast(avatar, [parse_wish("left 0")], len(turns), networks)
    there = [frame for frame, *_ in seen_by_mesh(avatar, cast, networks)]
    assert there == [*range(len(turns))]
    assert not cast.members[0].doubtful.any()


@pytest.mark.slow
def test_who_stands_in_anothers_place_after_a_jump_does_not_speak(
    networks: MeshNetworks, heads: tuple[Head, ...]
) -> None:
    place = still(170, 180, 110)
    paths = [gone(place, 12, 99), gone(place, 0, 12), still(470, 180, 110)]
    clip = PeopleClip([heads[0], heads[2], heads[1]], paths, 24)
    _, found = seen(clip, networks, ["left 0", "left 1"])
    assert found == [dict.fromkeys(range(12), 0), dict.fromkeys(range(24), 2)]


@pytest.mark.slow
@pytest.mark.parametrize("face", ["300,540", "left 0"])
def test_a_small_face_beside_a_large_one_can_be_chosen(
    networks: MeshNetworks, heads: tuple[Head, ...], face: str
) -> None:
    paths = [still(300, 540, 110), still(1400, 540, 400)]  # the detector sees only the large one
    clip = PeopleClip(heads[:2], paths, 3, size=(1920, 1080))
    _, found = seen(clip, networks, [face])
    assert found == [dict.fromkeys(range(3), 0)]


@pytest.mark.slow
def test_who_stands_in_the_place_of_one_who_left_does_not_speak_though_alike(
    networks: MeshNetworks, heads: tuple[Head, ...]
) -> None:
    left, right = still(170, 180, 90), still(470, 180, 90)
    clip = PeopleClip(heads[1:3], [gone(left, 15, 99), instead(right, left, 20)], 40)
    _, found = seen(clip, networks, ["left 0", "left 1"])
    assert found[0] == dict.fromkeys(range(15), 0)
    assert found[1] == dict.fromkeys(range(40), 1)


@pytest.mark.slow
def test_a_point_is_of_the_first_frame_though_others_come_later(
    networks: MeshNetworks, heads: tuple[Head, ...]
) -> None:
    walker = walk((160, 180, 110), (480, 180, 110), 2, 14)
    clip = PeopleClip(heads[:2], [walker, gone(still(160, 180, 100), 0, 16)], 24)
    avatar, wishes = clip.avatar(), [parse_wish("160,180"), FaceWish(is_open=True)]
    cast = find_cast(avatar, wishes, 24, networks)
    for number in range(24):
        boxes = [member.box(number) for member in cast.members]
        middles = [box and (box.x0 + box.x1) / 2 for box in boxes]
        place = walker(number)
        assert place is not None
        assert middles[0] == pytest.approx(place[0], abs=25)
        assert middles[1] == (None if number < 16 else pytest.approx(160, abs=15))
    _, found = seen(clip, networks, ["160,180", "left 0"])
    assert found == [dict.fromkeys(range(24), 0), dict.fromkeys(range(16, 24), 1)]


def back_and_forth(left: float, right: float, turn: int) -> Path_:
    there, back = walk((left, 180, 100), (right, 180, 100), 3, turn - 2), turn
    return instead(there, walk((right, 180, 100), (left, 180, 100), back, back + 13), back)


# Who (by number of the portrait) walks where, and in how many frames each of them has to be seen.
WAYS: dict[str, tuple[list[tuple[int, Path_]], int, list[int]]] = {
    "a quick crossing": (
        [
            (0, walk((60, 180, 100), (580, 180, 100), 3, 14)),
            (1, walk((580, 184, 100), (60, 184, 100), 3, 14)),
        ],
        24,
        [20, 20],
    ),
    "a quick crossing of two alike": (
        [
            (0, walk((60, 180, 100), (580, 180, 100), 3, 14)),
            (0, walk((580, 184, 100), (60, 184, 100), 3, 14)),
        ],
        24,
        [3, 3],
    ),
    "two alike who meet and turn back": (
        [(2, back_and_forth(120, 300, 17)), (2, back_and_forth(520, 320, 17))],
        32,
        [10, 10],
    ),
    "two who cross behind and before a third": (
        [
            (0, walk((100, 180, 90), (540, 180, 90), 3, 30)),
            (1, still(320, 190, 90)),
            (2, walk((540, 176, 90), (100, 176, 90), 3, 30)),
        ],
        34,
        [18, 18, 28],
    ),
    "one who comes near before one who goes away": (
        [
            (0, walk((120, 180, 60), (420, 190, 180), 2, 30)),
            (1, walk((520, 180, 150), (160, 170, 60), 2, 30)),
        ],
        34,
        [16, 26],
    ),
    "one of two alike who leaves and returns": (
        [(1, gone(still(160, 180, 100), 10, 22)), (1, still(460, 180, 100))],
        30,
        [18, 30],
    ),
}


@pytest.mark.one_in(2)
@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_nobody_speaks_for_somebody_else(
    networks: MeshNetworks, heads: tuple[Head, ...], way: str
) -> None:
    people, count, least = WAYS[way]
    clip = PeopleClip([heads[n] for n, _ in people], [path for _, path in people], count)
    by_place = sorted(range(len(people)), key=lambda n: (clip.paths[n](0) or (0,))[0])
    cast, found = seen(clip, networks, [f"left {n}" for n in range(len(people))])
    assert_no_swap(found, by_place)
    for number, frames, member in zip(by_place, found, cast.members, strict=True):
        assert len(frames) >= least[number]
        assert not member.doubtful[sorted(frames)].any()


@pytest.mark.thorough
@pytest.mark.slow
def test_four_speak_in_full_hd(networks: MeshNetworks, heads: tuple[Head, ...]) -> None:
    paths = [
        walk((300, 500, 220), (380, 520, 230), 0, 12),
        still(800, 420, 180),
        walk((1300, 500, 240), (1240, 480, 220), 0, 12),
        still(1680, 600, 120),
    ]
    clip = PeopleClip(heads, paths, 12, size=(1920, 1080))
    cast, found = seen(clip, networks, ["left 0", "left 1", "left 2", "left 3"])
    assert found == [dict.fromkeys(range(12), who) for who in range(4)]
    assert not any(member.doubtful.any() for member in cast.members)


@pytest.mark.slow
def test_only_those_who_speak_are_looked_at_in_every_frame(
    networks: MeshNetworks, heads: tuple[Head, ...]
) -> None:
    paths = [still(90 + 150 * n, 180, 90) for n in range(4)]
    few = find_cast(PeopleClip(heads[:1], paths[:1], 24).avatar(), [parse_wish("0")], 24, networks)
    many = find_cast(PeopleClip(heads, paths, 24).avatar(), [parse_wish("left 0")], 24, networks)
    assert (few.detections, many.detections) == (24, 24)
    assert many.looks == few.looks + 3 < 12


@pytest.mark.slow
def test_what_means_no_face_is_one_sentence(
    networks: MeshNetworks, heads: tuple[Head, ...], tmp_path: Path
) -> None:
    clip = PeopleClip(heads[:2], [still(160, 180, 110), still(480, 180, 90)], 3)

    def refusal(*faces: str) -> str:
        with pytest.raises(MediaError) as error:
            find_cast(clip.avatar(), [parse_wish(face) for face in faces], 3, networks)
        return str(error.value)

    assert refusal("0", "1", "2") == (
        "Expected a face for each of 3 speakers, found at most 2 in one frame: give fewer "
        "speakers, or track files (.json) of faces that are hard to find."
    )
    assert refusal("320,20").startswith(
        "There is no face at the point 320,20 in frame 0 of the avatar; there are some at "
    )
    assert refusal("left 1", "1") == (
        "Expected a face of its own for each speaker, but 'left 1' and '1' are the same one: "
        "choose another face for one of them."
    )
    track = tmp_path / "track.json"
    box = [104, 122, 216, 240]
    track.write_text(f'{{"width": 640, "height": 360, "frames": [{box}, null, {box}]}}')
    _, found = seen(clip, networks, [str(track), "1"])
    assert found == [{0: 0, 2: 0}, {0: 1, 1: 1, 2: 1}]
    assert "are the same one" in refusal(str(track), "0")
    other = tmp_path / "other.json"  # of the same face, though not in the first frame
    other.write_text(f'{{"width": 640, "height": 360, "frames": [null, {box}, {box}]}}')
    assert "are the same one" in refusal(str(track), str(other))
    assert "are the same one" in refusal("left 0", str(other))
    cast = find_cast(clip.avatar(), [parse_wish(str(other)), FaceWish(is_open=True)], 3, networks)
    assert cast.members[1].box(0) == pytest.approx(Box(435, 135, 525, 225), abs=25)


@pytest.mark.slow
def test_cancel_comes_between_looks(networks: MeshNetworks, heads: tuple[Head, ...]) -> None:
    asked: list[int] = []

    def check() -> None:
        asked.append(1)
        if len(asked) == 5:
            raise Cancelled

    clip = PeopleClip(heads[:1], [still(160, 180, 110)], 9)
    with pytest.raises(Cancelled):
        find_cast(clip.avatar(), [parse_wish("")], 9, networks, check=check)
    assert len(asked) == 5


def test_a_face_over_the_mouth_is_told_from_one_beside() -> None:
    face = Box(100, 100, 200, 200)
    assert covers_mouth([Box(150, 160, 260, 260)], face)
    assert not covers_mouth([Box(195, 100, 300, 200)], face)  # cheek to cheek
    assert not covers_mouth([Box(100, 0, 200, 140)], face)  # over the forehead
    assert not covers_mouth([], face)
