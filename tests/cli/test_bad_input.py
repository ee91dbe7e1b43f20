"""Bad pictures, sounds and places: exit code 1, one line that says what to do, no file left."""

from __future__ import annotations

import struct
import wave
import zlib
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from avatarvideo.cli.main import main
from avatarvideo.encoders.encoder import encode_frames


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A folder with a good picture and a good sound in it."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.full((48, 64, 3), 90, np.uint8)).save("good.png")
    write_wav("good.wav", np.zeros(8000))
    return tmp_path


@pytest.fixture
def refused(place, capsys):
    """Run a command that must fail; returns its one line."""

    def call(*arguments):
        before = files(place)
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert (code, out) == (1, "")
        assert err.startswith("Error: ")
        assert err.count("\n") == 1
        assert files(place) == before
        return err

    return call


def files(folder):
    return sorted(str(p) for p in folder.rglob("*"))


def write_wav(name, samples, rate=16000):
    with wave.open(name, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.asarray(samples) * 32767).astype("<i2").tobytes())


def huge_png(name, side):
    """A picture whose header claims more pixels than anybody has memory for."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    with open(name, "wb") as file:  # noqa: PTH123 - the fixtures write by name
        file.write(b"\x89PNG\r\n\x1a\n" + data)


def text(name):
    with open(name, "w") as file:  # noqa: PTH123
        file.write("not what the name says")


def empty(name):
    open(name, "w").close()  # noqa: PTH123


def tiny(name):
    Image.fromarray(np.zeros((1, 1, 3), np.uint8)).save(name)


def nothing(name):
    pass


@pytest.mark.parametrize(
    ("name", "make", "sentence"),
    [
        ("bad.png", nothing, "bad.png"),
        ("bad.png", text, "bad.png"),
        ("bad.png", empty, "bad.png"),
        ("bad.mp4", text, "bad.mp4"),
        ("bad.png", tiny, "1x1"),
        ("bad.png", lambda name: huge_png(name, 30000), "at most 80 megapixels"),
    ],
    ids=["missing", "text-png", "zero-byte", "text-mp4", "one-pixel", "huge-header"],
)
def test_a_bad_picture_is_refused(refused, name, make, sentence):
    make(name)
    command = ("video", "lipsync", name, "good.wav", "-o", "out.mp4", "--mode", "static")
    assert sentence in refused(*command)


def mute_video(name):
    frames = [np.zeros((48, 64, 3), np.uint8)] * 5
    encode_frames(frames, name, frame_rate=Fraction(25))


@pytest.mark.parametrize(
    ("name", "make", "sentence"),
    [
        ("bad.wav", nothing, "bad.wav"),
        ("bad.wav", text, "bad.wav"),
        ("bad.wav", empty, "bad.wav"),
        ("bad.mp4", mute_video, "bad.mp4"),
        ("bad.wav", lambda name: write_wav(name, []), "bad.wav"),
        ("bad.wav", lambda name: write_wav(name, np.zeros(160)), "20 ms"),
    ],
    ids=["missing", "text", "zero-byte", "mute-video", "no-samples", "ten-ms"],
)
def test_a_bad_sound_is_refused(refused, name, make, sentence):
    make(name)
    command = ("video", "lipsync", "good.png", name, "-o", "out.mp4", "--mode", "static")
    assert sentence in refused(*command)


def test_speech_over_the_limit_names_the_limit_and_how_to_raise_it(refused):
    write_wav("long.wav", np.zeros(16000 * 3))
    line = refused(
        *("video", "lipsync", "good.png", "long.wav", "-o", "out.mp4", "--max-duration", "2")
    )
    assert "at most 2 s of speech, got 3.0 s: raise max duration" in line


@pytest.mark.parametrize("output", ["gone/x.mp4", "good.png/x.mp4", "/proc/x.mp4", "x.txt", "."])
@pytest.mark.parametrize("command", ["lipsync", "encode"])
def test_an_output_that_cannot_be_written_is_refused(refused, command, output):
    mute_video("mute.mp4")
    inputs = {"lipsync": ["good.png", "good.wav"], "encode": ["mute.mp4"]}[command]
    line = refused("video", command, *inputs, "-o", output)
    assert line.startswith(
        ("Error: Expected a", "Error: The folder ", "Error: Could not write 'x.mp4': ")
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["encode", "gone.mp4", "-o", "out.mp4"], "gone.mp4"),
        (["encode", "good.wav", "-o", "out.mp4"], "good.wav"),
        (["encode", "mute.mp4", "-o", "mute.mp4"], "choose another name"),
        (["encode", "mute.mp4", "-o", "out.mp4", "--codec", "mpeg99"], "mpeg99"),
        (["encode", "mute.mp4", "-o", "out.mp4", "--audio", "gone.wav"], "gone.wav"),
        (["info", "gone.mp4"], "gone.mp4"),
        (["info", "good.wav"], "good.wav"),
    ],
)
def test_a_bad_video_is_refused(refused, arguments, sentence):
    mute_video("mute.mp4")
    assert sentence in refused("video", *arguments)
