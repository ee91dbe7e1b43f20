"""Finders are asked in their order; one search serves LoadAvatar, the puppet and MuseTalk."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatarvideo.errors import Cancelled
from avatarvideo.host.current import set_host
from avatarvideo.host.standalone import StandaloneHost
from avatarvideo.media import Avatar, FaceLocation, LipCorners
from avatarvideo.musetalk import LipSyncConfig, MuseTalkLipSync
from avatarvideo.musetalk.face.finder import (
    FINDERS,
    FaceFinder,
    GivenCorners,
    GivenMask,
    Sought,
    crop_finder,
    locate_face,
)
from avatarvideo.musetalk.face.landmarks import CropRules, LandmarkFinder
from avatarvideo.musetalk.lips.held_corners import average_lips
from avatarvideo.musetalk.weights.catalogue import Role
from avatarvideo.nodes.load_avatar import LoadAvatar
from avatarvideo.nodes.tensors import mask_tensor
from support import tiny_models

PICTURE = np.full((100, 120, 3), 128, np.uint8)
MOUTH = LipCorners(40, 60, 70, 62)


class Toy(FaceFinder):
    """Answers always alike and notes each search."""

    def __init__(self, answer: FaceLocation | None, name: str = "toy") -> None:
        self.answer = answer
        self.searches: list[Sought] = []
        self._name = name

    def locate(self, frame: np.ndarray, sought: Sought) -> FaceLocation | None:
        self.searches.append(sought)
        return self.answer

    def states(self, roles: Collection[str]) -> dict[str, str]:
        return {self._name: f"asked {len(self.searches)} times"}


def seen(method: str) -> FaceLocation:
    return FaceLocation(None, average_lips(MOUTH), 0.7, method, f"{method} saw it")


def refused(reason: str) -> FaceLocation:
    return FaceLocation(None, None, 0.0, "none", reason)


def test_the_one_order() -> None:
    assert [type(finder).__name__ for finder in FINDERS] == [
        "GivenCorners",
        "ReferenceNetworks",
        "OwnMesh",
        "MediapipeMesh",
        "LipTemplate",
        "GivenMask",
    ]


def test_the_first_finder_that_sees_lips_is_taken() -> None:
    toys = [Toy(None), Toy(refused("too dark")), Toy(seen("third")), Toy(seen("fourth"))]
    assert locate_face(PICTURE, face_index=2, finders=toys) is toys[2].answer
    assert [len(toy.searches) for toy in toys] == [1, 1, 1, 0]
    assert toys[0].searches[0].face_index == 2


def test_the_last_reason_is_told_where_nobody_sees_lips() -> None:
    toys = [Toy(refused("too dark")), Toy(refused("too small")), Toy(None)]
    assert locate_face(PICTURE, finders=toys).reason == "too small"
    assert locate_face(PICTURE, finders=toys[2:]).method == "none"


def test_given_corners_go_before_and_a_mask_behind_what_is_found() -> None:
    mask = np.zeros(PICTURE.shape[:2], np.float32)
    mask[50:61, 30:81] = 1
    sight, nothing = Toy(seen("toy")), Toy(refused("too dark"))
    order = [GivenCorners(), sight, GivenMask()]
    assert locate_face(PICTURE, corners=MOUTH, mask=mask, finders=order).method == "user"
    assert not sight.searches
    assert locate_face(PICTURE, mask=mask, finders=order).method == "toy"
    drawn = locate_face(PICTURE, mask=mask, finders=[GivenCorners(), nothing, GivenMask()])
    assert drawn.lips is not None
    assert drawn.lips.corners == LipCorners(30, 55, 80, 55)
    empty = locate_face(PICTURE, mask=0 * mask, finders=[nothing, GivenMask()])
    assert empty.reason == "too dark"


def test_a_cancel_is_heard_before_the_next_finder() -> None:
    toys = [Toy(None), Toy(seen("toy"))]

    def check() -> None:
        if toys[0].searches:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        locate_face(PICTURE, check=check, finders=toys)
    assert not toys[1].searches


def test_the_networks_find_the_crop_where_they_are_loaded() -> None:
    networks: dict[Role, Any] = {
        "s3fd": tiny_models.planted_s3fd(),
        "rtmpose": tiny_models.planted_rtmpose(),
    }
    assert isinstance(crop_finder(networks, CropRules()), LandmarkFinder)
    assert crop_finder({}, CropRules()) is None

    class Quick(Toy):
        def follow(self, networks: Any, rules: CropRules) -> Any:
            return self

    quick = Quick(None)
    assert crop_finder(networks, CropRules(), [Toy(None), quick, *FINDERS]) is quick


@pytest.fixture
def toy() -> Iterator[Toy]:
    """A row of its own, asked first."""
    finder = Toy(FaceLocation(None, average_lips(LipCorners(352, 437, 441, 440)), 0.7, "toy", "so"))
    FINDERS.insert(0, finder)
    yield finder
    FINDERS.remove(finder)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[StandaloneHost]:
    standalone = StandaloneHost(
        input_directory=tmp_path, output_directory=tmp_path, temp_directory=tmp_path
    )
    set_host(standalone)
    yield standalone
    set_host(None)


def load(**options: Any) -> Avatar:
    given = {"avatar": "samples/portrait.png", "mouth": "", "face_index": 0}
    return LoadAvatar().load(**{**given, **options})["result"][0]


def face_of(node_answer: dict[str, Any]) -> dict[str, Any]:
    return json.loads(node_answer["result"][3])["face"]


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize("mode", ["puppet", "static", "auto"])
def test_the_face_that_load_avatar_shows_is_used_without_another_search(
    toy: Toy, clips: Any, mode: str
) -> None:
    from avatarvideo.nodes.lip_sync import MuseTalkLipSync as Node

    avatar = load()
    assert avatar.face is toy.answer
    node = Node()
    options = {"mode": mode, "max_duration": 10.0, "images_output": "never"}
    mel = clips.job(avatar, seconds=0.2).mel
    assert face_of(node.speak(avatar, mel, **options))["method"] == "toy"
    mask = np.ones((avatar.height, avatar.width), np.float32)
    assert face_of(node.speak(avatar, mel, mask_tensor(mask), **options))["method"] == "toy"
    assert len(toy.searches) == 1


@pytest.mark.usefixtures("host")
def test_a_face_that_somebody_else_asks_for_is_searched_anew(toy: Toy, clips: Any) -> None:
    avatar = load()
    mel = clips.job(avatar, seconds=0.2).mel
    engine = MuseTalkLipSync(host=clips.host)
    engine.run(avatar, mel, LipSyncConfig(mode="puppet", face_index=1))
    assert [sought.face_index for sought in toy.searches] == [0, 1]
    engine.run(avatar, mel, LipSyncConfig(mode="puppet", mouth=LipCorners(350, 436, 440, 440)))
    assert toy.searches[2].corners == (350, 436, 440, 440)
    unseen = replace(avatar, face=refused("too dark"))
    mask = np.ones((avatar.height, avatar.width), np.float32)
    engine.run(unseen, mel, LipSyncConfig(mode="puppet"), mask=mask)
    assert toy.searches[3].mask is mask
    assert len(toy.searches) == 4


@pytest.mark.slow
def test_musetalk_without_face_networks_takes_the_face_that_is_known(toy: Toy, clips: Any) -> None:
    models = clips.tiny.tiny_models()
    models.s3fd = models.rtmpose = None
    avatar = clips.avatar(clips.frames("."))
    known = clips.speak(clips.job(replace(avatar, face=seen("known"))), models)
    assert (known.report["face_method"], known.report["source_frames_with_face"]) == ("known", 1)
    assert not toy.searches
    toy.answer = seen("toy")
    searched = clips.speak(clips.job(clips.avatar(clips.frames("."))), models)
    assert searched.report["face_method"] == "toy"
    assert len(toy.searches) == 1


@pytest.mark.slow
def test_the_doctor_lists_each_row(toy: Toy, host: StandaloneHost) -> None:
    from avatarvideo.cli.doctor import facts

    rows = [name for name, _ in facts(host) if name.startswith("locator: ")]
    kinds = ["toy", "face networks", "face mesh", "mediapipe", "OpenCV cascade", "own search"]
    assert rows == [f"locator: {kind}" for kind in kinds]
    assert dict(facts(host))["locator: toy"] == "asked 0 times"
