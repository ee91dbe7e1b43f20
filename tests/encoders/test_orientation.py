"""All eight orientations, of display matrices and of EXIF, in readers, info and copies."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream
from PIL import Image

from avatarvideo.encoders import EncodingConfig, FFmpegEncoder
from avatarvideo.encoders.orientation import Orientation
from avatarvideo.encoders.read.picture import read_image
from avatarvideo.encoders.read.probe import probe, table
from avatarvideo.encoders.read.video import VideoReader
from avatarvideo.musetalk.inputs import load_avatar
from support import heic_grid

ALL = [Orientation(turns, mirrored) for turns in range(4) for mirrored in (False, True)]
IDS = [f"{90 * one.turns}{'m' * one.mirrored}" for one in ALL]
# (a, b, c, d): a picture's point (x, y) is shown at (a x + c y, b x + d y).
MATRICES = dict(
    zip(
        ALL,
        [
            *((1, 0, 0, 1), (-1, 0, 0, 1), (0, -1, 1, 0), (0, -1, -1, 0)),
            *((-1, 0, 0, -1), (1, 0, 0, -1), (0, 1, -1, 0), (0, 1, 1, 0)),
        ],
        strict=True,
    )
)
EXIF = dict(zip(ALL, (1, 2, 8, 7, 3, 4, 6, 5), strict=True))
SHOWN = np.full((64, 96, 3), 128, np.uint8)  # as a viewer sees it
SHOWN[:24, -24:] = (230, 20, 20)
SHOWN[:24, :24] = (20, 200, 20)
SHOWN[-24:, :24] = (20, 20, 230)
CORNERS = {"red": (12, -12), "green": (12, 12), "blue": (-12, 12)}
CODECS = {"mp4": "libx264", "mov": "libx264", "mkv": "libx264", "webm": "libvpx-vp9"}


def stored(orientation: Orientation) -> np.ndarray:
    """The picture as a camera stores it that was held this way."""
    picture = SHOWN[:, ::-1] if orientation.mirrored else SHOWN
    return np.ascontiguousarray(np.rot90(picture, -orientation.turns))


def is_shown(picture: np.ndarray) -> bool:
    """Whether every coloured square is where it belongs."""
    return picture.shape == SHOWN.shape and all(
        np.abs(picture[at].astype(int) - SHOWN[at]).max() < 25 for at in CORNERS.values()
    )


def oriented_video(path: Path, orientation: Orientation, scale: int = 1) -> Path:
    a, b, c, d = (scale * part << 16 for part in MATRICES[orientation])
    picture = stored(orientation)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(CODECS[path.suffix[1:]], rate=10)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode(None))
    return path


@pytest.mark.slow_after(8)
@pytest.mark.parametrize("orientation", ALL, ids=IDS)
@pytest.mark.parametrize("container", CODECS)
def test_a_display_matrix_is_followed(
    tmp_path: Path, container: str, orientation: Orientation
) -> None:
    path = oriented_video(tmp_path / f"in.{container}", orientation)
    out = tmp_path / "out.mp4"

    reader, info = VideoReader(path), probe(path)
    made = FFmpegEncoder().encode(path, out, EncodingConfig(quality="fast"))
    kept = tmp_path / f"copy.{container}"
    copied = FFmpegEncoder().encode(path, kept, EncodingConfig(codec="copy"))

    assert is_shown(next(reader.frames()))
    assert is_shown(list(reader.frames(3))[-1])
    assert is_shown(load_avatar(path).first_frame())
    assert (info.rotation, info.is_mirrored) == (90 * orientation.turns, orientation.mirrored)
    assert (info.width, info.height) == (96, 64)
    assert ("mirrored" in table(info)) == orientation.mirrored
    assert made.resolution == copied.resolution == (96, 64)
    assert is_shown(next(VideoReader(out).frames()))
    assert VideoReader(out).orientation.is_upright
    assert is_shown(next(VideoReader(kept).frames()))
    assert probe(kept).rotation == info.rotation


@pytest.mark.parametrize("orientation", ALL, ids=IDS)
@pytest.mark.parametrize(("first", "second"), [("mp4", "mkv"), ("mkv", "mov"), ("mov", "mp4")])
def test_a_copy_into_another_container_keeps_it(
    tmp_path: Path, first: str, second: str, orientation: Orientation
) -> None:
    path = oriented_video(tmp_path / f"in.{first}", orientation)
    kept = tmp_path / f"copy.{second}"

    FFmpegEncoder().trim(path, kept, Fraction(0), Fraction(3, 10), EncodingConfig(codec="copy"))

    assert is_shown(next(VideoReader(kept).frames()))


@pytest.mark.slow_after(8)
@pytest.mark.parametrize("container", ["avi", "mov", "mkv"])
@pytest.mark.parametrize("orientation", ALL, ids=IDS)
def test_exif_inside_motion_jpeg_is_followed(
    tmp_path: Path, ffmpeg: str, container: str, orientation: Orientation
) -> None:
    exif = Image.Exif()
    exif[0x0112] = EXIF[orientation]
    Image.fromarray(stored(orientation)).save(tmp_path / "in.jpg", exif=exif, quality=95)
    path = tmp_path / f"in.{container}"
    given = [ffmpeg, "-v", "error", "-framerate", "10", "-i", str(tmp_path / "in.jpg")]
    subprocess.run([*given, "-c", "copy", str(path)], check=True)

    assert is_shown(next(VideoReader(path).frames()))
    found = probe(path)
    assert (found.rotation, found.is_mirrored) == (90 * orientation.turns, orientation.mirrored)


def test_a_scaled_matrix_turns_all_the_same(tmp_path: Path) -> None:
    orientation = Orientation(1, mirrored=True)
    path = oriented_video(tmp_path / "in.mp4", orientation, scale=2)

    assert is_shown(next(VideoReader(path).frames()))


@pytest.mark.slow_after(2)
@pytest.mark.parametrize("orientation", ALL, ids=IDS)
def test_an_orientation_among_the_pictures_is_followed(
    tmp_path: Path, ffmpeg: str, orientation: Orientation
) -> None:
    """A transport stream has no matrix: H.264 may say it beside the pictures."""
    plain = oriented_video(tmp_path / "in.mkv", Orientation())
    height, width = stored(orientation).shape[:2]
    Image.fromarray(stored(orientation)).save(tmp_path / "in.png")
    # Its message turns after flipping.
    turns = -orientation.turns if orientation.mirrored else orientation.turns
    flip = ":flip=horizontal" if orientation.mirrored else ""
    says = f"h264_metadata=display_orientation=insert:rotate={90 * turns % 360}{flip}"
    command = [ffmpeg, "-v", "error", "-loop", "1", "-i", str(tmp_path / "in.png"), "-t", "0.5"]
    command += ["-s", f"{width}x{height}", "-c:v", "libx264", "-pix_fmt", "yuv420p"]
    path = tmp_path / "in.ts"
    subprocess.run([*command, "-bsf:v", says, str(path)], check=True)

    assert plain.exists()
    assert is_shown(next(VideoReader(path).frames()))
    kept = tmp_path / "copy.mkv"
    FFmpegEncoder().encode(path, kept, EncodingConfig(codec="copy"))
    assert is_shown(next(VideoReader(kept).frames()))


@pytest.mark.parametrize("orientation", ALL, ids=IDS)
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "avif"])
def test_exif_is_followed(tmp_path: Path, suffix: str, orientation: Orientation) -> None:
    path = tmp_path / f"in.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = EXIF[orientation]
    Image.fromarray(stored(orientation)).save(path, exif=exif)

    assert is_shown(read_image(path))
    assert is_shown(load_avatar(path).first_frame())


@pytest.mark.parametrize("orientation", ALL, ids=IDS)
@pytest.mark.parametrize("count", [1, 3])
def test_a_webp_taken_as_video_follows_its_exif(
    tmp_path: Path, count: int, orientation: Orientation
) -> None:
    path, out = tmp_path / "in.webp", tmp_path / "out.mp4"
    exif = Image.Exif()
    exif[0x0112] = EXIF[orientation]
    picture = Image.fromarray(stored(orientation))
    picture.save(path, exif=exif, save_all=count > 1, append_images=[picture] * (count - 1))

    FFmpegEncoder().encode(path, out, EncodingConfig(quality="fast"))

    assert is_shown(next(VideoReader(out).frames()))
    assert (probe(path).width, probe(path).height) == (96, 64)


@pytest.mark.slow_after(2)
@pytest.mark.parametrize("orientation", ALL, ids=IDS)
def test_the_turns_of_a_heic_are_followed(tmp_path: Path, orientation: Orientation) -> None:
    pytest.importorskip("pillow_heif")
    turns, mirrored = orientation.turns, orientation.mirrored
    path = tmp_path / "in.heic"
    heic_grid.write(path, stored(orientation), 64, turns=turns, mirrored=mirrored)

    assert is_shown(read_image(path))
    assert is_shown(load_avatar(path).first_frame())
