"""``avatar video encode`` and ``info``: sound, the user's own formats and own ffmpeg."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from avatarvideo.cli.main import main
from avatarvideo.encoders.encoder import encode_frames
from avatarvideo.encoders.read.audio import read_audio
from avatarvideo.encoders.read.probe import probe
from avatarvideo.media import AudioClip

Avatar = Callable[..., tuple[int, str, str]]


@pytest.fixture
def avatar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Avatar:
    """Run the command in a folder with a clip of a second, a tone under it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AVATAR_FORMATS", str(tmp_path / "formats"))
    frames = [np.full((32, 32, 3), 10 * index, np.uint8) for index in range(25)]
    tone = 0.25 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    sound = AudioClip(tone.astype(np.float32)[None], 16000)
    encode_frames(frames, "clip.mkv", frame_rate=Fraction(25), audio=sound)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(list(arguments))
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.mark.slow
def test_sound_is_added_when_asked(avatar: Avatar) -> None:
    encode = ("video", "encode", "clip.mkv", "-o", "out.mkv")
    assert avatar(*encode, "--audio", "clip.mkv", "--mix")[0] == 0
    assert read_audio("out.mkv").samples.max() == pytest.approx(0.5, abs=0.001)

    code, _, err = avatar(*encode, "--mix")
    assert (code, "give both" in err) == (2, True)


def test_a_format_of_the_users_is_found(avatar: Avatar, tmp_path: Path) -> None:
    (tmp_path / "formats").mkdir()
    values = {"codec": "libx264", "container": "mp4", "pixel_format": "yuv444p"}
    (tmp_path / "formats" / "sharp.json").write_text(json.dumps(values))

    code, _, err = avatar(
        *("video", "encode", "clip.mkv", "-o", "out.mp4", "--format", "user/sharp")
    )

    assert (code, err) == (0, "")
    assert probe("out.mp4").pixel_format == "yuv444p"
    code, _, err = avatar("video", "encode", "clip.mkv", "-o", "x.mp4", "--format", "user/none")
    assert (code, "user/sharp" in err, len(err.splitlines())) == (1, True, 1)


def test_a_png_sequence_is_called_a_folder(avatar: Avatar, tmp_path: Path) -> None:
    code, out, _ = avatar("video", "encode", "clip.mkv", "-o", "out.png", "--duration", "0.2")
    assert code == 0
    assert out.startswith(f"{tmp_path / 'out'} (a folder of PNG pictures): png, 5 frames of 32x32")


def test_the_encoders_own_options_are_taken(avatar: Avatar) -> None:
    encode = ("video", "encode", "clip.mkv", "-o", "out.mp4", "--codec-options")
    assert avatar(*encode, "tune=zerolatency,g=5")[0] == 0
    assert b"keyint=5" in Path("out.mp4").read_bytes()
    code, _, err = avatar(*encode, "tune")
    assert (code, "name=value" in err) == (2, True)


@pytest.mark.slow
def test_the_users_own_ffmpeg_encodes(avatar: Avatar, ffmpeg: str) -> None:
    encode = ("video", "encode", "clip.mkv", "-o", "out.mp4", "--backend", "own ffmpeg")
    assert avatar(*encode)[0] == 0
    assert probe("out.mp4").frame_count == 25
    code, _, err = avatar(*encode, "--ffmpeg", "/no/ffmpeg")
    assert (code, "found none" in err) == (1, True)


@pytest.mark.slow
def test_loudness_is_measured_on_request(avatar: Avatar) -> None:
    assert "LUFS" not in avatar("video", "info", "clip.mkv")[1]
    code, out, _ = avatar("video", "info", "clip.mkv", "--loudness")
    assert (code, "LUFS" in out) == (0, True)


@pytest.mark.slow
def test_every_video_of_a_folder_is_encoded(avatar: Avatar) -> None:
    folder = Path("batch")
    folder.mkdir()
    for name in ("b.mkv", "a.mkv"):
        (folder / name).write_bytes(Path("clip.mkv").read_bytes())
    (folder / "broken.mkv").write_bytes(b"no video")

    code, out, err = avatar("video", "encode", "batch", "-o", "done", "--container", "mp4")

    assert [path.name for path in sorted(Path("done").iterdir())] == ["a.mp4", "b.mp4"]
    assert len(out.splitlines()) == 2
    assert (code, len(err.splitlines()), "broken.mkv" in err) == (1, 1, True)


def test_results_of_one_folder_never_share_a_name(avatar: Avatar) -> None:
    Path("batch").mkdir()
    for name in ("a.mkv", "A.mov", "A_mov.mkv", "b.mkv"):
        Path("batch", name).write_bytes(Path("clip.mkv").read_bytes())
    Path("batch", "folder.mkv").mkdir()  # nothing to encode

    code, out, _ = avatar("video", "encode", "batch", "-o", "done", "--duration", "0.2")

    made = [path.name for path in sorted(Path("done").iterdir())]
    assert (code, len(out.splitlines())) == (0, 4)
    assert made == ["A.mp4", "A_mov.mp4", "a_mkv.mp4", "b.mp4"]


def test_an_input_without_a_name_is_no_folder(avatar: Avatar) -> None:
    code, _, err = avatar("video", "encode", "", "-o", "x.mp4")
    assert (code, "expected the name of a file, got an empty one" in err) == (2, True)
    assert not Path("x.mp4").exists()


def test_a_configuration_too_deep_to_read_is_one_sentence(avatar: Avatar) -> None:
    Path("deep.json").write_text("[" * 100_000)
    code, _, err = avatar("video", "encode", "clip.mkv", "-o", "x.mp4", "--config", "deep.json")
    assert (code, err.count("\n")) == (1, 1)
    assert "Expected JSON in deep.json, but it is broken: values nested too deep." in err


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs a device that never ends")
def test_a_configuration_is_a_small_file(avatar: Avatar) -> None:
    Path("long.toml").write_text("#" * (1 << 20) + "\n")
    for name in ("/dev/zero", "long.toml"):
        code, _, err = avatar("video", "encode", "clip.mkv", "-o", "x.mp4", "--config", name)
        expected = (
            f"Expected a small file of TOML or JSON as configuration, but {name} is something else."
        )
        assert (code, err) == (1, f"Error: {expected}\n")


@pytest.mark.parametrize(
    ("option", "text", "wanted"),
    [
        ("--crf", "23.7", "as a whole number, got '23.7'"),
        ("--crf", "nan", "as a whole number, got 'nan'"),
        ("--crf", "1e99999999", "as a whole number, got '1e99999999'"),
        ("--audio-bitrate", "192kk", "in bits per second, such as 192k, got '192kk'"),
        ("--audio-bitrate", "1e9999999999", "in bits per second, such as 192k, got '1e9999999999'"),
    ],
)
def test_a_number_that_is_none_is_named_with_its_option(
    avatar: Avatar, option: str, text: str, wanted: str
) -> None:
    code, _, err = avatar("video", "encode", "clip.mkv", "-o", "x.mp4", option, text)
    assert (code, f"Expected {option} {wanted}." in err) == (2, True)


def test_a_start_beyond_all_ends_is_told_in_few_digits(avatar: Avatar) -> None:
    code, _, err = avatar("video", "encode", "clip.mkv", "-o", "x.mp4", "--start", "1e300")
    assert (code, "Expected pictures after 1e+300 s, but 'clip.mkv' is only" in err) == (1, True)
