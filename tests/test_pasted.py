"""Paths as people paste them, at the doors that take files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from avatarvideo.cli.main import main
from avatarvideo.encoders.read.open import checked_input
from avatarvideo.errors import MediaError
from avatarvideo.headless.workflow_file import read_workflow
from avatarvideo.host.standalone import StandaloneHost
from avatarvideo.nodes.widgets import check_file, find_file
from avatarvideo.pasted import existing, unquoted, url_problem

SAMPLES = Path(__file__).resolve().parent.parent / "web" / "samples"
QUOTES = ['"{}"', "'{}'", "“{}”", ' "{}" ', "«{}»"]


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        *((quoted.format("C:/my clip.mp4"), "C:/my clip.mp4") for quoted in QUOTES),
        (" a.mp4\n", "a.mp4"),
        ("it's.mp4", "it's.mp4"),
        ("'a' and 'b", "'a' and 'b"),
        ('"', '"'),
        ('""', '""'),
    ],
)
def test_quotes_around_a_path_are_taken_off(text, bare):
    assert unquoted(text) == bare


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://example.com/a.mp4", "https://example.com/a.mp4"),
        (str(Path("https://example.com/a.mp4")), "https://example.com/a.mp4"),
        ("HTTP://x/y", "HTTP://x/y"),
        ("s3://bucket/a.wav", "s3://bucket/a.wav"),
        ("file:///home/me/a.mp4", "file:///home/me/a.mp4"),
    ],
)
def test_a_url_is_named_as_such(text, shown):
    assert (
        url_problem(text)
        == f"Expected a file, got the URL {shown!r}: download it and give the file."
    )


@pytest.mark.parametrize("text", ["C:/a.mp4", "C:\\a.mp4", "a:b.mp4", "clip 12:30.mp4", "/a", ""])
def test_a_path_is_no_url(text):
    assert url_problem(text) == ""


def test_a_file_whose_name_has_quotes_is_found_as_it_is(tmp_path):
    (tmp_path / "plain.mp4").touch()
    (tmp_path / "'both'").touch()
    (tmp_path / "both").touch()
    assert existing(f'"{tmp_path}/plain.mp4"') == tmp_path / "plain.mp4"
    assert existing(f"'{tmp_path}/gone.mp4'") == Path(f"'{tmp_path}/gone.mp4'")
    assert existing(tmp_path / "'both'") == tmp_path / "'both'"


@pytest.mark.parametrize("quoted", QUOTES)
def test_files_are_found_at_every_door(tmp_path, quoted):
    clip = shutil.copy(SAMPLES / "talking_head.mp4", tmp_path / "my clip.mp4")
    (tmp_path / "flow.json").write_text('{"a": 1}')
    host = StandaloneHost(input_directory=tmp_path)
    assert checked_input(quoted.format(clip)) == clip
    assert find_file(host, quoted.format(clip)) == clip
    assert find_file(host, quoted.format("my clip.mp4")) == clip
    assert read_workflow(quoted.format(tmp_path / "flow.json")) == {"a": 1}


def test_a_url_is_refused_at_every_door(tmp_path, capsys):
    url = "https://example.com/a.mp4"
    host = StandaloneHost(input_directory=tmp_path)
    assert "got the URL 'https://example.com/a.mp4'" in str(check_file(host, url))
    with pytest.raises(MediaError, match=f"got the URL '{url}'"):
        checked_input(url)
    speech = str(SAMPLES / "speech.flac")
    for command in (
        ["video", "info", url],
        ["video", "lipsync", url, speech, "-o", str(tmp_path / "o.mp4")],
        ["video", "lipsync", str(SAMPLES / "portrait.png"), url, "-o", str(tmp_path / "o.mp4")],
        ["video", "encode", url, "-o", str(tmp_path / "o.mp4")],
        ["run", url],
    ):
        assert main(command) == 1
        assert f"got the URL '{url}': download it" in capsys.readouterr().err


@pytest.mark.slow
def test_quoted_paths_on_the_command_line_are_read(tmp_path, capsys):
    pictures, sound = f"'{SAMPLES / 'portrait.png'}'", f"“{SAMPLES / 'speech.flac'}”"
    out = str(tmp_path / "o.mp4")
    assert main(["video", "lipsync", pictures, sound, "-o", out, "--mode", "static"]) == 0
    assert main(["video", "info", f'"{out}"']) == 0
    assert "112" in capsys.readouterr().out
