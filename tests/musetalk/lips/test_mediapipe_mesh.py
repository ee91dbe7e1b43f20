"""An installed mediapipe is used when its models are there and passed over when not."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from avatarvideo.musetalk.face.finder import locate_face
from avatarvideo.musetalk.lips.mediapipe_mesh import find_faces
from avatarvideo.musetalk.lips.mesh_shape import BORDERS

PICTURE = np.full((100, 200, 3), 128, np.uint8)


def install(monkeypatch: pytest.MonkeyPatch, module: ModuleType | None) -> None:
    monkeypatch.setitem(sys.modules, "mediapipe", module)


def mesh_module(faces: list[list[SimpleNamespace]]) -> ModuleType:
    """A stand-in for the library, with the parts of its interface that we use."""

    class FaceMesh:
        def __init__(self, **_: object) -> None: ...
        def __enter__(self) -> FaceMesh:
            return self

        def __exit__(self, *_: object) -> None: ...
        def process(self, picture: np.ndarray) -> SimpleNamespace:
            assert picture.dtype == np.uint8
            landmarks = [SimpleNamespace(landmark=face) for face in faces]
            return SimpleNamespace(multi_face_landmarks=landmarks or None)

    module = ModuleType("mediapipe")
    module.solutions = SimpleNamespace(face_mesh=SimpleNamespace(FaceMesh=FaceMesh))  # type: ignore[attr-defined]
    return module


def mesh(*, x0: float, x1: float, y: float, gap: float) -> list[SimpleNamespace]:
    """468 points, the mouth drawn as four arcs; all in shares of the picture."""
    points = [SimpleNamespace(x=(x0 + x1) / 2, y=y - 0.3) for _ in range(468)]
    for border, height in zip(BORDERS, (-0.1, 0.0, gap, gap + 0.1), strict=True):
        for index, along in zip(border, np.linspace(0, 1, len(border)), strict=True):
            bow = height * 4 * along * (1 - along)
            points[index] = SimpleNamespace(x=x0 + along * (x1 - x0), y=y + bow)
    return points


@pytest.mark.parametrize("module", [None, ModuleType("mediapipe")])
def test_missing_or_bare_mediapipe_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType | None
) -> None:
    install(monkeypatch, module)
    assert find_faces(PICTURE) == []
    assert locate_face(PICTURE).method == "none"


def test_mesh_that_finds_nothing_gives_no_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, mesh_module([]))
    assert find_faces(PICTURE) == []


def test_lips_come_from_the_mesh_in_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, mesh_module([mesh(x0=0.4, x1=0.6, y=0.6, gap=0.0)]))
    location = locate_face(PICTURE)
    assert location.method == "mediapipe"
    assert location.lips is not None
    assert location.lips.corners == pytest.approx((80, 60, 120, 60), abs=1e-3)
    assert location.lips.curves[:, 16] == pytest.approx([-0.25, 0, 0, 0.25], abs=1e-3)
    assert not location.lips.parted


def test_open_mouth_is_parted_and_the_largest_face_comes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small, large = mesh(x0=0.1, x1=0.2, y=0.5, gap=0.0), mesh(x0=0.4, x1=0.8, y=0.5, gap=0.1)
    install(monkeypatch, mesh_module([small, large]))
    first, second = (locate_face(PICTURE, face_index=index) for index in (0, 1))
    assert first.lips is not None
    assert first.lips.parted
    assert second.lips is not None
    assert second.lips.corners.x0 == pytest.approx(20)
