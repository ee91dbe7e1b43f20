"""Faces found by the real face mesh: in photographs and paintings, small, several, turned, none."""

from __future__ import annotations

import importlib
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarvideo.errors import Cancelled, NoFaceError
from avatarvideo.host.current import set_host
from avatarvideo.host.environment import MODELS_VARIABLE
from avatarvideo.host.standalone import StandaloneHost
from avatarvideo.media import Box, FaceLocation, LipCorners
from avatarvideo.musetalk import LipSyncConfig
from avatarvideo.musetalk import MuseTalkLipSync as Engine
from avatarvideo.musetalk.face.finder import locate_again, locate_face
from avatarvideo.musetalk.face.mesh_networks import Detection, FaceMesh, mesh_networks, overlap
from avatarvideo.musetalk.face.mesh_search import LEAST_PART, _levels, find_meshes
from avatarvideo.musetalk.face.overlay import draw_overlay
from avatarvideo.musetalk.inputs import load_avatar
from avatarvideo.musetalk.lips.frame import FaceFrame
from avatarvideo.nodes.lip_sync import MuseTalkLipSync
from avatarvideo.nodes.load_avatar import LoadAvatar

SAMPLES = Path(__file__).resolve().parents[3] / "web" / "samples"
# Lip corners read off enlarged crops by eye: x0, y0, x1, y1 in pixels.
MARKED = {
    "portrait_bouguereau.jpg": LipCorners(334.0, 307.5, 374.0, 308.5),
    "portrait_sargent_agnew_1892.jpg": LipCorners(305.5, 160.5, 332.0, 161.0),
    "portrait_sargent_chanler_1893.jpg": LipCorners(265.0, 217.0, 295.5, 220.5),
}
ASTRONAUT = LipCorners(203.5, 140.3, 242.6, 142.4)  # smiling, refused by the template


def skimage_picture(name: str) -> np.ndarray:
    """A photograph that ships inside scikit-image; in CI its absence is a failure."""
    if os.environ.get("CI"):
        data = importlib.import_module("skimage.data")
    else:
        data = pytest.importorskip("skimage.data")
    return getattr(data, name)()


def read_rgb(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path))
    assert picture is not None
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def error(found: FaceLocation, marked: LipCorners) -> float:
    """The larger distance of the two corners in mouth widths."""
    assert found.lips is not None, found.reason
    width = np.hypot(marked.x1 - marked.x0, marked.y1 - marked.y0)
    apart = np.subtract(found.lips.corners, marked)
    return float(max(np.hypot(*apart[:2]), np.hypot(*apart[2:])) / width)


def placed(marked: LipCorners, scale: float, x: float, y: float) -> LipCorners:
    return LipCorners(*(np.multiply(marked, scale) + np.array([x, y, x, y])))


def put(canvas: np.ndarray, picture: np.ndarray, scale: float, x: int, y: int) -> None:
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    canvas[y : y + small.shape[0], x : x + small.shape[1]] = small


def meadow(height: int, width: int, seed: int = 4) -> np.ndarray:
    """A large picture of nothing: soft spots of green."""
    spots = np.random.default_rng(seed).uniform(60, 160, (height // 30, width // 30))
    shade = cv2.resize(spots, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(shade[..., None] * (0.7, 1.0, 0.5), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", sorted(MARKED))
def test_painted_portraits_are_found(real_data: Path, mesh_models: Path, name: str) -> None:
    found = locate_face(read_rgb(real_data / name), model_folders=[mesh_models])
    assert found.method == "face mesh"
    assert found.points is not None
    assert found.points.shape == (478, 2)
    assert found.lips is not None
    np.testing.assert_allclose(found.points[[61, 291]].ravel(), found.lips.corners, atol=1e-3)
    assert error(found, MARKED[name]) < 0.15
    assert found.confidence > 0.9


@pytest.mark.parametrize("name", [*sorted(MARKED), "portrait.png"])
def test_the_detector_sees_one_face_and_its_eyes(
    real_data: Path, mesh_models: Path, name: str
) -> None:
    picture = read_rgb((real_data if name in MARKED else SAMPLES) / name)
    networks = mesh_networks([mesh_models])
    assert networks is not None
    (seen,) = networks.detect(picture)
    mesh = networks.look(picture, seen.square)
    assert mesh is not None
    eyes = (mesh.points[[33, 362]] + mesh.points[[133, 263]]) / 2
    apart = np.hypot(*(seen.eyes - eyes).T)
    assert apart.max() < 0.25 * np.hypot(*(eyes[1] - eyes[0]))


class Restless:
    """Networks that see a face, so sure, whose points jump by so much with every look."""

    def __init__(self, *jumps: float, confidence: float = 1.0) -> None:
        self.jumps, self.confidence = [*jumps, 0.0], confidence

    def detect(self, picture: np.ndarray) -> list[Detection]:
        return [Detection(0.9, Box(40, 40, 80, 80), np.array([[50.0, 55], [70, 55]]))]

    def look(self, picture: np.ndarray, square: FaceFrame) -> FaceMesh:
        points = np.random.default_rng(1).uniform(40, 80, (478, 2))
        points[[33, 263]] = ((45, 55), (75, 55))
        return FaceMesh(points + self.jumps.pop(0), self.confidence)


@pytest.mark.parametrize(
    ("jumps", "faces"),  # per axis; the outer eye corners are 30 pixels apart
    [((0, 0.3), 1), ((0, 1.5, 2.0), 1), ((0, 1.5, 3.0), 0), ((0, 2.5), 0)],
)
def test_points_that_do_not_settle_are_no_face(jumps: tuple[float, ...], faces: int) -> None:
    networks: Any = Restless(*jumps)
    picture = np.zeros((120, 120, 3), np.uint8)
    assert len(find_meshes(networks, picture)) == faces


@pytest.mark.parametrize("jumps", [(0, 0.3), (0, 1.5, 2.0)])
@pytest.mark.parametrize(("confidence", "faces"), [(0.91, 1), (0.89, 0)])
def test_what_is_hardly_a_face_is_none(
    jumps: tuple[float, ...], confidence: float, faces: int
) -> None:
    networks: Any = Restless(*jumps, confidence=confidence)
    assert len(find_meshes(networks, np.zeros((120, 120, 3), np.uint8))) == faces


@pytest.mark.slow
def test_soft_spots_that_look_a_little_like_a_face_are_none(mesh_models: Path) -> None:
    networks = mesh_networks([mesh_models])  # 0.6 sure of one, in a part of the picture
    assert networks is not None
    assert find_meshes(networks, meadow(1080, 1920, seed=1)) == []


@pytest.mark.slow
def test_a_smile_with_teeth_is_found_and_parted(mesh_models: Path) -> None:
    found = locate_face(skimage_picture("astronaut"), model_folders=[mesh_models])
    assert error(found, ASTRONAUT) < 0.15
    assert found.lips is not None
    assert found.lips.parted


def test_the_bundled_portrait_is_found(mesh_models: Path) -> None:
    found = locate_face(read_rgb(SAMPLES / "portrait.png"), model_folders=[mesh_models])
    assert error(found, LipCorners(352, 437, 441, 440)) < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["coffee", "chelsea", "rocket"])
def test_where_the_mesh_sees_no_face_nobody_else_is_asked(mesh_models: Path, name: str) -> None:
    found = locate_face(skimage_picture(name), model_folders=[mesh_models])
    assert (found.lips, found.box) == (None, None)
    assert found.reason == "no face was found in the picture"


def test_one_colour_has_no_face(mesh_models: Path) -> None:
    found = locate_face(np.full((300, 400, 3), 90, np.uint8), model_folders=[mesh_models])
    assert found.reason == "no face was found in the picture"


@pytest.mark.slow
@pytest.mark.parametrize(("x", "y", "scale"), [(30, 40, 0.35), (1500, 700, 0.4), (930, 420, 0.3)])
def test_a_small_face_in_a_large_picture_is_found_in_parts(
    mesh_models: Path, x: int, y: int, scale: float
) -> None:
    picture = skimage_picture("astronaut")
    canvas = meadow(1080, 1920)
    put(canvas, picture, scale, x, y)  # a face of 30 to 45 pixels, a fiftieth of the width
    found = locate_face(canvas, model_folders=[mesh_models])
    assert error(found, placed(ASTRONAUT, scale, x, y)) < 0.25


@pytest.mark.slow
def test_several_faces_go_by_size_and_by_place(real_data: Path, mesh_models: Path) -> None:
    canvas, name = meadow(720, 1440), "portrait_bouguereau.jpg"
    small = (skimage_picture("astronaut"), ASTRONAUT, 0.5, 20, 300)
    large = (read_rgb(real_data / name), MARKED[name], 0.9, 700, 30)
    for picture, _marked, scale, x, y in (small, large):
        put(canvas, picture, scale, x, y)
    marks = [placed(marked, scale, x, y) for _, marked, scale, x, y in (large, small)]
    for index, marked in enumerate(marks):
        found = locate_face(canvas, face_index=index, model_folders=[mesh_models])
        assert error(found, marked) < 0.15
        near = Box(marked.x0 - 9, marked.y0 - 9, marked.x1 + 9, marked.y1 + 9)
        assert error(locate_again(canvas, near, [mesh_models]), marked) < 0.15
    third = locate_face(canvas, face_index=2, model_folders=[mesh_models])
    assert third.reason == "face 2 was asked for and only 2 found (counting from zero)"


@pytest.mark.parametrize("degrees", [-30, 25])
def test_a_tilted_face_is_found(real_data: Path, mesh_models: Path, degrees: float) -> None:
    picture = read_rgb(real_data / "portrait_bouguereau.jpg")
    turn = cv2.getRotationMatrix2D((354, 280), degrees, 1.0)
    tilted = cv2.warpAffine(picture, turn, picture.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
    corners = np.reshape(MARKED["portrait_bouguereau.jpg"], (2, 2)) @ turn[:, :2].T + turn[:, 2]
    found = locate_face(tilted, model_folders=[mesh_models])
    assert error(found, LipCorners(*corners.ravel().tolist())) < 0.15


@pytest.mark.parametrize("change", ["mirrored", "dark", "grey", "large"])
def test_a_changed_portrait_is_found(real_data: Path, mesh_models: Path, change: str) -> None:
    picture = read_rgb(real_data / "portrait_bouguereau.jpg")
    marked = MARKED["portrait_bouguereau.jpg"]
    if change == "mirrored":
        picture, width = picture[:, ::-1], picture.shape[1]
        marked = LipCorners(width - marked.x1, marked.y1, width - marked.x0, marked.y0)
    elif change == "dark":
        picture = (picture * 0.4).astype(np.uint8)
    elif change == "grey":
        picture = np.repeat(picture.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    else:
        picture = cv2.resize(picture, None, fx=2.5, fy=2.5, interpolation=cv2.INTER_CUBIC)
        marked = placed(marked, 2.5, 0, 0)
    assert error(locate_face(picture, model_folders=[mesh_models]), marked) < 0.15


def test_given_corners_go_before_the_mesh(real_data: Path, mesh_models: Path) -> None:
    picture = read_rgb(real_data / "portrait_bouguereau.jpg")
    corners = LipCorners(330, 305, 380, 310)
    found = locate_face(picture, corners=corners, model_folders=[mesh_models])
    assert (found.method, found.lips and found.lips.corners) == ("user", corners)


def test_a_search_ends_where_its_check_says(mesh_models: Path) -> None:
    asked = 0

    def check() -> None:
        nonlocal asked
        asked += 1
        if asked == 9:  # six finders do not ask so often: this is a part of the picture
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        locate_face(meadow(700, 900), check=check, model_folders=[mesh_models])
    assert asked == 9


def test_without_the_file_a_refusal_says_how_to_get_it(tmp_path: Path) -> None:
    found = locate_face(np.full((120, 160, 3), 90, np.uint8), model_folders=[tmp_path])
    assert found.reason == (
        "no face was found in the picture; the face mesh finds more faces "
        "(its file is not installed: get it with `avatar models download face-mesh`)"
    )


def test_an_old_opencv_is_named(mesh_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cv2.dnn, "readNetFromTFLite")
    found = locate_face(np.full((120, 160, 3), 90, np.uint8), model_folders=[mesh_models])
    assert f"OpenCV 4.8 or newer is needed, this is {cv2.__version__}" in found.reason


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_parts_cover_the_picture_and_overlap(height: int, width: int) -> None:
    longer = max(height, width)
    for level in _levels(height, width, None, (1, 2, 4, 8)):
        side = max(max(part.width, part.height) for part in level)
        assert side == longer or side >= LEAST_PART
        columns = sorted({(part.x0, part.x1) for part in level})
        rows = sorted({(part.y0, part.y1) for part in level})
        assert len(level) == len(columns) * len(rows)
        for spans, length in ((columns, width), (rows, height)):
            assert (spans[0][0], spans[-1][1]) == (0, length)
            for one, other in itertools.pairwise(spans):
                assert other[0] - one[0] <= -(-side // 2)  # half of a part, or less


@pytest.fixture
def host(tmp_path: Path, mesh_models: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A host that has the mesh and no other model file; its input folder."""
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv(MODELS_VARIABLE, str(mesh_models))
    set_host(
        StandaloneHost(input_directory=tmp_path, output_directory=tmp_path, temp_directory=tmp_path)
    )
    yield tmp_path
    set_host(None)


@pytest.mark.slow
def test_what_load_avatar_shows_is_what_the_puppet_moves(host: Path, clips: Any) -> None:
    cv2.imwrite(str(host / "smile.png"), skimage_picture("astronaut")[..., ::-1])
    shown = LoadAvatar().load(avatar="smile.png", mouth="", face_index=0)
    avatar, (corners,) = shown["result"][0], shown["ui"]["avatar_lips"]
    assert shown["ui"]["text"][0].startswith("lips found by the face mesh, confidence ")
    assert error(avatar.face, ASTRONAUT) < 0.15
    mel = clips.job(avatar, seconds=0.2).mel
    spoken = MuseTalkLipSync().speak(avatar, mel, mode="auto", images_output="never")
    report = json.loads(spoken["result"][3])
    assert (report["mode"], report["face"]["method"]) == ("puppet", "face mesh")
    assert report["face"]["lip_corners"] == [round(edge, 1) for edge in corners]
    engine = Engine()
    picture = load_avatar(host / "smile.png")  # as the command line reads it
    run = engine.run(picture, mel, LipSyncConfig(mode="puppet"))
    assert run.report["face"] == report["face"]


@pytest.mark.slow
def test_a_number_without_a_face_is_told_to_be_another(host: Path, clips: Any) -> None:
    avatar = load_avatar(SAMPLES / "portrait.png")
    mel = clips.job(avatar, seconds=0.2).mel
    with pytest.raises(
        NoFaceError,
        match=r"^The puppet needs lips, but face 3 was asked for and only 1 found \(counting from "
        r"zero\): choose one that is there, or choose the mode static\.$",
    ):
        Engine().run(avatar, mel, LipSyncConfig(mode="puppet", face_index=3))


@pytest.mark.slow
def test_a_still_says_how_the_face_might_be_found(
    host: Path, clips: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "none"))
    avatar = clips.avatar([meadow(200, 300)])
    mel = clips.job(avatar, seconds=0.2).mel
    report = Engine().run(avatar, mel, LipSyncConfig()).report
    assert report["mode"] == "static"
    assert "get it with `avatar models download face-mesh`" in report["reason"]


def test_a_long_refusal_is_drawn_in_lines() -> None:
    picture = np.full((300, 400, 3), 200, np.uint8)
    dark = [
        draw_overlay(picture, FaceLocation(None, None, 0.0, "none", reason)).max(axis=2) < 100
        for reason in ("no face was found", "no face was found; the face mesh finds more faces")
    ]
    one, two = (int(rows.any(axis=1).sum()) for rows in dark)
    assert two == pytest.approx(2 * one, abs=4)


def test_overlap_is_the_common_share() -> None:
    box = Box(0, 0, 10, 10)
    assert overlap(box, box) == 1
    assert overlap(box, Box(5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert overlap(box, Box(20, 0, 30, 10)) == 0
