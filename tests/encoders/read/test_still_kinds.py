"""Stills as phones and cameras make them: HEIC grids, wide gamuts, kinds that are refused."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageCms

from avatarvideo.encoders import EncodingConfig, FFmpegEncoder
from avatarvideo.encoders.read.picture import read_image, read_still
from avatarvideo.encoders.read.probe import probe
from avatarvideo.encoders.tone_map import PQ, Light, to_rec709
from avatarvideo.errors import MediaError
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


SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def profile(
    columns: tuple[tuple[float, float, float], ...], curve_of: tuple[float, ...], name: str
) -> bytes:
    """An ICC profile of version 2. columns: XYZ, under D50, of red, green and blue."""

    def number(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    def xyz(values: tuple[float, float, float]) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(map(number, values))

    text = name.encode() + b"\0"
    described = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78)
    kind = 0 if len(curve_of) == 1 else 3  # a power alone, or with a straight part
    curve = b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + b"".join(map(number, curve_of))
    tags = {b"desc": described, b"wtpt": xyz((0.9642, 1.0, 0.8249)), b"cprt": b"text\0\0\0\0-\0"}
    for colour, column in zip((b"r", b"g", b"b"), columns, strict=True):
        tags |= {colour + b"XYZ": xyz(column), colour + b"TRC": curve}
    table, bodies = struct.pack(">I", len(tags)), b""
    for tag, body in tags.items():
        at = 128 + 4 + 12 * len(tags) + len(bodies)
        table += tag + struct.pack(">II", at, len(body))
        bodies += body + bytes(-len(body) % 4)
    head = bytearray(128)
    struct.pack_into(">I", head, 0, 128 + len(table) + len(bodies))
    head[8:12], head[12:24], head[36:40] = b"\x02\x10\0\0", b"mntrRGB XYZ ", b"acsp"
    head[68:80] = b"".join(map(number, (0.9642, 1.0, 0.8249)))
    return bytes(head) + table + bodies


P3 = profile(
    ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)),
    SRGB_CURVE,
    "Display P3",
)
ADOBE = profile(
    ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)),
    (2.2,),
    "Adobe RGB",
)
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
