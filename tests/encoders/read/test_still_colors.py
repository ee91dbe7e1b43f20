"""Colours of stills: by profile, code points, gamma or the camera's word they come to sRGB."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from avatarvideo.encoders import EncodingConfig, FFmpegEncoder
from avatarvideo.encoders.read.picture import read_image, read_still, read_with_alpha
from avatarvideo.encoders.tone_map import PQ, Light, to_rec709
from avatarvideo.musetalk.inputs import load_avatar
from support.icc_profiles import ADOBE, P3, grey_profile

# What these are in P3 and Adobe RGB, by their formulas, for sRGB's red, green and a skin.
IN_PROFILE = {
    "P3": (P3, [(234, 51, 35), (117, 251, 76), (217, 172, 152)]),
    "Adobe": (ADOBE, [(219, 0, 0), (144, 255, 60), (210, 171, 151)]),
}
IN_SRGB = [(255, 0, 0), (0, 255, 0), (224, 172, 150)]


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "avif"])
@pytest.mark.parametrize("name", IN_PROFILE)
def test_a_wide_gamut_is_brought_to_srgb(tmp_path: Path, suffix: str, name: str) -> None:
    own, colours = IN_PROFILE[name]
    path = tmp_path / f"in.{suffix}"
    picture = np.array([colours], np.uint8).repeat(16, 0).repeat(16, 1)
    quality = {"quality": 100, "subsampling": "4:4:4", "lossless": True}
    quality = quality if suffix in ("jpg", "avif", "webp") else {}
    Image.fromarray(picture).save(path, icc_profile=own, **quality)

    shown, notes = read_still(path)

    apart = [np.abs(shown[8, 16 * n + 8].astype(int) - IN_SRGB[n]).max() for n in range(3)]
    assert max(apart) <= 6
    assert "to sRGB." in notes[0]
    assert load_avatar(path).notes() == notes


def test_profiles_of_srgb_change_nothing(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(picture).save(tmp_path / "in.png", icc_profile=srgb)

    shown, notes = read_still(tmp_path / "in.png")

    assert np.array_equal(shown, picture)
    assert notes == ()


def test_transparency_and_a_palette_keep_their_profile(tmp_path: Path) -> None:
    picture = Image.new("RGBA", (8, 8), (234, 51, 35, 255))
    picture.putpixel((0, 0), (234, 51, 35, 0))
    picture.save(tmp_path / "a.png", icc_profile=P3)
    picture.convert("RGB").quantize(2).save(tmp_path / "p.png", icc_profile=P3)

    for name in ("a", "p"):
        shown, notes = read_still(tmp_path / f"{name}.png")
        assert np.abs(shown[4, 4].astype(int) - (255, 0, 0)).max() <= 6
        assert "Display P3" in notes[0]
    assert read_image(tmp_path / "a.png")[0, 0].tolist() == [255, 255, 255]


def test_a_broken_profile_is_said(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), (10, 20, 30)).save(tmp_path / "in.png", icc_profile=b"x" * 200)

    shown, notes = read_still(tmp_path / "in.png")

    assert shown[0, 0].tolist() == [10, 20, 30]
    assert "profile cannot be read" in notes[0]


def with_chunk(picture: np.ndarray, kind: bytes, body: bytes) -> bytes:
    """Return a PNG with one more chunk after its header."""
    held = io.BytesIO()
    Image.fromarray(picture).save(held, "PNG")
    data = held.getvalue()
    chunk = struct.pack(">I", len(body)) + kind + body
    return data[:33] + chunk + struct.pack(">I", zlib.crc32(kind + body)) + data[33:]


def test_code_points_and_gamma_of_a_png_are_followed(tmp_path: Path) -> None:
    colours = np.array([IN_PROFILE["P3"][1]], np.uint8).repeat(8, 0).repeat(8, 1)
    (tmp_path / "p3.png").write_bytes(with_chunk(colours, b"cICP", bytes([12, 13, 0, 1])))
    grey = np.full((8, 8, 3), 148, np.uint8)  # 203 cd/m2 in PQ: reference white
    (tmp_path / "pq.png").write_bytes(with_chunk(grey, b"cICP", bytes([9, 16, 0, 1])))
    linear = np.full((8, 8, 3), 55, np.uint8)
    (tmp_path / "linear.png").write_bytes(with_chunk(linear, b"gAMA", struct.pack(">I", 100000)))
    usual = with_chunk(linear, b"gAMA", struct.pack(">I", 45455))
    (tmp_path / "usual.png").write_bytes(usual)

    shown = read_image(tmp_path / "p3.png")
    for n, wanted in enumerate(IN_SRGB):
        assert np.abs(shown[4, 8 * n + 4].astype(int) - wanted).max() <= 6
    wanted = 255 * to_rec709(np.full(3, 148 / 255), Light(9, PQ))
    assert np.abs(read_image(tmp_path / "pq.png")[4, 4] - wanted).max() <= 2
    assert read_still(tmp_path / "pq.png")[1] == (
        "The HDR picture (PQ) was tone-mapped to BT.709.",
    )
    assert abs(int(read_image(tmp_path / "linear.png")[4, 4, 0]) - 128) <= 1
    assert read_image(tmp_path / "usual.png")[4, 4, 0] == 55


LINEAR_100 = 168  # what sRGB writes for 100/255 of the light
GREYS = {
    "l.png": Image.new("L", (8, 8), 100),
    "l.jpg": Image.new("L", (8, 8), 100),
    "l.tif": Image.new("L", (8, 8), 100),
    "deep.png": Image.fromarray(np.full((8, 8), 100 * 257, np.uint16)),
    "la.png": Image.new("LA", (8, 8), (100, 255)),
}


@pytest.mark.parametrize("name", GREYS)
def test_the_profile_of_greys_is_followed(tmp_path: Path, name: str) -> None:
    GREYS[name].save(tmp_path / name, icc_profile=grey_profile(1.0))

    shown, notes = read_still(tmp_path / name)

    assert np.abs(shown[4, 4].astype(int) - LINEAR_100).max() <= 1
    assert notes[0] == "The colours were converted from Grey to sRGB."


def test_a_grey_picture_with_the_profile_of_colours_is_read(tmp_path: Path) -> None:
    Image.new("L", (8, 8), 100).save(tmp_path / "p3.jpg", icc_profile=P3)  # whose curve is sRGB's
    Image.new("L", (8, 8), 100).save(tmp_path / "adobe.jpg", icc_profile=ADOBE)

    assert read_still(tmp_path / "p3.jpg")[1] == ()
    for name in ("p3.jpg", "adobe.jpg"):
        assert np.abs(read_image(tmp_path / name)[4, 4].astype(int) - 100).max() <= 1


def in_front(kind: str) -> Image.Image:
    """P3's red with a transparent point at the upper left, told in different ways."""
    picture = Image.new("RGBA", (8, 8), (234, 51, 35, 255))
    picture.putpixel((0, 0), (1, 2, 3, 0))
    if kind == "key":
        picture = picture.convert("RGB")
        picture.info["transparency"] = (1, 2, 3)
    return picture.quantize(4) if kind == "palette" else picture


@pytest.mark.parametrize("kind", ["alpha", "key", "palette"])
@pytest.mark.parametrize("by", ["profile", "gamma"])
def test_transparency_of_every_form_outlives_the_colours(
    tmp_path: Path, kind: str, by: str
) -> None:
    path, picture = tmp_path / "in.png", in_front(kind)
    picture.save(path, icc_profile=P3 if by == "profile" else None)
    if by == "gamma":
        data, body = path.read_bytes(), b"gAMA" + struct.pack(">I", 100000)
        chunk = struct.pack(">I", 4) + body + struct.pack(">I", zlib.crc32(body))
        path.write_bytes(data[:33] + chunk + data[33:])

    shown, notes = read_still(path)
    layers, alpha = read_with_alpha(path)

    wanted = (255, 0, 0) if by == "profile" else (245, 124, 103)
    assert np.abs(shown[4, 4].astype(int) - wanted).max() <= 6
    assert np.array_equal(layers[4, 4], shown[4, 4])
    assert shown[0, 0].tolist() == [255, 255, 255]
    assert alpha is not None
    assert (alpha[0, 0], alpha[4, 4]) == (0, 255)
    assert len(notes) == 2


def adobe_exif(color_space: int, index: str) -> Image.Exif:
    """What a camera writes beside a picture: a colour space, and DCF's index."""
    exif = Image.Exif()
    exif[0x010F] = "maker"
    exif.get_ifd(0x8769).update({0xA001: color_space, 0xA005: {1: index}})
    return exif


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "avif"])
@pytest.mark.parametrize(
    ("color_space", "index", "wanted"),
    [
        (65535, "R03", (0, 255, 0)),
        (2, "R98", (0, 255, 0)),
        (1, "R98", (144, 255, 60)),
        (65535, "R98", (144, 255, 60)),
    ],
)
def test_adobe_rgb_is_known_by_the_cameras_word(
    tmp_path: Path, suffix: str, color_space: int, index: str, wanted: tuple[int, ...]
) -> None:
    path = tmp_path / f"_in.{suffix}"
    exact = {"png": {}, "webp": {"lossless": True}}.get(suffix, {"subsampling": "4:4:4"})
    picture = Image.new("RGB", (32, 32), (144, 255, 60))
    picture.save(path, exif=adobe_exif(color_space, index), quality=100, **exact)

    shown, notes = read_still(path)

    assert np.abs(shown[8, 8].astype(int) - wanted).max() <= 6
    assert notes == ("The colours were converted from Adobe RGB to sRGB.",) * (wanted[0] == 0)


def test_adobe_rgb_by_formula_equals_its_profile(tmp_path: Path) -> None:
    colours = np.random.default_rng(2).integers(0, 256, (300, 40, 3)).astype(np.uint8)
    Image.fromarray(colours).save(tmp_path / "a.png", icc_profile=ADOBE)
    Image.fromarray(colours).save(tmp_path / "b.png", exif=adobe_exif(65535, "R03"))

    one, other = (read_image(tmp_path / name).astype(int) for name in ("a.png", "b.png"))

    assert np.abs(one - other).mean() < 0.3
    assert np.percentile(np.abs(one - other), 99) <= 2


@pytest.mark.parametrize("count", [1, 2])
def test_the_profile_of_an_animated_webp_is_followed(tmp_path: Path, count: int) -> None:
    path, out = tmp_path / "in.webp", tmp_path / "out.mp4"
    pictures = [Image.new("RGB", (64, 64), colour) for colour in IN_PROFILE["P3"][1][:count]]
    pictures[0].save(
        path,
        icc_profile=P3,
        lossless=True,
        duration=100,
        save_all=count > 1,
        append_images=pictures[1:],
    )
    note = "The colours were converted from Display P3 to sRGB."

    made = FFmpegEncoder().encode(path, out, EncodingConfig(crf=1))

    for clip in (load_avatar(path), load_avatar(out)):
        for frame, wanted in zip(clip.frames(), IN_SRGB[:count], strict=True):
            assert np.abs(frame[32, 32].astype(int) - wanted).max() <= 6
    assert load_avatar(path).notes() == (note,)
    assert note in made.notes
