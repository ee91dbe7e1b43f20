"""Lists of jobs: what is read of each form, and what is said of a broken one."""

from __future__ import annotations

import unicodedata
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
    assert str(problems[1]).startswith(
        "Line 4: Expected a JSON object on one line, but it is broken at column 10: "
    )


def test_a_name_that_a_row_has_twice_is_refused(tmp_path: Path) -> None:
    text = (
        '{"output": "a.mp4", "set": {"A.b": 1}, "output": "b.mp4"}\n{"set": {"A.b": 1, "A.b": 2}}\n'
    )
    rows, problems = read_rows(written(tmp_path, "jobs.jsonl", text))
    assert rows == []
    assert [str(one) for one in problems] == [
        "Line 1: Expected a JSON object on one line, got 'output' twice.",
        "Line 2: Expected a JSON object on one line, got 'A.b' twice.",
    ]


@pytest.mark.parametrize("separator", [",", ";"])
def test_csv_cells_are_texts_and_empty_ones_are_not_given(tmp_path: Path, separator: str) -> None:
    text = "output,avatar,fps,LoadAvatar.avatar\na.mp4,x.png,,\n\nb.mp4,,25,y.png\n"
    rows, problems = read_rows(written(tmp_path, "j.csv", text.replace(",", separator)))
    assert problems == []
    assert [(row.line, dict(row.values), row.as_text) for row in rows] == [
        (2, {"output": "a.mp4", "avatar": "x.png"}, True),
        (4, {"output": "b.mp4", "fps": "25", "set": {"LoadAvatar.avatar": "y.png"}}, True),
    ]


def test_names_of_columns_are_read_as_people_write_them(tmp_path: Path) -> None:
    text = "Output,Max Duration,LoadAvatar.avatar\na.mp4,9,x.png\n"
    (row,), _ = read_rows(written(tmp_path, "j.csv", text))
    assert row.values == {
        "output": "a.mp4",
        "max_duration": "9",
        "set": {"LoadAvatar.avatar": "x.png"},
    }


def test_a_csv_row_with_too_many_cells_is_named(tmp_path: Path) -> None:
    rows, problems = read_rows(written(tmp_path, "j.csv", "output,audio\na.mp4,b.wav,c\nd.mp4,e\n"))
    assert [row.line for row in rows] == [3]
    assert [str(one) for one in problems] == [
        "Line 2: Expected 2 cells, got 3: quote those with the separator in them."
    ]


@pytest.mark.parametrize(
    "data",
    [
        "output;avatar;;\r\na.mp4;x.png;;\r\n;;;\r\n ; ;;\r\n".encode("utf-8-sig"),
        b"sep=;\r\noutput;avatar\r\na.mp4;x.png\r\n",
        "output\tavatar\r\na.mp4\tx.png\r\n".encode("utf-16"),
        b"\n,,\noutput,avatar\na.mp4,x.png\n",
        b"Output, AVATAR \na.mp4,x.png\n",
    ],
    ids=["empty columns", "sep line", "UTF-16 with tabs", "blank lines first", "capitals"],
)
def test_what_spreadsheets_write_is_read(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "j.csv").write_bytes(data)
    rows, problems = read_rows([tmp_path / "j.csv"])
    assert problems == []
    assert [dict(row.values) for row in rows] == [{"output": "a.mp4", "avatar": "x.png"}]


@pytest.mark.parametrize("broken", ['"b".mp4,x', '"b.mp4,x', "y" * 200_000 + ",x"])
def test_a_broken_csv_row_takes_no_other_with_it(tmp_path: Path, broken: str) -> None:
    text = f'output,avatar\n"a\n.mp4",x\n{broken}\nc.mp4,x\n\nd.mp4,x\n'
    rows, problems = read_rows(written(tmp_path, "j.csv", text))
    assert [(row.line, row.values["output"]) for row in rows] == [
        *((2, "a\n.mp4"), (5, "c.mp4"), (7, "d.mp4"))
    ]
    (problem,) = problems
    assert str(problem).startswith("Line 4: Expected CSV, but it is broken: ")


def test_a_cell_below_no_name_is_told(tmp_path: Path) -> None:
    _, problems = read_rows(written(tmp_path, "j.csv", "output,\na.mp4,30\n"))
    assert [str(one) for one in problems] == [
        "Line 2: Expected no cell in a column without a name."
    ]


def test_two_folders_are_every_avatar_with_every_speech(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    people, sounds = tmp_path / "people", tmp_path / "sounds"
    people.mkdir()
    sounds.mkdir()
    for name in ("anna.png", "bo.mp4", "Bo.jpg", "notes.txt", "._anna.png", ".x.png"):
        (people / name).touch()
    for name in ("1.wav", "2.flac"):
        (sounds / name).touch()
    rows, _ = read_rows([people, sounds])
    assert [row.values["output"] for row in rows] == [
        *("Bo.jpg/1.mp4", "Bo.jpg/2.mp4", "anna/1.mp4", "anna/2.mp4"),
        *("bo.mp4/1.mp4", "bo.mp4/2.mp4"),
    ]
    assert rows[2].values["avatar"] == str(people / "anna.png")
    assert caplog.messages == [
        f"{people}: left out, because they are not pictures or videos: notes.txt"
    ]


def test_no_file_of_a_folder_is_lost_to_another_ones_name(tmp_path: Path) -> None:
    people, sounds = tmp_path / "people", tmp_path / "sounds"
    people.mkdir()
    sounds.mkdir()
    names = {"a.png", "a.jpg", "a.png.webp", "a_png.bmp", "caf\u00e9.png", "cafe\u0301.jpg"}
    for name in names:
        (people / name).touch()
    (sounds / "1.wav").touch()
    rows, _ = read_rows([people, sounds])
    assert {Path(str(row.values["avatar"])).name for row in rows} == names
    outputs = {unicodedata.normalize("NFC", str(row.values["output"])) for row in rows}
    assert len(outputs) == len(names)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("jobs.txt", "x", r"Expected jobs as a \.jsonl or \.csv file, or a folder .* 'jobs.txt'"),
        ("jobs.jsonl", "\n", "Expected a job on each line of 'jobs.jsonl', but it has none"),
        ("jobs.csv", "avatar,audio\n1,2\n", "including output, got avatar, audio"),
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
    with pytest.raises(MediaError, match=r"Expected jobs in UTF-8, but 'jobs.csv' is not: save it"):
        read_rows([tmp_path / "jobs.csv"])


def test_a_folder_without_speech_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    with pytest.raises(MediaError, match=r"Expected a folder of speech, .* has none"):
        read_rows([tmp_path, tmp_path])
