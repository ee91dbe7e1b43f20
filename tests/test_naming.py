"""Output names: filled, cleaned, counted, kept inside their folder."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from avatarvideo.errors import EncodeError
from avatarvideo.naming import output_file

NOW = datetime(2026, 3, 4, 5, 6, 7)


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
    ],
)
def test_templates_are_filled_and_cleaned(tmp_path: Path, template: str, expected: str) -> None:
    path = output_file(tmp_path, template, "mp4", values={"width": 640, "height": 480}, now=NOW)
    assert path == tmp_path / expected


def test_the_counter_follows_the_highest_number_of_any_extension(tmp_path: Path) -> None:
    (tmp_path / "avatar_00007.mkv").touch()
    (tmp_path / "avatar_extra_00050.mp4").touch()
    assert output_file(tmp_path, "avatar", "mp4").name == "avatar_00008.mp4"


def test_overwriting_uses_the_plain_name(tmp_path: Path) -> None:
    assert output_file(tmp_path, "avatar", "mp4", overwrite=True).name == "avatar.mp4"


@pytest.mark.parametrize("template", ["../x", "/etc/x", "a/../../x", "", "  ", "..\\x"])
def test_names_outside_the_folder_are_refused(tmp_path: Path, template: str) -> None:
    with pytest.raises(EncodeError, match="inside"):
        output_file(tmp_path, template, "mp4")


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    inside = tmp_path / "out"
    inside.mkdir()
    (inside / "link").symlink_to(tmp_path)
    with pytest.raises(EncodeError, match="inside"):
        output_file(inside, "link/x", "mp4")


def test_a_very_long_name_is_cut(tmp_path: Path) -> None:
    path = output_file(tmp_path, "é" * 400, "mp4")
    assert len(path.name.encode()) < 255
