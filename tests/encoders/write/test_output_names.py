"""Output names: filled, cleaned, counted, kept inside their folder."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from avatarvideo.encoders.write.output_names import reserved_file
from avatarvideo.errors import EncodeError

VALUES = {"width": 640, "height": 480, "name": "my clip"}
NOW = datetime(2026, 3, 4, 5, 6, 7)


def output_file(*arguments: Any, **options: Any) -> Path:
    with reserved_file(*arguments, **options) as path:
        return path


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("avatar", "avatar_00001.mp4"),
        ("day/%date:yyyy-MM-dd%_x", "day/2026-03-04_x_00001.mp4"),
        ("%year%%month%_%width%x%height%", "202603_640x480_00001.mp4"),
        ("a:b*c", "a_b_c_00001.mp4"),
        ("-rf", "_rf_00001.mp4"),
        ("100% sure", "100% sure_00001.mp4"),
        ("%unknown%", "%unknown%_00001.mp4"),
        ("Grüße 你好", "Grüße 你好_00001.mp4"),
        ("./x//y", "x/y_00001.mp4"),
        ("%name%/%counter%_take", "my clip/00001_take.mp4"),
    ],
)
def test_templates_are_filled_and_cleaned(tmp_path: Path, template: str, expected: str) -> None:
    path = output_file(tmp_path, template, "mp4", values=VALUES, now=NOW)
    assert path == tmp_path / expected


def test_half_a_character_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(EncodeError, match="Expected filename prefix in characters") as caught:
        output_file(tmp_path, "clip\ud800", "mp4")
    assert "'clip\\ud800'" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_the_counter_follows_the_highest_number_of_any_extension(tmp_path: Path) -> None:
    (tmp_path / "avatar_00007.mkv").touch()
    (tmp_path / "avatar_extra_00050.mp4").touch()
    assert output_file(tmp_path, "avatar", "mp4").name == "avatar_00008.mp4"
    (tmp_path / "avatar_00008").mkdir()  # a sequence of pictures
    assert output_file(tmp_path, "avatar", "png").name == "avatar_00009.png"


def test_overwriting_uses_the_plain_name(tmp_path: Path) -> None:
    assert output_file(tmp_path, "avatar", "mp4", overwrite=True).name == "avatar.mp4"


@pytest.mark.parametrize("template", ["../x", "/etc/x", "a/../../x", "..\\x"])
def test_names_outside_the_folder_are_refused(tmp_path: Path, template: str) -> None:
    with pytest.raises(EncodeError, match="inside"):
        output_file(tmp_path, template, "mp4")


@pytest.mark.parametrize("template", ["", "  ", "/", "./"])
def test_an_empty_name_is_asked_for(tmp_path: Path, template: str) -> None:
    with pytest.raises(EncodeError) as refused:
        output_file(tmp_path, template, "mp4", allowed=[tmp_path])
    assert str(refused.value) == (
        f"Expected a file name as filename prefix, got {template!r}: write one, such as avatar."
    )


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    inside = tmp_path / "out"
    inside.mkdir()
    (inside / "link").symlink_to(tmp_path)
    with pytest.raises(EncodeError, match="inside"):
        output_file(inside, "link/x", "mp4")


def test_a_very_long_name_is_cut(tmp_path: Path) -> None:
    path = output_file(tmp_path, "é" * 400, "mp4")
    assert len(path.name.encode()) < 255


def test_an_inputs_name_is_no_path(tmp_path: Path) -> None:
    path = output_file(tmp_path, "%name%", "mp4", values={"name": "../../etc/x"}, overwrite=True)
    assert path == tmp_path / ".._.._etc_x.mp4"


def test_absolute_names_are_honoured_in_allowed_folders_only(tmp_path: Path) -> None:
    out, drive = tmp_path / "out", tmp_path / "drive"
    drive.mkdir()
    (drive / "back").symlink_to(tmp_path)
    path = output_file(out, f"{drive}/day/x", "mp4", allowed=[drive])
    assert path == drive / "day" / "x_00001.mp4"
    for name in (tmp_path / "x", drive / "back" / "x", drive / ".." / "x", f"{drive}2/x"):
        with pytest.raises(EncodeError, match="let the administrator allow"):
            output_file(out, str(name), "mp4", allowed=[drive])


def test_a_number_is_given_to_one_run_at_a_time(tmp_path: Path) -> None:
    with reserved_file(tmp_path, "a", "mp4") as first, reserved_file(tmp_path, "a", "mp4") as other:
        assert (first.name, other.name) == ("a_00001.mp4", "a_00002.mp4")
        other.touch()
    assert [entry.name for entry in tmp_path.iterdir()] == ["a_00002.mp4"]


def test_runs_at_once_get_different_numbers(tmp_path: Path) -> None:
    def take(_: int) -> str:
        with reserved_file(tmp_path, "a", "mp4") as path:
            path.touch(exist_ok=False)
            return path.name

    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(take, range(40)))

    assert len(set(names)) == 40
    assert sorted(names) == sorted(entry.name for entry in tmp_path.iterdir())


def test_a_failed_run_frees_its_number(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="x"), reserved_file(tmp_path, "a", "mp4"):
        raise ValueError("x")
    assert list(tmp_path.iterdir()) == []
