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
ON_WHITE = "Transparency was replaced with white"


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
        stream.codec_context.thread_count = 1  # VP8's threads spin: a minute beside other tests
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


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("name", ["a.webm", "a.mkv"])
@pytest.mark.parametrize("encoder", ["libvpx", "libvpx-vp9"])
def test_what_lies_beside_the_packets_is_read_alike(
    tmp_path: Path, encoder: str, name: str
) -> None:
    options = {"auto-alt-ref": "0", "deadline": "realtime"}
    path = write(tmp_path / name, [0, 255, 128, 0], encoder, "yuva420p", options)
    if encoder not in av.codecs_available or not stated_alpha(path):
        pytest.skip("this FFmpeg writes no transparency of these")
    out, deep = tmp_path / "out.mp4", tmp_path / "out.mov"

    made = FFmpegEncoder().encode(path, out, EncodingConfig(crf=2))
    FFmpegEncoder().encode(path, deep, EncodingConfig(codec="prores", alpha=True))

    avatar = load_avatar(path)
    for frames in (avatar.frames(), VideoReader(out).frames(), VideoReader(deep).frames()):
        left = [frame[32, 16].tolist() for frame in frames]
        wanted = [(255, 255, 255), (200, 0, 0), (227, 127, 127), (255, 255, 255)]
        assert np.abs(np.subtract(left, wanted)).max() <= 8
    assert [frame[32, 16, 1] for frame in VideoReader(path).frames(2)] == [
        frame[32, 16, 1] for frame in list(VideoReader(path).frames())[2:]
    ]
    assert VideoReader(path).has_alpha
    assert UNREAD_ALPHA not in made.notes
    assert any(note.startswith(ON_WHITE) for note in made.notes)
    assert any(note.startswith(ON_WHITE) for note in avatar.notes())


def stated_alpha(path: Path) -> bool:
    with av.open(str(path)) as container:
        return "alpha_mode" in {name.lower() for name in container.streams.video[0].metadata}


def test_a_transparent_clip_is_turned_too(tmp_path: Path) -> None:
    path = tmp_path / "turned.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=10, options={"deadline": "realtime"})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuva420p"
        stream.set_display_matrix([0, -1 << 16, 0, 1 << 16, 0, 0, 0, 0, 1 << 30])
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(picture(0), format="rgba")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    if not stated_alpha(path):
        pytest.skip("this FFmpeg writes no transparency of these")

    shown = next(VideoReader(path).frames())

    assert shown.shape == (96, 64, 3)
    assert np.abs(np.subtract(shown[80, 32].tolist(), (255, 255, 255))).max() <= 8
    assert np.abs(np.subtract(shown[16, 32].tolist(), (200, 0, 0))).max() <= 8


def test_a_still_says_it_too(tmp_path: Path) -> None:
    Image.fromarray(picture(0)).save(tmp_path / "a.png")

    avatar = load_avatar(tmp_path / "a.png")

    assert avatar.first_frame()[32, 16].tolist() == [255, 255, 255]
    assert any(ON_WHITE in note for note in avatar.notes())
