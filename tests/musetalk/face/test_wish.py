"""Which face is meant: words, points, and files of boxes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from avatarvideo.errors import MediaError
from avatarvideo.media import Box
from avatarvideo.musetalk.face.wish import FaceWish, chosen_box, parse_point, parse_wish, read_track

BOXES = [Box(300, 0, 400, 100), Box(0, 0, 60, 60), Box(100, 0, 180, 80)]


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("", 0),
        ("largest", 0),
        ("1", 2),
        ("2", 1),
        ("left 0", 1),
        ("LEFT2", 0),
        ("140,40", 2),
        ("30; 30.5", 1),
        ("3", None),
        ("left 3", None),
        ("240,40", None),  # more than three quarters of a face from every middle
    ],
)
def test_words_and_points_mean_a_face(text: str, box: int | None) -> None:
    assert chosen_box(parse_wish(text), BOXES) == box


def test_a_clicked_point_is_read() -> None:
    assert parse_point(" 140.5, 40 ") == (140.5, 40)
    assert parse_point(" ") is None
    with pytest.raises(MediaError, match=r"^Expected face at as a point x,y, got 'left"):
        parse_point("left 0")


def test_an_empty_text_is_the_next_by_size() -> None:
    assert chosen_box(parse_wish("", index=1), BOXES) == 2
    assert parse_wish(" track.JSON ") == FaceWish("track.JSON", track=Path("track.JSON"))


@pytest.mark.parametrize("text", ["right", "-1", "100", "left", "1,", "1,2,3", "nan,1", "a.txt"])
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(MediaError) as error:
        parse_wish(text)
    assert str(error.value) == (
        "Expected face to be largest, a number (0 is the largest), left N (left 0 is the "
        f"leftmost), a point x,y, or a track file (.json), got {text!r}."
    )


def track(folder: Path, values: object) -> Path:
    path = folder / "a track.json"
    path.write_text(values if isinstance(values, str) else json.dumps(values))
    return path


def test_a_track_has_a_box_or_none_for_every_frame(tmp_path: Path) -> None:
    frames = [[1, 2, 3.5, 4], None, [0, 0, 8, 8], [5, 5, 6, 6]]
    path = track(tmp_path, {"width": 8, "height": 6, "frames": frames})
    boxes = read_track(path, size=(8, 6), count=3)
    assert np.array_equal(boxes, [[1, 2, 3.5, 4], [np.nan] * 4, [0, 0, 8, 8]], equal_nan=True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"width": 8, "height": 6, "frames": [None]},
            "Expected a box, or null, for each of the avatar's 2 frames that are shown in "
            "'a track.json', got 1: make the track for the whole avatar.",
        ),
        (
            {"width": 9, "height": 6, "frames": [None, None]},
            "Expected boxes for the avatar's size 8x6 in 'a track.json', got 9x6: make the track "
            "from this avatar.",
        ),
        ("{", "Expected JSON in the track file"),
        ("[" * 200 + "]" * 200, "Expected JSON in the track file"),
        ([1], 'Expected an object with a list of "frames" in the track file'),
        ({"width": 8, "height": 6}, 'Expected an object with a list of "frames"'),
        ({"width": 8, "frames": [None]}, 'Expected "width" and "height" in the track file'),
        (
            {"width": 8, "height": 6, "frames": [None, [1, 1, 1, 2]]},
            "Expected [x0, y0, x1, y1] or null as frame 1 in the track file",
        ),
        (
            {"width": 8, "height": 6, "frames": [[0, 0, True, 2], None]},
            "Expected [x0, y0, x1, y1] or null as frame 0",
        ),
        (
            '{"width": 8, "height": 6, "frames": [[0, 0, NaN, 2], null]}',
            "Expected [x0, y0, x1, y1] or null as frame 0",
        ),
        (
            {"width": 8, "height": 6, "frames": [[90, 0, 99, 2], None]},
            "Expected the middle of its box inside the picture in frame 0",
        ),
    ],
)
def test_a_bad_track_is_one_sentence(tmp_path: Path, values: object, message: str) -> None:
    with pytest.raises(MediaError) as error:
        read_track(track(tmp_path, values), size=(8, 6), count=2)
    assert str(error.value).startswith(message)


def test_a_track_that_is_not_there_or_too_large_is_said(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"Expected a track file at .*, found none"):
        read_track(tmp_path / "none.json", size=(8, 6), count=2)
    large = tmp_path / "large.json"
    with large.open("wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(MediaError, match="Expected a track file of at most 64 MiB"):
        read_track(large, size=(8, 6), count=2)
