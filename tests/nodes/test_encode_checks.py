"""What FFmpegEncode refuses before the graph runs."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from avatarvideo.encoders.write.audio_codecs import AUDIO_CODECS
from avatarvideo.encoders.write.codecs import CODECS, CONTAINERS
from avatarvideo.errors import EncodeError, GraphError
from avatarvideo.headless.validate import validate
from avatarvideo.host.standalone import StandaloneHost
from avatarvideo.nodes import NODE_CLASS_MAPPINGS
from avatarvideo.nodes.encode_video import ONE_SOURCE

NODE = NODE_CLASS_MAPPINGS["FFmpegEncode"]
FIRST = {
    "codec": "auto",
    "container": "auto",
    "audio_codec": "auto",
    "filename_prefix": "avatar",
    "format": "none",
}


def check(**given: Any) -> Any:
    linked = {} if {"images", "video", "path"} & given.keys() else {"images": None}
    return NODE.VALIDATE_INPUTS(**{**FIRST, **linked, **given})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"codec": "copy", "container": "gif", "video": None},
            "a container for copied pictures (mp4, mov, mkv, webm), got gif: choose one of those, "
            "or a codec other than copy.",
        ),
        (
            {"codec": "copy", "container": "png", "video": None},
            "a container for copied pictures (mp4, mov, mkv, ",
        ),
        (
            {"container": "webm", "audio_codec": "aac"},
            "an audio codec that webm holds (auto, opus)",
        ),
        ({"container": "mp4", "audio_codec": "pcm"}, "an audio codec that mp4 holds (auto, "),
        ({"codec": "vp9", "audio_codec": "mp3"}, "an audio codec that webm holds (auto, opus)"),
        (
            {"codec": "copy", "container": "mov", "audio_codec": "flac", "video": None},
            "an audio codec that mov holds (auto, aac, pcm, alac, mp3), got 'flac': choose one of "
            "those.",
        ),
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
    assert check(**{name: value}) == f"Expected {name} as text, got {value!r}: choose one."


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
    assert f"({held_by}), got {container}: choose one of those or another codec." in answer


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"codec": "prores"},
        {"codec": "gif"},
        {"container": "webm"},
        {"codec": "h264_nvenc", "container": "mkv"},
        {"codec": "libx264", "container": "mov"},
        {"codec": "copy", "container": "webm", "video": None},  # what it holds is not known yet
        {"codec": "copy", "crf": 60, "bit_depth": 10, "video": None},  # of no use, and no harm
        {"codec": "h264_videotoolbox", "crf": 51},
        {"codec": "prores", "crf": 60, "bit_depth": 10},
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


@pytest.mark.parametrize(
    ("prefix", "or_else"),
    [("../x", ""), ("a/../../b", ""), ("/etc/x", ", or let the administrator allow the folder")],
)
def test_a_name_outside_the_output_folder_is_refused(
    host: StandaloneHost, prefix: str, or_else: str
) -> None:
    assert check(filename_prefix=prefix) == (
        f"Expected a file name inside {host.output_directory}, got {prefix!r}: make "
        f"filename prefix a name in there{or_else}."
    )


@pytest.mark.parametrize("prefix", ["", "  ", "/", "."])
def test_an_empty_name_is_asked_for(host: StandaloneHost, prefix: str) -> None:
    assert check(filename_prefix=prefix) == (
        f"Expected a file name as filename prefix, got {prefix!r}: write one, such as avatar."
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"codec": "h264", "crf": 52},
            "Expected crf 0 to 51 for h264, got 52: choose a smaller number.",
        ),
        (
            {"codec": "hevc_nvenc", "crf": 63},
            "Expected crf 0 to 51 for h265, got 63: choose a smaller number.",
        ),
        ({"crf": 64}, "Expected crf between -1 and 63, got 64."),
        ({"crf": -5}, "Expected crf between -1 and 63, got -5."),
        ({"crf": "low"}, "Expected crf between -1 and 63, got 'low'."),
        ({"bit_depth": 9}, "Expected bit_depth to be one of 8, 10, got 9."),
        (
            {"container": "webm", "bit_depth": 10},
            "Expected a codec with 10 bits (h264, h265, av1, prores, ffv1), got vp9: choose one of "
            "those and a container that holds it.",
        ),
        (
            {"codec": "copy", "length": "freeze", "video": None},
            "Expected length keep, video or shortest where pictures are copied, got 'freeze': "
            "holding a picture needs re-encoding.",
        ),
        (
            {"codec": "copy", "images": None},
            "Expected a video file whose pictures can be copied, got frames: choose a codec "
            "other than copy.",
        ),
        ({"images": None, "video": None}, ONE_SOURCE),
        ({"path": " "}, ONE_SOURCE),
    ],
)
def test_choices_that_cannot_go_together_are_refused(
    host: StandaloneHost, given: dict[str, Any], said: str
) -> None:
    assert check(**given) == said


@pytest.mark.parametrize(
    "given",
    [
        {"path": "samples/talking_head.mp4"},
        {"path": None},
        {"video": None, "path": ""},
        {"images": None, "path": "not used.mp4"},
    ],
)
def test_one_source_is_let_through(host: StandaloneHost, given: dict[str, Any]) -> None:
    assert check(**given) is True


def test_an_ffmpeg_that_is_not_there_is_missed_before_the_run(
    host: StandaloneHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVATAR_FFMPEG", "/nowhere/ffmpeg")
    said = "Expected an ffmpeg executable at '/nowhere/ffmpeg', found none"
    assert said in check(backend="own ffmpeg")
    assert check(backend="own ffmpeg", container="gif") is True, "which is always built in"
    assert check(backend=None) is True


CHOICES = {
    "codec": ["auto", *CODECS, "h264_nvenc"],
    "container": ["auto", *CONTAINERS],
    "crf": [-1, 51, 52, 63],
    "bit_depth": [8, 10],
    "audio_codec": ["auto", *AUDIO_CODECS],
}


@pytest.mark.slow_after(2)
@pytest.mark.parametrize("container", CHOICES["container"])
@pytest.mark.parametrize("codec", CHOICES["codec"])
def test_just_what_the_run_refuses_is_refused_before_it(
    host: StandaloneHost, codec: str, container: str
) -> None:
    sound = {"waveform": torch.zeros(1, 1, 4800), "sample_rate": 48000}
    given = {"images": torch.zeros(1, 64, 64, 3), "audio": sound, "quality": "fast"}
    first = {name: about["default"] for name, (_, about) in NODE.INPUT_TYPES()["required"].items()}
    rest = [CHOICES[name] for name in ("crf", "bit_depth", "audio_codec")]
    encoded = set()
    for crf, bit_depth, audio_codec in itertools.product(*rest):
        choices = {
            "codec": codec,
            "container": container,
            "crf": crf,
            "bit_depth": bit_depth,
            "audio_codec": audio_codec,
        }
        before = check(**choices)
        # Once a pair of numbers was encoded with a sound, other sounds show nothing new of it.
        if before is True and {(crf, bit_depth), audio_codec} <= encoded:
            continue
        try:
            NODE().encode(**{**first, **given, **choices})
            in_the_run: object = True
            encoded |= {(crf, bit_depth), audio_codec}
        except EncodeError as error:
            in_the_run = str(error)
        assert before == in_the_run, choices


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
    with pytest.raises(GraphError) as refused:
        validate(prompt, NODE_CLASS_MAPPINGS)
    assert str(refused.value) == (
        "Node 1 (FFmpegEncode): Expected a container that holds prores (mov, mkv), got mp4: choose "
        "one of those or another codec."
    )
