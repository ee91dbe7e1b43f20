"""Lists of jobs: what is read of each form, and what is said of a broken one."""

from __future__ import annotations

from pathlib import Path

import pytest

from avatarvideo.batch.manifest import read_rows
from avatarvideo.errors import MediaError


def written(folder: Path, name: str, text: str) -> list[Path]:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return [path]


def test_json_lines_keep_their_numbers(tmp_path: Path) -> None:
    text = '\ufeff{"output": "a.mp4"}\n\n[1]\n{"output"\n{"output": "b.mp4", "fps": 25}\n'
    rows, problems = read_rows(written(tmp_path, "jobs.jsonl", text))
    assert [(row.line, dict(row.values)) for row in rows] == [
        (1, {"output": "a.mp4"}),
        (5, {"output": "b.mp4", "fps": 25}),
    ]
    assert [problem.line for problem in problems] == [3, 4]
    assert str(problems[0]) == "Line 3: Expected a JSON object, got a list."
    assert str(problems[1]).startswith("Line 4: Expected a JSON object, but it is broken: ")


@pytest.mark.parametrize("separator", [",", ";"])
def test_csv_cells_are_texts_and_empty_ones_are_not_given(tmp_path: Path, separator: str) -> None:
    text = "output,avatar,fps,LoadAvatar.avatar\na.mp4,x.png,,\n\nb.mp4,,25,y.png\n"
    rows, problems = read_rows(written(tmp_path, "j.csv", text.replace(",", separator)))
    assert problems == []
    assert [(row.line, dict(row.values), row.as_text) for row in rows] == [
        (2, {"output": "a.mp4", "avatar": "x.png"}, True),
        (4, {"output": "b.mp4", "fps": "25", "set": {"LoadAvatar.avatar": "y.png"}}, True),
    ]


def test_a_csv_row_with_too_many_cells_is_named(tmp_path: Path) -> None:
    rows, problems = read_rows(written(tmp_path, "j.csv", "output,audio\na.mp4,b.wav,c\nd.mp4,e\n"))
    assert [row.line for row in rows] == [3]
    assert [str(one) for one in problems] == [
        "Line 2: Expected 2 cells, got 3: quote those with a ',' in them."
    ]


def test_two_folders_are_every_avatar_with_every_speech(tmp_path: Path) -> None:
    people, sounds = tmp_path / "people", tmp_path / "sounds"
    people.mkdir()
    sounds.mkdir()
    for name in ("anna.png", "bo.mp4", "Bo.jpg", "notes.txt"):
        (people / name).touch()
    for name in ("1.wav", "2.flac"):
        (sounds / name).touch()
    rows, _ = read_rows([people, sounds])
    assert [row.values["output"] for row in rows] == [
        *("Bo_jpg/1.mp4", "Bo_jpg/2.mp4", "anna/1.mp4", "anna/2.mp4"),
        *("bo_mp4/1.mp4", "bo_mp4/2.mp4"),
    ]
    assert rows[2].values["avatar"] == str(people / "anna.png")


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("jobs.txt", "x", r"Expected jobs as a \.jsonl or \.csv file, or a folder .* 'jobs.txt'"),
        ("jobs.jsonl", "\n", "Expected a job on each line of 'jobs.jsonl', but it has none"),
        ("jobs.csv", "avatar,audio\n1,2\n", "among them output, got avatar, audio"),
        ("jobs.csv", "output,fps,fps\n1,2,3\n", "got 'fps' twice"),
    ],
)
def test_what_is_no_list_is_one_sentence(
    tmp_path: Path, name: str, text: str, sentence: str
) -> None:
    with pytest.raises(MediaError, match=sentence):
        read_rows(written(tmp_path, name, text))


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_bytes(b"output\n\xff\xfe\n")
    with pytest.raises(
        MediaError, match=r"Expected jobs in UTF-8, but 'jobs.csv' is something else"
    ):
        read_rows([tmp_path / "jobs.csv"])


def test_a_folder_without_speech_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    with pytest.raises(MediaError, match=r"Expected a folder of speech, .* has none"):
        read_rows([tmp_path, tmp_path])
