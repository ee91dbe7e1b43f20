"""The check of a list as a whole: every bad row has its sentence, good ones become tasks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from avatarvideo.batch.check import Checker
from avatarvideo.batch.files import BatchFolder
from avatarvideo.batch.ledger import Ledger
from avatarvideo.batch.rows import Problem, Row, Task
from avatarvideo.cli.lipsync_options import lipsync_options
from avatarvideo.host.current import set_host
from avatarvideo.host.standalone import StandaloneHost
from support.small_jobs import row, write_inputs

Check = Callable[..., tuple[list[Task], list[Problem]]]
WORKFLOW = Path(__file__).resolve().parents[2] / "workflows" / "talking_avatar.json"


@pytest.fixture
def check(tmp_path: Path) -> Iterator[Check]:
    """Check rows, numbered from 1, beside two avatars and three speeches."""
    write_inputs(tmp_path)
    set_host(StandaloneHost(input_directory=tmp_path))
    (tmp_path / "out").mkdir()

    def call(*rows: dict[str, Any], **more: Any) -> tuple[list[Task], list[Problem]]:
        options = lipsync_options()
        checker = Checker(
            Ledger(BatchFolder(tmp_path / "out")),
            tmp_path,
            lambda values, as_text: options.of_row(values, {}, as_text=as_text),
            **more,
        )
        return checker.tasks([Row(number, one) for number, one in enumerate(rows, 1)])

    yield call
    set_host(None)


def test_a_row_becomes_a_task(check: Check, tmp_path: Path) -> None:
    (task,), problems = check(row("anna/./hello.mp4", threads=3, bbox_shift=4), threads=2)
    assert problems == []
    assert (task.line, task.output, task.threads) == (1, "anna/hello.mp4", 3)
    assert task.inputs == (str(tmp_path / "avatar0.png"), str(tmp_path / "speech0.wav"))
    assert task.holds == task.avatar == task.inputs[0]
    assert (task.options["mode"], task.options["bbox_shift"]) == ("static", 4)
    assert task.options["quality"] == "low"


def test_files_of_speakers_and_models_are_inputs_too(check: Check, tmp_path: Path) -> None:
    for name in ("track.json", "2x.pth"):
        (tmp_path / name).write_text("{}")
    more = {
        "speakers": ["audio=speech1.wav,face=track.json", {"channel": 2}],
        "upscale_model": "2x.pth",
        "face": "left 0",
    }
    (task,), problems = check(row("a.mp4", **more))
    assert problems == []
    names = ("avatar0.png", "speech0.wav", "2x.pth", "speech1.wav", "track.json")
    assert task.inputs == tuple(str(tmp_path / name) for name in names)
    assert task.options["upscale_model"] == str(tmp_path / "2x.pth")
    first, second = task.options["speakers"]
    assert (first["audio"], first["face"]) == (task.inputs[3], task.inputs[4])
    assert second == {"audio": "", "face": "", "channel": 2}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"avatar": "gone.png"},
            "Expected a file as avatar, but cannot read 'gone.png': No such file",
        ),
        ({"audio": "."}, "Expected a file as audio, but '.' is a folder."),
        ({"audio": None}, "Expected a file as audio, got none."),
        ({"audio": "https://a.b/c.wav"}, "Expected a file, got the URL 'https://a.b/c.wav'"),
        ({"avatar": 5}, "Expected avatar as text, got 5."),
        (
            {"speakers": ["audio=gone.wav"]},
            "Expected a file as a speaker's audio, but cannot read 'gone.wav': No such file",
        ),
        ({"face": "gone.json"}, "Expected a file as face, but cannot read 'gone.json'"),
        (
            {"upscale_model": "gone.pth"},
            "Expected a file as upscale_model, but cannot read 'gone.pth'",
        ),
        ({"speakers": ["audio=https://a.b/c.wav"]}, "got the URL 'https://a.b/c.wav'"),
        ({"output": None}, "Expected a name for output, such as anna/hello.mp4, got none."),
        ({"output": "../a.mp4"}, "'../a.mp4' is outside."),
        ({"output": "/a.mp4"}, "'/a.mp4' is outside."),
        ({"output": "link/a.mp4"}, "'link/a.mp4' is outside."),
        (
            {"output": "failed/a.mp4"},
            "Expected an output that is none of the batch's own files (.avatar-batch, failed, "
            "results",
        ),
        (
            {"output": "Status.json/a.mp4"},
            "Expected an output that is none of the batch's own files (.avatar-batch, failed, res",
        ),
        ({"output": "folder.mp4/file/a.mp4"}, "'folder.mp4/file/a.mp4' would be below the file"),
        ({"output": "a\nb.mp4"}, "Expected output without control characters, got 'a\\nb.mp4'."),
        ({"output": "\udcff.mp4"}, "Expected output without control characters, got '\\udcff"),
        (
            {"output": "\u00e9" * 120 + ".mp4"},
            "at most 1000 characters, and at most 243 bytes in each",
        ),
        (
            {"output": "d/" * 500 + "a.mp4"},
            "at most 1000 characters, and at most 243 bytes in each",
        ),
        ({"output": "a.png"}, "Expected a video as output, but 'a.png' is a picture"),
        ({"output": "a"}, "got 'no suffix'"),
        ({"output": "folder.mp4"}, "Expected a file as output, but 'folder.mp4' is a folder."),
        ({"qualty": "low"}, "There is no option 'qualty' (did you mean 'quality'?)"),
        ({"quality": "best"}, "Expected quality to be one of high, medium, low, got 'best'."),
        ({"face_index": "1"}, "Expected face_index as a whole number, got '1'."),
        ({"mouth": "1,2"}, 'Expected two lip corners as "x0,y0,x1,y1" in pixels'),
        ({"threads": 0}, "Expected threads from 1 to 1024, got 0."),
        ({"threads": True}, "Expected threads from 1 to 1024, got True."),
        ({"set": {"A.b": 1}}, "Expected set only in a row with a workflow"),
        ({"workflow": "w.json"}, "in a row with a workflow: put it into set."),
    ],
)
def test_a_bad_row_has_its_line_and_a_sentence(
    check: Check, tmp_path: Path, change: dict[str, Any], sentence: str
) -> None:
    (tmp_path / "out" / "folder.mp4").mkdir()
    (tmp_path / "out" / "folder.mp4" / "file").touch()
    (tmp_path / "out" / "link").symlink_to(tmp_path)
    tasks, problems = check(row("good.mp4"), row("bad.mp4") | change)
    assert [task.output for task in tasks] == ["good.mp4"]
    assert [problem.line for problem in problems] == [2]
    assert sentence in str(problems[0])


def test_two_rows_may_not_have_one_output(check: Check) -> None:
    tasks, problems = check(row("a/b.mp4"), row("c.mp4"), row("a//B.mp4", speech=1))
    assert [task.line for task in tasks] == [1, 2]
    assert (
        str(problems[0])
        == "Line 3: Expected an output of its own, but 'a/B.mp4' is already used in line 1."
    )


@pytest.mark.parametrize("names", [("a.mp4", "A.mp4/b.mp4"), ("a.mp4/b/c.mp4", "a.mp4")])
def test_no_output_may_be_a_folder_of_another(check: Check, names: tuple[str, str]) -> None:
    tasks, problems = check(*map(row, names))
    assert [task.line for task in tasks] == [1]
    assert str(problems[0]).startswith(
        f"Line 2: Expected an output that fits beside the others, but {names[1]!r} and line 1's "
        "would be a file"
    )


def test_names_of_all_languages_are_outputs(check: Check) -> None:
    names = [
        "\u200f\u05d0.mp4",
        "\U0001f468\u200d\U0001f469.mp4",
        "a\u3000b.mp4",
        "-x y.mp4",
        "~/$a.mp4",
    ]
    assert [task.output for task in check(*map(row, names))[0]] == names


def test_no_result_replaces_what_another_is_made_from(check: Check, tmp_path: Path) -> None:
    (tmp_path / "out" / "film.mp4").write_bytes(b"")
    (tmp_path / "out" / "same.mp4").hardlink_to(tmp_path / "out" / "film.mp4")
    film = {"avatar": "out/film.mp4"}
    tasks, problems = check(row("a.mp4") | film, row("same.mp4"), row("b.mp4"))
    assert [task.output for task in tasks] == ["a.mp4", "b.mp4"]
    assert str(problems[0]) == (
        "Line 2: Expected an output that is none of the inputs, but 'same.mp4' is one."
    )


def test_no_result_replaces_a_file_that_no_batch_made(check: Check, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for name in ("holiday.mp4", "made.mp4", "listed.mp4"):
        (out / name).write_bytes(b"")
    (out / "link.mp4").symlink_to("nowhere")
    (out / "made.mp4.report.json").write_text("{}")
    (out / "results.jsonl").write_text('{"output": "listed.mp4", "key": "x"}\n{"outp')
    names = ("made.mp4", "holiday.mp4", "listed.mp4", "link.mp4", "new.mp4")
    tasks, problems = check(*map(row, names))
    assert [task.output for task in tasks] == ["made.mp4", "listed.mp4", "new.mp4"]
    assert [problem.line for problem in problems] == [2, 4]
    assert "'holiday.mp4' exists and no batch made it: move it away" in str(problems[0])


def test_texts_of_csv_are_read_as_the_command_line_reads_them(tmp_path: Path, check: Check) -> None:
    options = lipsync_options()
    checker = Checker(
        Ledger(BatchFolder(tmp_path / "out")),
        tmp_path,
        lambda values, as_text: options.of_row(values, {"fps": 30}, as_text=as_text),
    )
    more: dict[str, Any] = {
        "max-duration": "3.5",
        "face-index": "2",
        "threads": "4",
        "mouth": "1,2,3,4",
    }
    (task,), _ = checker.tasks([Row(1, row("a.mp4", **more), as_text=True)])
    assert (task.options["max_duration"], task.options["face_index"]) == (3.5, 2)
    assert (task.options["fps"], task.options["mouth"], task.threads) == (30, (1, 2, 3, 4), 4)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (
            {"duration": "0,2"},
            "Expected duration as a number, got '0,2': write it with a decimal point.",
        ),
        ({"face-index": "first"}, "Expected face_index as a whole number, got 'first'."),
        ({"quality": "best"}, "Expected quality as one of high, medium, low, got 'best'."),
    ],
)
def test_a_cell_that_is_no_value_of_its_option_is_told_in_the_lists_words(
    tmp_path: Path, more: dict[str, Any], sentence: str
) -> None:
    options = lipsync_options()
    checker = Checker(
        Ledger(BatchFolder(tmp_path / "out")),
        tmp_path,
        lambda values, as_text: options.of_row(values, {}, as_text=as_text),
    )
    for name in ("avatar0.png", "speech0.wav"):
        (tmp_path / name).touch()
    given = row("a.mp4") | more if "quality" in more else row("a.mp4", **more)
    assert checker.tasks([Row(7, given, as_text=True)]) == ([], [Problem(7, sentence, "a.mp4")])


def test_a_workflow_has_no_source_for_a_limit_on_change(check: Check, tmp_path: Path) -> None:
    (tmp_path / "flow.json").write_text(WORKFLOW.read_text())
    one = {"workflow": "flow.json", "output": "a.mp4"}
    tasks, (problem,) = check(one, row("b.mp4"), limits="offset=1,change=3")
    assert [task.output for task in tasks] == ["b.mp4"]
    assert "Expected no limit on change for a workflow" in problem.sentence


def test_a_workflow_counts_the_files_that_it_names(check: Check, tmp_path: Path) -> None:
    (tmp_path / "flow.json").write_bytes(WORKFLOW.read_bytes())
    settings = {"LoadAvatar.avatar": "avatar1.png", "AudioToMel.audio": "speech2.wav"}
    one = {"workflow": "flow.json", "output": "a.mp4", "set": settings}
    (task,), problems = check(one)
    assert problems == []
    assert task.holds == task.workflow == str(tmp_path / "flow.json")
    assert {Path(path).name for path in task.inputs} == {"flow.json", "avatar1.png", "speech2.wav"}
    assert dict(task.settings) == settings


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"LoadAvatar.avtar": "avatar1.png"}, "has no input 'avtar' (did you mean 'avatar'?)"),
        ({"LoadAvatar": 1}, "Expected NODE.INPUT in set, got 'LoadAvatar'."),
        ({"MuseTalkLipSync.fps": 1000}, "input 'fps': expected a value from 0.0 to 240.0"),
        ([], 'Expected set as {"NODE.INPUT": value}, got [].'),
    ],
)
def test_a_workflow_is_checked_with_its_settings(
    check: Check, tmp_path: Path, settings: Any, sentence: str
) -> None:
    (tmp_path / "flow.json").write_text(json.dumps(json.loads(WORKFLOW.read_text())))
    tasks, problems = check({"workflow": "flow.json", "output": "a.mp4", "set": settings})
    assert tasks == []
    assert sentence in str(problems[0])
