"""Transparency, from the first picture on or later: lip-sync and encode lay it on white alike."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream
from PIL import Image

from avatarvideo.encoders import EncodingConfig, FFmpegEncoder
from avatarvideo.encoders.read.video import UNREAD_ALPHA, VideoReader
from avatarvideo.musetalk.inputs import load_avatar

ENCODERS = {
    "prores.mov": ("prores_ks", "yuva444p10le", {"profile": "4444"}),
    "animation.mov": ("qtrle", "argb", {}),
    "png.mov": ("png", "rgba", {}),
    "lossless.mkv": ("ffv1", "bgra", {}),
    "moving.apng": ("apng", "rgba", {}),
}
ON_WHITE = "Transparency was laid on white"


def picture(alpha: int) -> np.ndarray:
    """Red, and on the left as opaque as said."""
    made = np.zeros((64, 96, 4), np.uint8)
    made[...] = (200, 0, 0, 255)
    made[:, :48, 3] = alpha
    return made


def write(path: Path, alphas: list[int], encoder: str, form: str, options: dict[str, str]) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoder, rate=10, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 96, 64, form
        for alpha in alphas:
            frame = av.VideoFrame.from_ndarray(picture(alpha), format="rgba")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("first", [0, 255])
@pytest.mark.parametrize("name", ENCODERS)
def test_both_lay_it_on_white(tmp_path: Path, name: str, first: int) -> None:
    path = write(tmp_path / name, [first, 255, 0, 128, 255], *ENCODERS[name])
    avatar, out = load_avatar(path), tmp_path / "out.mp4"

    shown = list(avatar.frames())
    made = FFmpegEncoder().encode(path, out, EncodingConfig(crf=2))

    for number, encoded in enumerate(VideoReader(out).frames()):
        assert np.abs(shown[number].astype(int)[8::16, 8::16] - encoded[8::16, 8::16]).max() <= 6
    left = [frame[32, 16].tolist() for frame in shown]
    assert np.abs(np.subtract(left[2], (255, 255, 255))).max() <= 3
    assert np.abs(np.subtract(left[3], (227, 127, 127))).max() <= 3
    assert np.abs(np.subtract(left[4], (200, 0, 0))).max() <= 3
    assert any(ON_WHITE in note for note in made.notes)
    assert any(ON_WHITE in note for note in avatar.notes())


def test_an_opaque_file_says_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mov", [255] * 4, *ENCODERS["png.mov"])
    avatar = load_avatar(path)

    assert len(list(avatar.frames())) == 4
    assert avatar.notes() == ()
    assert FFmpegEncoder().encode(path, tmp_path / "out.mp4").notes == ()


def test_what_cannot_be_read_is_said_alike(tmp_path: Path) -> None:
    config = EncodingConfig(codec="vp9", alpha=True)
    source = write(tmp_path / "a.mov", [0] * 3, *ENCODERS["png.mov"])
    path = tmp_path / "a.webm"
    assert FFmpegEncoder().encode(source, path, config).success

    assert load_avatar(path).notes() == (UNREAD_ALPHA,)
    assert UNREAD_ALPHA in FFmpegEncoder().encode(path, tmp_path / "out.mp4").notes


def test_a_still_says_it_too(tmp_path: Path) -> None:
    Image.fromarray(picture(0)).save(tmp_path / "a.png")

    avatar = load_avatar(tmp_path / "a.png")

    assert avatar.first_frame()[32, 16].tolist() == [255, 255, 255]
    assert any(ON_WHITE in note for note in avatar.notes())
