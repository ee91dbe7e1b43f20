"""Stills as phones and cameras make them: HEIC grids, kinds that are refused."""

from __future__ import annotations

import re
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream
from PIL import Image

from avatarvideo.encoders import EncodingConfig, FFmpegEncoder
from avatarvideo.encoders.read.picture import is_image, read_image
from avatarvideo.encoders.read.probe import probe
from avatarvideo.encoders.read.video import VideoReader
from avatarvideo.errors import MediaError
from avatarvideo.headless.core_nodes import LoadImage
from avatarvideo.host.current import set_host
from avatarvideo.host.standalone import StandaloneHost
from avatarvideo.musetalk.inputs import load_avatar
from support import heic_grid

CORNERS = {(12, 12): (20, 200, 20), (12, -12): (230, 20, 20), (-12, 12): (20, 20, 230)}


def chart(height: int, width: int) -> np.ndarray:
    picture = np.full((height, width, 3), 128, np.uint8)
    picture[:24, :24], picture[:24, -24:], picture[-24:, :24] = CORNERS.values()
    return picture


@pytest.mark.parametrize(
    ("height", "width", "tile"),
    [(128, 128, 64), (150, 100, 64), (64, 192, 64), (200, 90, 128), (65, 129, 64)],
)
def test_a_grid_is_shown_whole(tmp_path: Path, height: int, width: int, tile: int) -> None:
    pytest.importorskip("pillow_heif")
    path = heic_grid.write(tmp_path / "in.heic", chart(height, width), tile)
    disguised = tmp_path / "in.jpg"
    disguised.write_bytes(path.read_bytes())

    for file in (path, disguised):
        picture = read_image(file)
        assert picture.shape == (height, width, 3)
        for place, colour in CORNERS.items():
            assert np.abs(picture[place].astype(int) - colour).max() <= 6
    assert load_avatar(path).width == width


@pytest.mark.parametrize("brands", [(b"heic", b"mif1"), (b"mif1", b"heic"), (b"msf1", b"hevc")])
def test_a_heic_is_never_shown_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, brands: tuple[bytes, ...]
) -> None:
    path = heic_grid.write(tmp_path / "in.mp4", chart(128, 128), 64, brands)
    with av.open(str(path)) as container:  # what FFmpeg alone makes of it
        assert container.streams.video[0].codec_context.width == 64

    made = FFmpegEncoder().encode(path, tmp_path / "out.mp4", EncodingConfig())
    assert "is a still picture (HEIC)" in str(made.error)
    with pytest.raises(MediaError, match="is a still picture"):
        probe(path)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # as where it is not installed
    photo = path.rename(tmp_path / "in.heic")
    with pytest.raises(MediaError, match=r"is HEIC.*pip install pillow-heif.*JPEG or PNG"):
        load_avatar(photo)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\xff\x0a" + bytes(40), "JPEG XL"),
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n" + bytes(40), "JPEG XL"),
        (b"\x00\x00\x01\x00\x01\x00" + bytes(40), "ICO"),
        (struct.pack(">I", 28) + b"ftypavis\0\0\0\0avifavismsf1" + bytes(40), "animated AVIF"),
        (struct.pack(">I", 28) + b"ftypavif\0\0\0\0mif1avifavis" + bytes(40), "animated AVIF"),
    ],
)
@pytest.mark.parametrize("suffix", ["png", "jxl", "ico", "avif", "mp4"])
def test_other_kinds_are_named(tmp_path: Path, head: bytes, kind: str, suffix: str) -> None:
    path = tmp_path / f"in.{suffix}"
    path.write_bytes(head)

    with pytest.raises(MediaError, match=f"is {kind}: save it as"):
        load_avatar(path)
    assert f"is {kind}" in str(FFmpegEncoder().encode(path, tmp_path / "out.mp4").error)


@pytest.mark.parametrize("name", ["in.heic", "in.jpg"])
def test_a_heic_is_loaded_by_a_graph(tmp_path: Path, name: str) -> None:
    pytest.importorskip("pillow_heif")
    heic_grid.write(tmp_path / name, chart(128, 128), 64)
    set_host(StandaloneHost(input_directory=tmp_path))
    try:
        image, mask = LoadImage().load(name)
    finally:
        set_host(None)

    picture = (image[0] * 255).round().numpy()
    for place, colour in CORNERS.items():
        assert np.abs(picture[place] - colour).max() <= 6
    assert not mask.any()


STILLS = {"JPEG": "JPEG", "PNG": "PNG", "TIFF": "TIFF", "BMP": "BMP", "JPEG2000": "JPEG 2000"}


@pytest.mark.parametrize("suffix", ["", ".mp4", ".data"])
@pytest.mark.parametrize("form", [*STILLS, "WEBP", "GIF", "HEIC"])
def test_a_picture_is_an_avatar_under_every_name(tmp_path: Path, form: str, suffix: str) -> None:
    path = tmp_path / f"in{suffix}"
    picture = Image.new("RGB", (64, 64), (200, 60, 30))
    if form == "HEIC":
        pytest.importorskip("pillow_heif")
        heic_grid.write(path, np.asarray(picture), 64)
    else:
        picture.save(path, form)

    avatar = load_avatar(path)

    assert avatar.frame_count == 1
    assert np.abs(avatar.first_frame()[32, 32].astype(int) - (200, 60, 30)).max() <= 6


def test_what_moves_is_no_still_under_another_name(tmp_path: Path) -> None:
    pictures = [Image.new("RGB", (64, 64), colour) for colour in ("red", "lime")]
    for form in ("GIF", "WEBP"):
        pictures[0].save(tmp_path / form, form, save_all=True, append_images=pictures[1:])
        assert load_avatar(tmp_path / form).frame_count == 2
    pictures[0].save(tmp_path / "in.mjpeg", "JPEG")  # may hold many
    assert not is_image(tmp_path / "in.mjpeg")


@pytest.mark.parametrize(("form", "kind"), STILLS.items())
def test_a_still_taken_for_a_video_is_named(tmp_path: Path, form: str, kind: str) -> None:
    path = tmp_path / "in.file"
    Image.new("RGB", (64, 64)).save(path, form)
    wanted = (
        f"Expected a video or sound, but 'in.file' is a still picture ({kind}): use it as an "
        "avatar."
    )

    with pytest.raises(MediaError, match=re.escape(wanted)):
        probe(path)
    assert FFmpegEncoder().encode(path, tmp_path / "out.mp4").error == wanted
    assert load_avatar(path).width == 64  # what is told to do works


@pytest.mark.parametrize(
    ("name", "encoder", "kind"),
    [
        ("in.mjpeg", "mjpeg", "Motion JPEG"),
        ("in.jpg", "mjpeg", "Motion JPEG"),
        ("in.h264", "libx264", "H.264"),
    ],
)
def test_streams_without_a_container_are_named(
    tmp_path: Path, name: str, encoder: str, kind: str
) -> None:
    path = tmp_path / name
    form = "mjpeg" if encoder == "mjpeg" else "h264"
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(encoder, rate=25)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = 64, 64
        stream.pix_fmt = "yuvj420p" if encoder == "mjpeg" else "yuv420p"
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 60 * number, np.uint8))
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))

    with pytest.raises(MediaError) as caught:
        VideoReader(path)

    assert str(caught.value) == (
        f"Expected a video or sound, but {name!r} is raw {kind}, pictures without their times: put "
        "it into a container first (ffmpeg -framerate 25 -i FILE -c copy FILE.mkv, with its own "
        "rate)."
    )


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_a_video_under_a_pictures_name_is_to_be_renamed(
    tmp_path: Path, make_video: Callable[..., Path], suffix: str
) -> None:
    path = make_video(tmp_path / f"in{suffix}", 3).rename(tmp_path / "in.png")

    with pytest.raises(MediaError) as caught:
        read_image(path)

    assert str(caught.value) == (
        "Expected a picture, but 'in.png' is a video under a picture's name: rename it, so that it "
        f"ends in {suffix}."
    )
