"""``avatar video lipsync`` with several speakers and a chosen face."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from avatarvideo.cli.main import main
from avatarvideo.encoders.encoder import encode_frames
from avatarvideo.encoders.read.audio import read_audio
from avatarvideo.media import AudioClip
from avatarvideo.musetalk.face.mesh_networks import mesh_networks
from support.people_clips import PeopleClip, heads_of, still

Avatar = Callable[..., tuple[int, str, str]]


@pytest.fixture
def avatar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Avatar:
    """Run ``avatar video lipsync`` in a folder with a picture and the speeches a, b and both."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (64, 48), "grey").save("grey.png")
    frame = [np.zeros((32, 32, 3), np.uint8)]
    tones = [0.25 * np.sin(2 * np.pi * pitch * np.arange(8000) / 16000) for pitch in (220, 330)]
    tones[1][:4000] = 0
    sounds = {"a": tones[:1], "b": tones[1:], "both": tones}
    for name, channels in sounds.items():
        clip = AudioClip(np.stack(channels).astype(np.float32), 16000)
        encode_frames(frame * 12, f"{name}.mkv", frame_rate=Fraction(24), audio=clip)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(["video", "lipsync", *arguments, "-o", "out.mkv"])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_the_sound_of_all_is_heard(avatar: Avatar) -> None:
    code, out, _ = avatar(
        "grey.png", "a.mkv", "--mode", "static", "--speaker", "audio=b.mkv,face=1"
    )
    assert (code, "12 frames" in out or "13 frames" in out) == (0, True)
    heard, parts = read_audio("out.mkv"), [read_audio(name) for name in ("a.mkv", "b.mkv")]
    total = parts[0].samples[0, :7000] + parts[1].samples[0, :7000]
    assert np.allclose(heard.samples[0, :7000], total, atol=0.01)


@pytest.mark.parametrize("speakers", ['["audio=b.mkv,face=1"]', '[{audio = "b.mkv", face = 1}]'])
def test_a_configuration_file_may_name_them(avatar: Avatar, speakers: str) -> None:
    Path("config.toml").write_text(f'mode = "static"\nspeakers = {speakers}\n')
    code, _, err = avatar("grey.png", "a.mkv", "--config", "config.toml")
    assert (code, read_audio("out.mkv").samples[0, 4000:7000].max() > 0.4) == (0, True), err
    Path("config.toml").write_text('speakers = ["b.mkv"]')
    code, _, err = avatar("grey.png", "a.mkv", "--config", "config.toml")
    assert (code, "Expected speakers as" in err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--speaker", "b.mkv"], 2, 'Expected speakers as "audio=FILE'),
        (["--speaker", "audio=none.mkv"], 1, "none.mkv"),
        (["--face", "right"], 1, "Expected face to be largest"),
        (["--face", "1", "--face-at", "3,4"], 2, "--face-at and --face both say who speaks"),
        (["--face-at", "1"], 2, "Expected --face-at as a point X,Y on the face, got '1'"),
        (["--face-at", ""], 2, "Expected --face-at as a point X,Y on the face, got ''"),
        (["--face", "none.json"], 1, "the face mesh"),
        (["--speaker", "channel=2"], 1, "Expected speech with a channel 2, but it has only 1"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(
    avatar: Avatar, arguments: list[str], code: int, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVATAR_MODELS", "no-models")
    given, _, err = avatar("grey.png", "a.mkv", *arguments)
    assert (given, sentence in err) == (code, True), err
    assert "Traceback" not in err
    assert not Path("out.mkv").exists()


@pytest.mark.slow
def test_channels_and_points_speak(
    avatar: Avatar, real_data: Path, mesh_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVATAR_MODELS", str(mesh_models))
    networks = mesh_networks([mesh_models])
    assert networks is not None
    heads = heads_of(real_data, networks)
    clip = PeopleClip(heads[:2], [still(180, 180, 110), still(460, 180, 110)], 1)
    Image.fromarray(clip.frame(0)).save("two.png")
    two = ("two.png", "both.mkv", "--mode", "puppet", "--channel", "1", "--face-at", "460,180")
    code, out, err = avatar(*two, "--speaker", "channel=2,face=left 0", "--json")
    assert code == 0, err
    report = json.loads(out)["report"]
    assert [one["face"] for one in report["speakers"]] == ["460,180", "left 0"]
    heard, given = read_audio("out.mkv"), read_audio("both.mkv")
    assert np.allclose(heard.samples[:, :7000], given.samples[:, :7000], atol=0.01)
    code, _, err = avatar(*two, "--speaker", "channel=2,face=460,190")
    assert code == 1
    assert err.strip().endswith(
        "'460,180' and '460,190' are the same one: choose another face for one of them."
    )
