"""What FFmpegEncode refuses before the graph runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from avatarvideo.errors import GraphError
from avatarvideo.headless.validate import validate
from avatarvideo.host.standalone import StandaloneHost
from avatarvideo.nodes import NODE_CLASS_MAPPINGS

NODE = NODE_CLASS_MAPPINGS["FFmpegEncode"]
FIRST = {
    "codec": "auto",
    "container": "auto",
    "audio_codec": "auto",
    "filename_prefix": "avatar",
    "format": "none",
}


def check(**given: Any) -> Any:
    return NODE.VALIDATE_INPUTS(**{**FIRST, **given})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"codec": "copy", "container": "gif"}, "a container for copied pictures (mp4, mov, mkv, "),
        ({"codec": "copy", "container": "png"}, "a container for copied pictures (mp4, mov, mkv, "),
        (
            {"container": "webm", "audio_codec": "aac"},
            "an audio codec that webm holds (auto, opus)",
        ),
        ({"container": "mp4", "audio_codec": "pcm"}, "an audio codec that mp4 holds (auto, "),
        ({"codec": "vp9", "audio_codec": "mp3"}, "an audio codec that webm holds (auto, opus)"),
        ({"codec": "copy", "container": "mov", "audio_codec": "flac"}, "an audio codec that mov "),
    ],
)
def test_copies_and_sound_that_cannot_be_held_are_refused(
    host: StandaloneHost, given: dict[str, str], said: str
) -> None:
    assert str(check(**given)).startswith(f"Expected {said}")


@pytest.mark.parametrize("container", ["gif", "webp"])
def test_an_animation_takes_any_audio_codec_as_it_has_no_sound(
    host: StandaloneHost, container: str
) -> None:
    assert check(container=container, audio_codec="aac") is True


@pytest.mark.parametrize("name", FIRST)
@pytest.mark.parametrize("value", [True, -1, 0.5, 1e308, {}, {"a": 1}, ["mp4"]])
def test_a_value_that_is_no_text_is_named(host: StandaloneHost, name: str, value: object) -> None:
    assert check(**{name: value}) == f"Expected {name} as a text, got {value!r}: choose one."


@pytest.mark.parametrize(
    ("codec", "container", "held_by"),
    [
        ("prores", "mp4", "mov, mkv"),
        ("h264", "webm", "mp4, mov, mkv"),
        ("h264_nvenc", "gif", "mp4, mov, mkv"),
        ("gif", "mp4", "gif"),
        ("ffv1", "mov", "mkv"),
    ],
)
def test_a_pair_that_cannot_be_is_refused_with_what_can(
    host: StandaloneHost, codec: str, container: str, held_by: str
) -> None:
    answer = check(codec=codec, container=container)
    assert f"({held_by}), got {container}." in answer


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"codec": "prores"},
        {"codec": "gif"},
        {"container": "webm"},
        {"codec": "h264_nvenc", "container": "mkv"},
        {"codec": "libx264", "container": "mov"},
        {"codec": "copy", "container": "webm"},  # what the source holds is not known yet
        {"filename_prefix": "a/b_%counter%_%name%"},
    ],
)
def test_what_can_work_is_let_through(host: StandaloneHost, given: dict[str, str]) -> None:
    assert check(**given) is True


def test_linked_values_are_known_only_when_the_graph_runs(host: StandaloneHost) -> None:
    assert check(codec=None, container="gif") is True
    assert check(codec="prores", container=None) is True
    assert check(codec="prores", container="mp4", format=None) is True
    assert check(filename_prefix=None) is True


@pytest.mark.parametrize(("name", "value"), [("codec", "h269"), ("container", "exe")])
def test_words_outside_the_menus_are_refused(host: StandaloneHost, name: str, value: str) -> None:
    assert repr(value) in check(**{name: value})


@pytest.mark.parametrize("prefix", ["../x", "", "a/../../b", "/etc/x"])
def test_a_name_outside_the_output_folder_is_refused(host: StandaloneHost, prefix: str) -> None:
    answer = check(filename_prefix=prefix)
    assert f"Expected a file name inside {host.output_directory}, got {prefix!r}" in answer


def test_a_name_in_a_folder_of_the_administrator_is_let_through(
    host: StandaloneHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "films"
    assert "got" in check(filename_prefix=str(elsewhere / "a"))
    monkeypatch.setenv("AVATAR_OUTPUT_DIRS", str(elsewhere))
    assert check(filename_prefix=str(elsewhere / "a")) is True
    assert not elsewhere.exists(), "a check makes nothing"


def test_a_format_of_your_own_is_read_before_the_run(
    host: StandaloneHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVATAR_FORMATS", str(tmp_path))
    for name, container in (("good", "mkv"), ("bad", "webm")):
        text = json.dumps({"codec": "libx264", "container": container})
        (tmp_path / f"{name}.json").write_text(text)
    assert check(format="user/good") is True
    assert "container auto with the format 'user/good'" in check(
        format="user/good", container="mp4"
    )
    assert "holds h264 (mp4, mov, mkv), got webm" in check(format="user/bad")
    assert "got 'user/gone'" in check(format="user/gone")


def test_a_graph_is_refused_before_its_first_node_runs(host: StandaloneHost) -> None:
    inputs = {
        name: options.get("default", kind[0] if isinstance(kind, list) else None)
        for name, (kind, options) in NODE.INPUT_TYPES()["required"].items()
    }
    inputs |= {"codec": "prores", "container": "mp4", "path": "not there.mp4"}
    prompt = {"1": {"class_type": "FFmpegEncode", "inputs": inputs}}
    with pytest.raises(GraphError, match=r"holds prores \(mov, mkv\), got mp4"):
        validate(prompt, NODE_CLASS_MAPPINGS)
