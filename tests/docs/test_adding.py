"""The worked examples of docs/ADDING.md work as they stand on the page."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from avatarvideo.encoders.read.probe import probe
from support.worked_examples import PAGE, Copy, Step, steps_of

TITLES = ("An engine", "A codec", "A node", "A face finder")
pytestmark = pytest.mark.skipif(
    sys.platform == "win32" or shutil.which("bash") is None, reason="the page's commands are bash's"
)


def in_the_package(steps: list[Step]) -> list[str]:
    return [
        f"{step.kind} {step.path}"
        for step in steps
        if step.path.startswith(("musetalk/", "encoders/", "nodes/"))
    ]


def added_lines(steps: list[Step], path: str) -> int:
    texts = [step.text for step in steps if step.path == path]
    return sum(line.startswith("+") for text in texts for line in text.splitlines())


def test_the_page_marks_every_example() -> None:
    for title in TITLES:
        kinds = {step.kind for step in steps_of(title)}
        assert kinds >= {"change", "run", "printed"}, title
    marks = PAGE.read_text(encoding="utf-8").count("<!-- ")
    assert marks == sum(len(steps_of(title)) for title in TITLES)


@pytest.mark.slow
def test_the_places_that_the_page_changes_are_there(tmp_path: Path) -> None:
    for title in TITLES:
        copy = Copy(tmp_path / title)
        for step in steps_of(title):
            if step.kind in ("new", "change"):
                copy.write(step)


def test_an_engine_is_one_file_and_one_row() -> None:
    steps = steps_of("An engine")
    assert in_the_package(steps) == [
        "new musetalk/modes/nod.py",
        "change musetalk/modes/__init__.py",
    ]
    assert added_lines(steps, "musetalk/modes/__init__.py") == 1


@pytest.mark.slow
def test_an_engine(tmp_path: Path) -> None:
    copy = Copy(tmp_path)
    copy.follow(steps_of("An engine"))
    made = probe(copy.root / "nod.mp4")
    assert (made.frame_count, made.width, made.height) == (10, 768, 768)
    defs = json.loads((copy.root / "locales" / "en" / "nodeDefs.json").read_text())
    explained = defs["MuseTalkLipSync"]["inputs"]["mode"]["tooltip"]
    assert "; nod nods with the speech; " in explained
    assert "nod" in copy.run("avatar", "video", "lipsync", "--help").stdout


@pytest.mark.slow
def test_a_codec(tmp_path: Path) -> None:
    steps = steps_of("A codec")
    assert in_the_package(steps) == ["change encoders/write/codecs.py"]
    copy = Copy(tmp_path)
    copy.follow(steps)
    refused = copy.run(
        *("avatar", "video", "encode", "web/samples/talking_head.mp4", "-o", "small.mov"),
        *("--codec", "dnxhr", "--width", "64"),
    )
    assert "Expected pictures of at least 256x256 for dnxhr" in refused.stdout
    assert not (copy.root / "small.mov").exists()


@pytest.mark.slow
def test_a_node(tmp_path: Path) -> None:
    Copy(tmp_path).follow(steps_of("A node"))


@pytest.mark.slow
def test_a_face_finder(tmp_path: Path) -> None:
    steps = steps_of("A face finder")
    assert in_the_package(steps) == ["change musetalk/face/finder.py"]
    copy = Copy(tmp_path)
    copy.follow(steps)
    assert probe(copy.root / "marked.mp4").frame_count == 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("title", "forgotten", "red"),
    [
        (
            "An engine",
            "tests/released_widgets.json",
            "tests/test_widget_order.py::test_the_entry_of_this_version_is_complete",
        ),
        (
            "A node",
            "locales/zh/nodeDefs.json",
            "tests/test_locales.py::test_every_language_has_every_text[zh]",
        ),
        (
            "A node",
            "web/docs/FrameCount/zh.md",
            "tests/test_locales.py::test_every_node_has_its_help_page[zh]",
        ),
    ],
)
def test_what_was_forgotten_is_red(tmp_path: Path, title: str, forgotten: str, red: str) -> None:
    copy = Copy(tmp_path)
    steps = [step for step in steps_of(title) if step.kind in ("new", "change")]
    for step in steps:
        if step.path != forgotten:
            copy.write(step)
    made = copy.run("bash", "-c", "cd tests && python -m support.make_locale")
    assert made.returncode == 0, made.stdout
    done = copy.run("pytest", red.split("::")[0], "-m", "not slow")
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED ")]
    assert [line for line in failed if red in line], done.stdout
