"""A row's key holds the model files that its mode would use, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from avatarvideo.batch import model_files
from avatarvideo.batch.content import Hashes, key_of
from avatarvideo.batch.model_files import ModelFiles, used_by
from avatarvideo.batch.rows import Task
from avatarvideo.musetalk.weights.catalogue import CATALOGUE, converted_path, networks_for
from avatarvideo.musetalk.weights.search import Caches


def write_models(root: Path, text: str = "weights") -> None:
    """Write what a converted file of each network of MuseTalk 1.5 would be."""
    for network in networks_for("v1.5"):
        path = converted_path(network.role, "v1.5", "half", root)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text} of {network.role}")


def keys(tmp_path: Path, **modes: str) -> dict[str, str]:
    hashes = Hashes(tmp_path / "hashes", tmp_path, models=ModelFiles([tmp_path / "m"], Caches()))
    return {
        name: key_of(Task(1, "a.mp4", (), options={"mode": mode}), hashes)[0]
        for name, mode in {"musetalk": "musetalk", "puppet": "puppet", "auto": "auto"}.items()
    }


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


def test_another_checkpoint_is_another_key_where_it_would_be_used(tmp_path: Path) -> None:
    bare = keys(tmp_path)
    write_models(tmp_path / "m")
    first = keys(tmp_path)
    assert changed(bare, first) == {"musetalk", "auto"}
    write_models(tmp_path / "m")
    assert keys(tmp_path) == first
    unet = converted_path("unet", "v1.5", "half", tmp_path / "m")
    unet.write_text("others of unet")
    assert changed(first, keys(tmp_path)) == {"musetalk", "auto"}
    unet.unlink()
    assert keys(tmp_path) == bare  # MuseTalk is not whole


def test_the_mesh_counts_where_faces_are_found(tmp_path: Path) -> None:
    bare = keys(tmp_path)
    mesh = tmp_path / "m" / "musetalk" / "face_landmarker.task"
    mesh.parent.mkdir(parents=True)
    with mesh.open("wb") as file:
        file.truncate(CATALOGUE["face mesh"].files[0].size)
    assert changed(bare, keys(tmp_path)) == {"musetalk", "puppet", "auto"}


def test_what_a_row_would_use() -> None:
    assert used_by(Task(1, "a", (), options={"mode": "static"})) == ((), False)
    assert used_by(Task(1, "a", (), options={"mode": "static"}, limits="offset=1")) == ((), True)
    assert used_by(Task(1, "a", (), options={"mode": "auto", "model": "v1.0"})) == (("v1.0",), True)
    assert used_by(Task(1, "a", (), workflow="w")) == (("v1.5", "v1.0"), True)


def test_a_look_holds_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_models(tmp_path / "m")
    models = ModelFiles([tmp_path / "m"], Caches())
    read: list[str] = []

    def digest_of(path: str) -> str:
        read.append(path)
        return path

    models.digests(Task(1, "a", ()), digest_of)
    once = len(read)
    assert set(read) == {str(path) for path in (tmp_path / "m").rglob("*.safetensors")}
    models.digests(Task(2, "b", ()), digest_of)
    assert len(read) == once
    monkeypatch.setattr(model_files, "LOOK_SECONDS", -1.0)
    models.digests(Task(3, "c", ()), digest_of)
    assert len(read) == 2 * once
