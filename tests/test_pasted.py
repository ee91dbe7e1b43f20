"""Paths as people paste them, at the doors that take files."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from avatarvideo.cli.main import main
from avatarvideo.encoders import FFmpegEncoder
from avatarvideo.encoders.read.open import checked_input
from avatarvideo.errors import MediaError
from avatarvideo.headless.workflow_file import read_workflow
from avatarvideo.host.standalone import StandaloneHost
from avatarvideo.musetalk import MuseTalkLipSync
from avatarvideo.nodes.widgets import check_file, find_file
from avatarvideo.pasted import existing, unquoted, url_problem, url_to_write

SAMPLES = Path(__file__).resolve().parent.parent / "web" / "samples"
QUOTES = ['"{}"', "'{}'", "“{}”", ' "{}" ', "«{}»", "»{}«", "„{}“", "`{}`", "<{}>", "「{}」"]
# What other things leave around a path: a terminal, a chat, the properties of Windows.
MARKS = [" {}\n", "\u202a{}", "\ufeff{}\u200b", "\t'{}' "]


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


URLS = [
    *("https://h/a.mp4", "HTTP://h/a", "ftp://h/a", "sftp://h/a", "smb://nas/a", "s3://bucket/a"),
    *("rtsp://camera/1", "rtmp://h/a", "srt://1.2.3.4:99", "udp://@239.1.1.1:5", "gs://b/a"),
    *("hf://datasets/a", "content://media/1", "data:image/png;base64,AAAA", "magnet:?xt=urn:b:1"),
    *("blob:https://h/1", "http://127.0.0.1:8188/view?filename=a.png&type=input"),
]


@pytest.mark.parametrize("url", URLS)
def test_every_scheme_is_known_in_quotes_and_after_a_path_was_made_of_it(url):
    said = f"Expected a file, got the URL {url!r}: download it and give the file."
    for text in (url, f"'{url}'", f"<{url}>", f" {url}\n", str(Path(url))):
        assert url_problem(text) in (said, said.replace(f"{url}'", f"{Path(url)}'"))
    assert url_to_write(url).endswith(f"got the URL {url!r}: give a path on this machine.")


def test_the_backslashes_of_windows_make_no_path_of_a_url():
    assert "got the URL 'https://h\\\\a'" in url_problem("https:\\h\\a")


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///home/me/a.mp4", "/home/me/a.mp4"),
        (str(Path("file:///home/me/a.mp4")), "/home/me/a.mp4"),
        ("file://localhost/home/a%20b.mp4", "/home/a b.mp4"),
        ("file:///C:/my%20clip.mp4", "C:/my clip.mp4"),
        ("file:///C%3A/a.mp4", "C:/a.mp4"),
        ("file://server/share/a.mp4", "//server/share/a.mp4"),
        ("file:////server/share/a.mp4", "//server/share/a.mp4"),
    ],
)
def test_the_url_of_a_file_here_tells_its_path(url, path):
    assert url_problem(url).endswith(f": give its path, {path!r}.")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://example.com/a.mp4", "https://example.com/a.mp4"),
        (str(Path("https://example.com/a.mp4")), "https://example.com/a.mp4"),
        ("HTTP://x/y", "HTTP://x/y"),
        ("s3://bucket/a.wav", "s3://bucket/a.wav"),
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


def test_a_home_is_written_out(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "flow.json").write_text('{"a": 1}')
    assert existing("~/flow.json") == existing("'~/flow.json'") == tmp_path / "flow.json"
    assert read_workflow("~/flow.json") == {"a": 1}
    assert existing("~/gone.json") == Path("~/gone.json")


@pytest.mark.skipif(os.sep == "\\", reason="a backslash ends a folder there")
def test_a_path_as_a_terminal_writes_it_is_found(tmp_path):
    clip = shutil.copy(SAMPLES / "talking_head.mp4", tmp_path / "my (1) clip.mp4")
    escaped = str(clip).replace(" ", "\\ ").replace("(", "\\(").replace(")", "\\)")
    host = StandaloneHost(input_directory=tmp_path)
    assert existing(escaped) == clip
    assert find_file(host, escaped) == clip
    assert find_file(host, "my\\ \\(1\\)\\ clip.mp4") == clip
    assert checked_input(escaped) == clip
    assert existing("/a/.\\./.\\./etc") == Path("/a/.\\./.\\./etc")


@pytest.mark.parametrize("quoted", [*QUOTES, *MARKS])
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


@pytest.mark.parametrize("url", ["https://h/o.mp4", "s3://b/o.mp4", "file:///tmp/o.mp4"])
def test_a_url_is_no_place_to_write(tmp_path, monkeypatch, capsys, url):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "https:" / "h").mkdir(parents=True)  # as earlier versions made
    clip, speech = SAMPLES / "talking_head.mp4", SAMPLES / "speech.flac"
    said = "Expected a file to write, got the URL"
    for command in (["encode", str(clip)], ["lipsync", str(clip), str(speech)]):
        assert main(["video", *command, "-o", url]) == 2
        assert f"{said} {url!r}: give a path on this machine." in capsys.readouterr().err
    (tmp_path / "flow.json").write_text("{}")
    assert main(["run", "flow.json", "--output-dir", url]) == 2
    assert said in capsys.readouterr().err
    assert said in str(FFmpegEncoder().encode(clip, url).error)
    assert said in str(MuseTalkLipSync().generate(clip, speech, url).error)
    assert [path.name for path in tmp_path.rglob("*.mp4")] == []


@pytest.mark.slow
@pytest.mark.parametrize("mark", ["'{}'", " {} ", "\u202a{}"])
def test_a_result_gets_the_name_without_what_was_pasted_around_it(tmp_path, mark):
    out = mark.format(tmp_path / "o.mp4")
    given = ["video", "encode", str(SAMPLES / "talking_head.mp4"), "-o", out, "--quality", "fast"]
    assert main(given) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["o.mp4"]


def test_folders_in_quotes_are_found(tmp_path, capsys):
    shutil.copy(SAMPLES / "talking_head.mp4", tmp_path / "clip.mp4")
    inputs = {"path": "'clip.mp4'", "exact_count": False, "measure_loudness": False}
    prompt = {"1": {"class_type": "VideoInfo", "inputs": inputs}}
    (tmp_path / "flow.json").write_text(json.dumps(prompt))
    flow = f"'{tmp_path / 'flow.json'}'"
    assert main(["run", flow, "--input-dir", f"'{tmp_path}'"]) == 0
    assert "512" in capsys.readouterr().out
    assert main(["run", flow, "--input-dir", "https://h/x"]) == 2
    assert "got the URL 'https://h/x'" in capsys.readouterr().err


@pytest.mark.slow
def test_quoted_paths_on_the_command_line_are_read(tmp_path, capsys):
    pictures, sound = f"'{SAMPLES / 'portrait.png'}'", f"“{SAMPLES / 'speech.flac'}”"
    out = str(tmp_path / "o.mp4")
    assert main(["video", "lipsync", pictures, sound, "-o", out, "--mode", "static"]) == 0
    assert main(["video", "info", f'"{out}"']) == 0
    assert "112" in capsys.readouterr().out
