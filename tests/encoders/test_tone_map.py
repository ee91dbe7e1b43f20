"""HDR and wide gamuts: the pictures against FFmpeg's zscale and tonemap, and what is said."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest

from avatarvideo.encoders import EncodingConfig, FFmpegEncoder
from avatarvideo.encoders.read.probe import probe
from avatarvideo.encoders.read.video import VideoReader
from avatarvideo.encoders.tone_map import HLG, PLANES, PQ, SRGB, ColorMapper, Light, to_rec709
from avatarvideo.errors import MediaError
from avatarvideo.musetalk.inputs import load_avatar

SQUARE, LEVELS = 32, 12
SKIN = np.array([0.50, 0.42, 0.38])  # about what HLG has for a lit face
NAMES = {"hlg": "arib-std-b67", "pq": "smpte2084"}
TONE_MAP = "zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt709,tonemap=hable:desat=0,"
TO_REC709 = "zscale=t=bt709:p=bt709:m=bt709:r=tv"
TO_RGB = "format=yuv444p,scale=in_color_matrix=bt709:in_range=tv,format=rgb24"


def chart() -> np.ndarray:
    """Two rows of squares, uint16 RGB as coded: greys, and one skin, from dark to bright."""
    steps = np.linspace(0.08, 1, LEVELS)[:, None]
    rows = np.stack([steps.repeat(3, 1), 1.6 * SKIN * steps]).clip(0, 1)
    squares = rows.repeat(SQUARE, 0).repeat(SQUARE, 1)
    return np.rint(squares * 65535).astype(np.uint16)


def run(ffmpeg: str, *arguments: str | Path, given: bytes | None = None) -> bytes:
    command = [ffmpeg, "-v", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, input=given, check=True, stdout=subprocess.PIPE).stdout


def deep_video(
    path: Path, ffmpeg: str, transfer: str, primaries: str = "bt2020", more: str = ""
) -> Path:
    picture = chart()
    size = f"{picture.shape[1]}x{picture.shape[0]}"
    matrix, short = ("bt2020nc", "bt2020") if primaries == "bt2020" else ("bt709", "bt709")
    convert = f"scale=out_color_matrix={short}:out_range=tv,format=yuv420p10le"
    tags = f"colorprim={primaries}:transfer={transfer}:colormatrix={matrix}:range=limited"
    tags += f":log-level=error{more}"
    run(
        ffmpeg,
        *("-f", "rawvideo", "-pix_fmt", "rgb48le", "-s", size, "-r", "5", "-i", "-"),
        *("-vf", convert, "-c:v", "libx265", "-crf", "2", "-x265-params", tags),
        *("-color_primaries", primaries, "-color_trc", transfer, "-colorspace", matrix),
        path,
        given=picture.astype("<u2").tobytes() * 3,
    )
    return path


def reference(path: Path, ffmpeg: str, filters: str) -> np.ndarray:
    made = run(
        ffmpeg, "-i", path, "-vf", f"{filters},{TO_RGB}", "-frames:v", "1", "-f", "rawvideo", "-"
    )
    return np.frombuffer(made, np.uint8).reshape(2 * SQUARE, LEVELS * SQUARE, 3)


def most_apart(picture: np.ndarray, other: np.ndarray) -> float:
    """The greatest difference of one channel in the middle of any square."""
    squares, middles = (2, SQUARE, LEVELS, SQUARE, 3), np.s_[:, 8:-8, :, 8:-8]
    one, two = (each.reshape(squares)[middles].astype(int) for each in (picture, other))
    return float(np.abs(one - two).max())


@pytest.fixture(scope="module")
def has_zscale(ffmpeg: str) -> None:
    if b"zscale" not in run(ffmpeg, "-filters"):
        pytest.skip("this ffmpeg has no zscale")


@pytest.mark.slow_after(1)
@pytest.mark.usefixtures("has_zscale")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("container", ["mp4", "mov", "mkv"])
def test_hdr_is_mapped_as_ffmpeg_maps_it(
    tmp_path: Path, ffmpeg: str, container: str, name: str
) -> None:
    path = deep_video(tmp_path / f"in.{container}", ffmpeg, NAMES[name])
    wanted = reference(path, ffmpeg, TONE_MAP + TO_REC709)
    out = tmp_path / "out.mp4"

    shown = next(VideoReader(path).frames())
    made = FFmpegEncoder().encode(path, out, EncodingConfig(crf=1))
    avatar = load_avatar(path)

    assert most_apart(shown, wanted) <= 4
    assert most_apart(avatar.first_frame(), wanted) <= 4
    assert most_apart(next(VideoReader(out).frames()), wanted) <= 8
    note = f"The HDR picture ({name.upper()}) was tone-mapped to BT.709."
    assert note in made.notes
    assert avatar.notes() == (note,)
    assert not probe(out).is_hdr


@pytest.mark.usefixtures("has_zscale")
@pytest.mark.parametrize(
    "light", [":max-cll=4000,400", ":master-display=G(13250,34500)B(7500,3000)R(34000,16000)"
              "WP(15635,16450)L(40000000,50)"],
    ids=["light-level", "display"],
)  # fmt: skip
def test_a_stated_peak_is_used(tmp_path: Path, ffmpeg: str, light: str) -> None:
    path = deep_video(tmp_path / "in.mkv", ffmpeg, "smpte2084", more=f":hdr10=1{light}")

    assert VideoReader(path).light == Light(9, PQ, 40.0)
    wanted = reference(path, ffmpeg, TONE_MAP + TO_REC709)
    assert most_apart(next(VideoReader(path).frames()), wanted) <= 4


@pytest.mark.slow_after(1)
@pytest.mark.usefixtures("has_zscale")
@pytest.mark.parametrize(("primaries", "name"), [("bt2020", "BT.2020"), ("smpte432", "Display P3")])
def test_wide_colours_are_brought_to_bt709(
    tmp_path: Path, ffmpeg: str, primaries: str, name: str
) -> None:
    path = deep_video(tmp_path / "in.mkv", ffmpeg, "bt709", primaries)
    wanted = reference(path, ffmpeg, TO_REC709)
    made = FFmpegEncoder().encode(path, tmp_path / "out.mp4", EncodingConfig(crf=1))

    assert most_apart(next(VideoReader(path).frames()), wanted) <= 4
    assert most_apart(next(VideoReader(tmp_path / "out.mp4").frames()), wanted) <= 8
    assert f"The colours were converted from {name} to BT.709." in made.notes


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_animations_are_mapped_too(tmp_path: Path, ffmpeg: str, suffix: str) -> None:
    path = deep_video(tmp_path / "in.mov", ffmpeg, NAMES["hlg"])

    made = FFmpegEncoder().encode(path, tmp_path / f"out.{suffix}", EncodingConfig())

    assert "The HDR picture (HLG) was tone-mapped to BT.709." in made.notes
    shown, wanted = (next(VideoReader(p).frames()) for p in (tmp_path / f"out.{suffix}", path))
    # A palette's colours are mixed by neighbouring dots.
    squares = (2, SQUARE, LEVELS, SQUARE, 3)
    means = (each.reshape(squares).mean((1, 3)) for each in (shown, wanted))
    assert np.abs(np.subtract(*means)).max() <= 8


@pytest.mark.slow
def test_ten_bits_keep_hdr(tmp_path: Path, ffmpeg: str) -> None:
    path = deep_video(tmp_path / "in.mov", ffmpeg, NAMES["hlg"])
    kinds = (("mov", "h265"), ("mov", "prores"), ("mkv", "av1"), ("mp4", "h264"), ("mkv", "ffv1"))
    for suffix, codec in kinds:
        out = tmp_path / f"out.{suffix}"
        made = FFmpegEncoder().encode(path, out, EncodingConfig(codec=codec, bit_depth=10))

        assert made.success
        assert made.notes == ()
        assert probe(out).is_hdr
        assert most_apart(next(VideoReader(out).frames()), next(VideoReader(path).frames())) <= 8


def dolby_vision(path: Path, profile: int) -> None:
    """State Dolby Vision in an MP4 with one HEVC track whose index is at its end."""
    data = bytearray(path.read_bytes())
    stated = b"dvcC" + bytes([1, 0, profile << 1, 0x35, 0]) + bytes(19)
    at = data.index(b"hvcC") - 4
    end = at + struct.unpack_from(">I", data, at)[0]
    data[end:end] = struct.pack(">I", len(stated) + 4) + stated
    for name in (b"hvc1", b"stsd", b"stbl", b"minf", b"mdia", b"trak", b"moov"):
        start = data.rindex(name, 0, at) - 4
        length = struct.unpack_from(">I", data, start)[0] + len(stated) + 4
        struct.pack_into(">I", data, start, length)
    path.write_bytes(data)


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("profile", [5, 8])
def test_dolby_vision_of_its_own_colours_is_refused(
    tmp_path: Path, ffmpeg: str, profile: int, suffix: str
) -> None:
    path = tmp_path / "in.mp4"
    deep_video(path, ffmpeg, NAMES["hlg"])
    run(ffmpeg, "-i", path, "-c", "copy", "-tag:v", "hvc1", tmp_path / "tagged.mp4")
    path = tmp_path / "tagged.mp4"
    dolby_vision(path, profile)
    if suffix == "mkv":
        run(ffmpeg, "-i", path, "-c", "copy", "-strict", "unofficial", path.with_suffix(".mkv"))
        path = path.with_suffix(".mkv")

    made = FFmpegEncoder().encode(path, tmp_path / "out.mp4", EncodingConfig())

    assert f"Dolby Vision profile {profile}" in str(probe(path).video_profile)
    assert made.success == (profile != 5)
    if profile == 5:
        assert "is Dolby Vision profile 5" in str(made.error)
        with pytest.raises(MediaError, match="Dolby Vision profile 5"):
            load_avatar(path)


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("suffix", ["mp4", "ts", "mkv"])
def test_codings_that_are_not_read_are_refused_by_name(
    tmp_path: Path, ffmpeg: str, suffix: str
) -> None:
    tags = "log-level=error:colorprim=bt2020:transfer=smpte2084:colormatrix=ictcp"
    path = tmp_path / f"in.{suffix}"
    given = ["-f", "lavfi", "-i", "color=red:size=64x64:duration=0.2", "-pix_fmt", "yuv420p10le"]
    run(ffmpeg, *given, "-c:v", "libx265", "-x265-params", tags, "-colorspace", "ictcp", path)

    made = FFmpegEncoder().encode(path, tmp_path / "out.mp4", EncodingConfig())

    assert "found ICtCp" in str(made.error)
    assert not (tmp_path / "out.mp4").exists()
    with pytest.raises(MediaError, match="found ICtCp"):
        load_avatar(path).first_frame()


def crc32_of_mpeg(data: bytes) -> int:
    rest = 0xFFFFFFFF
    for byte in data:
        rest ^= byte << 24
        for _ in range(8):
            rest = (rest << 1 ^ (0x04C11DB7 if rest >> 31 else 0)) & 0xFFFFFFFF
    return rest


def with_dolby_vision(packet: bytes, profile: int) -> bytes:
    """A packet of a transport stream; where it is the table of the program, with descriptors."""
    if packet[4:6] != b"\x00\x02" or not packet[1] & 0x40:
        return packet
    section = bytearray(packet[5 : 8 + int.from_bytes(packet[6:8], "big") % 4096 - 4])
    stream = 12 + int.from_bytes(section[10:12], "big") % 4096
    size = int.from_bytes(section[stream + 3 : stream + 5], "big") % 4096
    more = b"\x05\x04DOVI" + bytes([0xB0, 5, 1, 0, profile << 1, 0x35, 0x10])
    section[stream + 5 + size : stream + 5 + size] = more
    section[stream + 3 : stream + 5] = (0xF000 | size + len(more)).to_bytes(2, "big")
    section[1:3] = (0xB000 | len(section) + 1).to_bytes(2, "big")
    whole = packet[:5] + section + crc32_of_mpeg(bytes(section)).to_bytes(4, "big")
    return whole.ljust(188, b"\xff")


@pytest.mark.parametrize("profile", [5, 8])
def test_dolby_vision_in_a_transport_stream(tmp_path: Path, ffmpeg: str, profile: int) -> None:
    data = deep_video(tmp_path / "in.ts", ffmpeg, NAMES["hlg"]).read_bytes()
    packets = [data[at : at + 188] for at in range(0, len(data), 188)]
    path = tmp_path / "stated.ts"
    path.write_bytes(b"".join(with_dolby_vision(packet, profile) for packet in packets))

    made = FFmpegEncoder().encode(path, tmp_path / "out.mp4", EncodingConfig())

    assert probe(path).video_profile is not None
    assert made.success == (profile != 5)
    assert ("is Dolby Vision profile 5" in str(made.error)) == (profile == 5)


def test_ordinary_pictures_are_left_alone() -> None:
    assert Light(1, 1).is_ordinary
    assert Light(6, 6).is_ordinary
    assert Light(2, 2).is_ordinary
    assert not Light(1, 1).note
    greys = np.linspace(0, 1, 9)[:, None].repeat(3, 1)
    assert np.allclose(to_rec709(greys, Light(9, 1)), greys)
    assert np.all(np.diff(to_rec709(greys, Light(9, HLG))[:, 0]) > 0)


@pytest.mark.parametrize("light", [Light(9, HLG), Light(9, 1), Light(12, SRGB)], ids=str)
def test_saturated_colours_are_those_of_the_formulas(light: Light) -> None:
    colors = np.random.default_rng(0).random((64, 256, 3)).astype(np.float32)
    frame = av.VideoFrame(256, 64, PLANES)
    for plane, channel in zip(frame.planes, (1, 2, 0), strict=True):
        plane.update(colors[..., channel].tobytes())

    shown, deep = np.empty((64, 256, 3), np.uint8), np.empty((64, 256, 3), np.uint16)
    mapper = ColorMapper((256, 64), light)
    mapper(frame, shown)
    mapper(frame, deep)

    apart = np.abs(deep / 257 - 255 * to_rec709(colors, light))
    assert apart.max() <= 5
    assert apart.mean() <= 0.05
    assert np.abs(shown - deep / 257).max() <= 0.53  # rounded
