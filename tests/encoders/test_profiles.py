"""ICC profiles beside the pictures of videos: every reader brings them to sRGB and says so."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageCms

from avatarvideo.encoders import EncodingConfig, FFmpegEncoder
from avatarvideo.encoders.profiles import UNREADABLE, color_profile, profile_of_gif
from avatarvideo.encoders.read.picture import read_image
from avatarvideo.encoders.read.video import VideoReader
from avatarvideo.musetalk.inputs import load_avatar
from support.icc_profiles import ADOBE, P3, grey_profile

# What these are in P3 and Adobe RGB, by their formulas, for sRGB's red, green and a skin.
COLOURS = {
    "P3": (P3, [(234, 51, 35), (117, 251, 76), (217, 172, 152)]),
    "Adobe": (ADOBE, [(219, 0, 0), (144, 255, 60), (210, 171, 151)]),
}
IN_SRGB = [(255, 0, 0), (0, 255, 0), (224, 172, 150)]
KINDS = ("avif", "png", "gif", "webp", "png.mov", "png.avi", "jpeg.mkv", "jpeg.mov", "jpeg.avi")


def patches(colours: list[tuple[int, int, int]]) -> Image.Image:
    return Image.fromarray(np.array([colours], np.uint8).repeat(32, 0).repeat(32, 1))


def write(path: Path, picture: Image.Image, profile: bytes) -> Path:
    """Write a video of two equal pictures; png.mov is PNG pictures in QuickTime."""
    parts = path.name.split(".")[1:]
    if len(parts) == 2:
        return muxed(path, parts[0], encoded(picture, parts[0], profile))
    if parts == ["gif"]:
        path.write_bytes(with_profile(encoded(picture, "gif", None), profile))
        return path
    several = {} if parts == ["avif"] else {"save_all": True, "append_images": [picture.copy()]}
    lossless = {"lossless": True} if parts == ["webp"] else {}
    exact = {"quality": 100, "subsampling": "4:4:4"} if parts == ["avif"] else {}
    picture.save(path, icc_profile=profile, **several, **lossless, **exact)
    return path


def encoded(picture: Image.Image, kind: str, profile: bytes | None) -> bytes:
    file = io.BytesIO()
    quality = {"quality": 100, "subsampling": 0} if kind == "jpeg" else {}
    picture.save(file, kind, **({"icc_profile": profile} if profile else {}), **quality)
    return file.getvalue()


def muxed(path: Path, codec: str, data: bytes) -> Path:
    name, form = ("png", "rgb24") if codec == "png" else ("mjpeg", "yuvj444p")
    with av.open(path, "w") as container:
        stream = container.add_stream(name, rate=10, width=96, height=32, pix_fmt=form)
        for tick in range(2):
            packet = av.Packet(data)
            packet.stream, packet.time_base = stream, Fraction(1, 10)
            packet.pts = packet.dts = tick
            packet.is_keyframe = True
            container.mux(packet)
    return path


def with_profile(gif: bytes, profile: bytes) -> bytes:
    """Put an application extension before everything else in a GIF."""
    at = 13 + (3 << (gif[10] & 7) + 1 if gif[10] & 0x80 else 0)
    blocks = [profile[n : n + 255] for n in range(0, len(profile), 255)]
    data = b"".join(bytes([len(block)]) + block for block in (b"ICCRGBG1012", *blocks))
    comment = b"\x21\xfe\x03abc\x00"
    return gif[:at] + comment + b"\x21\xff" + data + b"\x00" + gif[at:]


def apart(picture: np.ndarray, colours: list[tuple[int, int, int]] = IN_SRGB) -> int:
    seen = picture[16, 16::32, :3].astype(int)
    return int(np.abs(seen - colours).max())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", COLOURS)
def test_videos_with_a_profile_are_brought_to_srgb(tmp_path: Path, kind: str, name: str) -> None:
    profile, colours = COLOURS[name]
    path = write(tmp_path / f"in.{kind}", patches(colours), profile)
    note = (
        f"The colours were converted from {'Display P3' if name == 'P3' else 'Adobe RGB'} to sRGB."
    )

    config = EncodingConfig(codec="ffv1")
    made = FFmpegEncoder().encode(path, tmp_path / "out.mkv", config)
    avatar = load_avatar(path)

    assert made.error is None
    assert apart(next(iter(VideoReader(tmp_path / "out.mkv").frames()))) <= 8
    assert note in made.notes
    assert apart(avatar.first_frame()) <= 6
    assert avatar.notes() == (note,)


def test_a_still_gif_is_brought_to_srgb(tmp_path: Path) -> None:
    profile, colours = COLOURS["P3"]
    path = tmp_path / "in.gif"
    path.write_bytes(with_profile(encoded(patches(colours), "gif", None), profile))

    assert apart(read_image(path)) <= 4
    assert load_avatar(path).notes() == ("The colours were converted from Display P3 to sRGB.",)


def test_profiles_of_gifs_that_are_cut_off_are_none() -> None:
    whole = with_profile(encoded(patches(IN_SRGB), "gif", None), P3)
    ends = whole.index(P3[-20:]) + 20
    assert profile_of_gif(whole) == P3
    assert not any(profile_of_gif(whole[:at]) for at in range(ends))


def test_a_profile_of_srgb_leaves_videos_as_they_are(tmp_path: Path) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    reader = VideoReader(write(tmp_path / "in.png.mov", patches(IN_SRGB), srgb))

    assert apart(next(iter(reader.frames()))) == 0
    assert reader.notes == ()
    assert reader.is_plain


def test_a_profile_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    reader = VideoReader(write(tmp_path / "in.png.mov", patches(IN_SRGB), P3[:200]))

    assert apart(next(iter(reader.frames()))) == 0
    assert reader.notes == (UNREADABLE,)


def test_clear_parts_keep_their_alpha(tmp_path: Path) -> None:
    picture = patches(COLOURS["P3"][1]).convert("RGBA")
    picture.putalpha(128)
    path = write(tmp_path / "in.png", picture, P3)

    made = FFmpegEncoder().encode(
        path, tmp_path / "out.mov", EncodingConfig(codec="prores", alpha=True)
    )

    assert made.error is None
    with av.open(tmp_path / "out.mov") as container:
        frame = next(container.decode(video=0))
        assert int(frame.to_ndarray(format="rgba")[16, 16, 3]) == pytest.approx(128, abs=2)
    red, green, blue = (
        [round(255 - (255 - color[part]) * 128 / 255) for color in IN_SRGB] for part in range(3)
    )
    on_white = list(zip(red, green, blue, strict=True))
    assert apart(next(iter(VideoReader(path).frames())), on_white) <= 4


def test_ten_bits_are_brought_to_srgb_too() -> None:
    profile, colours = COLOURS["P3"]
    picture = np.asarray(patches(colours)).astype(np.uint16) * 257

    mapped = color_profile(profile, "RGB").of_array(picture)

    assert mapped.dtype == np.uint16
    assert apart(mapped // 257) <= 3


def test_greys_are_brought_to_srgb(tmp_path: Path) -> None:
    grey = Image.new("L", (96, 32), 128)
    data = encoded(grey, "jpeg", grey_profile(1.0))
    reader = VideoReader(muxed(tmp_path / "in.mkv", "jpeg", data))

    shown = next(iter(reader.frames()))

    assert shown[16, 48].tolist() == pytest.approx([188] * 3, abs=2)
    assert reader.notes == ("The colours were converted from Grey to sRGB.",)
