"""``avatar video score``: what it prints, what its limits end with, what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from avatarvideo.cli.main import main
from avatarvideo.encoders.encoder import encode_frames
from avatarvideo.encoders.read.picture import read_image
from avatarvideo.media import AudioClip

PORTRAIT = Path(__file__).resolve().parents[2] / "web" / "samples" / "portrait.png"
Avatar = Callable[..., tuple[int, str, str]]
STILL = (
    "The mouth does not move: this is a still picture with sound, or somebody who does not speak."
)


@pytest.fixture
def score(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    mesh_models: Path,
) -> Avatar:
    """Run the command in a folder with a still of ten frames, a tone under it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AVATAR_MODELS", str(mesh_models))
    face = np.ascontiguousarray(read_image(PORTRAIT)[120:632, 140:652])
    picture = cv2.resize(face, (192, 192), interpolation=cv2.INTER_AREA)
    tone = 0.25 * np.sin(2 * np.pi * 440 * np.arange(6400) / 16000)
    sound = AudioClip(tone.astype(np.float32)[None], 16000)
    encode_frames([picture] * 10, "still.mkv", frame_rate=Fraction(25), audio=sound)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(["video", "score", *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.mark.slow
def test_a_still_is_named_with_the_numbers_that_are_left(score: Avatar) -> None:
    code, out, err = score("still.mkv", "--source", str(PORTRAIT), "--plot", "plot.png")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == STILL
    assert [line.split()[0] for line in lines[1:]] == ["sharpness", "change"]
    assert Path("plot.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_json_holds_numbers_and_reasons(score: Avatar) -> None:
    code, out, _ = score("still.mkv", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["notes"] == [STILL]
    assert found["numbers"]["offset"] is None
    assert found["reasons"]["offset"] == STILL
    assert found["reasons"]["change"] == "No source was given."
    assert (found["frames"], found["frames_with_face"]) == (10, 10)


@pytest.mark.slow
def test_limits_end_with_a_sentence_for_each_number(score: Avatar) -> None:
    assert score("still.mkv", "--min-score", "sharpness=0.01")[0] == 0
    code, out, err = score("still.mkv", "--min-score", "offset=1,sharpness=9")
    assert (code, STILL in out) == (1, True)
    assert err.startswith(
        f"Error: Expected offset of at most 1 either way, but it was not measured: {STILL} "
        "Expected sharpness of at least 9, got "
    )
    assert len(err.splitlines()) == 1


def test_wrong_usage_is_told_before_anything_is_read(score: Avatar) -> None:
    code, out, err = score("still.mkv", "--min-score", "quality=1")
    assert (code, out) == (2, "")
    assert "offset, correlation, closure, jitter, sharpness, change, got 'quality'" in err
    code, _, err = score("still.mkv", "--plot", "plot.jpg")
    assert (code, "ends in .png" in err) == (2, True)
    code, _, err = score("still.mkv", "--min-score", "offset=1,change=3")
    assert (code, "Expected --source beside a limit on change" in err) == (2, True)


def test_a_plot_replaces_no_source(score: Avatar) -> None:
    Path("own.png").write_bytes(PORTRAIT.read_bytes())
    code, _, err = score("still.mkv", "--source", "own.png", "--plot", "own.png")
    assert (code, "so that the original is not lost" in err) == (1, True)
    assert Path("own.png").read_bytes() == PORTRAIT.read_bytes()
    code, _, err = score("still.mkv", "--plot", "no/folder/plot.png")
    assert (code, "does not exist: create it first" in err) == (1, True)


def test_the_help_tells_range_meaning_and_weakness_of_each_number(score: Avatar) -> None:
    code, out, _ = score("--help")
    words = " ".join(out.split())
    assert code == 0
    for text in (
        "offset (-15 to 15, in frames)",
        "late (+)",
        "closure (0 to 1)",
        "jitter (0 up",
        "certainty (0 up",
    ):
        assert text in words
    assert "download face-mesh" in words
    assert words.count("Weakness:") == 7


@pytest.mark.parametrize("name", ["gone.mp4", "gone.png"])
def test_a_file_that_is_not_there_is_said_to_be_missing(score: Avatar, name: str) -> None:
    code, out, err = score(name)
    assert (code, out) == (1, "")
    assert f"could not open '{name}': No such file" in err


def test_without_the_face_mesh_it_says_how_to_get_it(
    score: Avatar, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AVATAR_MODELS", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    code, out, err = score("still.mkv")
    assert (code, out) == (1, "")
    assert "get it with `avatar models download face-mesh`" in err
