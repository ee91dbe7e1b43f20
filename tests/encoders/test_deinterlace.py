"""Interlaced pictures: made whole one for one, kept where they can be, and always said."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from avatarvideo.encoders import EncodingConfig, FFmpegEncoder
from avatarvideo.encoders.interfaces import Interlaced
from avatarvideo.encoders.read.probe import probe, table
from avatarvideo.encoders.read.video import DEINTERLACED, VideoReader
from avatarvideo.musetalk.inputs import load_avatar

WIDTH, HEIGHT, COUNT = 96, 64, 12
KEPT = "The pictures stay interlaced."
ENCODERS = {  # container: what FFmpeg is told
    "mp4": ["-c:v", "libx264", "-crf", "8", "-flags", "+ildct+ilme", "-x264opts", "{0}ff=1"],
    "mov": ["-c:v", "prores_ks", "-pix_fmt", "yuv422p10le", "-flags", "+ildct"],
    "mkv": ["-c:v", "libx264", "-crf", "8", "-flags", "+ildct+ilme", "-x264opts", "{0}ff=1"],
    "mpg": ["-c:v", "mpeg2video", "-q:v", "2", "-flags", "+ildct+ilme"],
    "ts": ["-c:v", "mpeg2video", "-q:v", "2", "-flags", "+ildct+ilme"],
}


def moving(time: float) -> np.ndarray:
    """A white bar that runs to the right, on grey."""
    picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    left = round(8 + 3 * time)
    picture[:, left : left + 12] = 220
    return picture


def woven(number: int, upper_first: bool) -> np.ndarray:
    """The lines of two moments in one picture."""
    early, late = moving(2 * number), moving(2 * number + 1)
    picture = early.copy()
    picture[upper_first::2] = late[upper_first::2]
    return picture


def write(
    ffmpeg: str, path: Path, frames: list[np.ndarray], order: str = "t", stated: str = ""
) -> Path:
    """stated: the order in the header, as FFmpeg calls it, where it is not that of the pictures."""
    raw = f"-f rawvideo -pix_fmt rgb24 -s {WIDTH}x{HEIGHT} -r 25 -i -".split()
    flagged = [
        "-vf",
        f"setfield={order}ff,scale=interl=1,format=yuv420p",
        "-field_order",
        stated or 2 * order,
    ]
    options = [each.format(order) for each in ENCODERS[path.suffix[1:]]]
    command = [ffmpeg, "-v", "error", *raw, *flagged, *options, str(path)]
    subprocess.run(command, input=b"".join(map(bytes, frames)), check=True)
    return path


def combing(frames: list[np.ndarray]) -> float:
    """How much every line differs from both its neighbours, on average."""
    grey = np.stack(frames).astype(int).mean(-1)
    middle = grey[:, 1:-1] - (grey[:, :-2] + grey[:, 2:]) / 2
    return float(np.abs(middle).mean())


@pytest.mark.slow_after(2)
@pytest.mark.parametrize("order", ["t", "b"])
@pytest.mark.parametrize("container", ENCODERS)
def test_interlaced_pictures_are_made_whole(
    tmp_path: Path, ffmpeg: str, container: str, order: str
) -> None:
    source = [woven(number, order == "t") for number in range(COUNT)]
    path = write(ffmpeg, tmp_path / f"in.{container}", source, order)
    out = tmp_path / "out.mp4"

    reader = VideoReader(path)
    shown = list(reader.frames())
    made = FFmpegEncoder().encode(path, out, EncodingConfig(crf=4))

    assert len(shown) == reader.frame_count == made.frame_count == COUNT
    assert combing(source) > 5
    assert combing(shown) < 1
    assert combing(list(VideoReader(out).frames())) < 1.5
    assert DEINTERLACED in made.notes
    avatar = load_avatar(path)
    assert avatar.notes() == (DEINTERLACED,)
    assert combing([avatar.first_frame()]) < 1
    # Each shows the moment of its first field.
    wanted = [moving(2 * number) for number in range(COUNT)]
    assert np.abs(np.stack(shown).astype(int) - np.stack(wanted)).mean() < 4
    info = probe(path)
    assert info.field_order == {"t": "top", "b": "bottom"}[order]
    assert "interlaced, " in table(info)
    assert probe(out).field_order is None
    assert "progressive" in table(probe(out))


def test_a_part_is_the_same_as_in_the_whole(tmp_path: Path, ffmpeg: str) -> None:
    source = [woven(number, True) for number in range(COUNT)]
    reader = VideoReader(write(ffmpeg, tmp_path / "in.mp4", source))

    whole = list(reader.frames())

    for start in (1, 5, COUNT - 1):
        part = list(reader.frames(start))
        assert len(part) == COUNT - start
        assert np.array_equal(part[0], whole[start])


@pytest.mark.slow_after(2)
@pytest.mark.parametrize("step", [0, 3])
@pytest.mark.parametrize("container", ENCODERS)
def test_a_chart_flagged_wrongly_stays(
    tmp_path: Path, ffmpeg: str, container: str, step: int
) -> None:
    random = np.random.default_rng(3)
    chart = random.integers(0, 256, (HEIGHT // 4, WIDTH // 4, 3)).astype(np.uint8)
    chart = chart.repeat(4, 0).repeat(4, 1)
    chart[:, : WIDTH // 3] = np.where(np.arange(HEIGHT) % 2, 200, 60)[:, None, None]  # line by line
    frames = [np.roll(chart, step * number, 1) for number in range(COUNT)]
    reader = VideoReader(write(ffmpeg, tmp_path / f"in.{container}", frames))

    shown, decoded = (
        np.stack([luma(frame) for frame in each]) for each in (reader.pictures(), reader.decoded())
    )

    assert reader.is_interlaced
    assert np.abs(shown - decoded).mean() < 1


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("deviation", [4, 8, 16])
def test_noise_is_no_comb(tmp_path: Path, ffmpeg: str, deviation: int) -> None:
    random = np.random.default_rng(5)
    bars = np.linspace(40, 210, WIDTH)[None, :, None] // 20 * 20 + np.zeros((HEIGHT, 1, 3))
    noisy = [random.normal(bars, deviation).clip(0, 255).astype(np.uint8) for _ in range(COUNT)]
    reader = VideoReader(write(ffmpeg, tmp_path / "in.mkv", noisy))

    shown, decoded = (
        np.stack([luma(frame) for frame in each]) for each in (reader.pictures(), reader.decoded())
    )

    assert reader.is_interlaced
    assert np.abs(np.diff(decoded, axis=0)).mean() > deviation / 2  # the noise was kept
    assert np.abs(shown - decoded).mean() < 0.5


def luma(frame: av.VideoFrame) -> np.ndarray:
    """The lightness as it is coded, 0..255."""
    grey = frame.to_ndarray(format="gray" if frame.format.components[0].bits == 8 else "gray10le")
    return grey.astype(float) / (1 if grey.dtype == np.uint8 else 4)


@pytest.mark.slow_after(3)
@pytest.mark.parametrize(
    ("codec", "suffix", "choice", "kept"),
    [
        ("prores", "mov", "auto", True),
        ("ffv1", "mkv", "auto", True),
        ("h264", "mp4", "auto", False),
        ("h264", "mp4", "keep", True),
        ("h265", "mp4", "keep", False),
        ("vp9", "webm", "keep", False),
        ("gif", "gif", "keep", False),
        ("copy", "mp4", "auto", True),
    ],
)
def test_fields_are_kept_where_they_can_be(
    tmp_path: Path, ffmpeg: str, codec: str, suffix: str, choice: Interlaced, kept: bool
) -> None:
    source = [woven(number, False) for number in range(COUNT)]
    path, out = write(ffmpeg, tmp_path / "in.mp4", source, "b"), tmp_path / f"out.{suffix}"

    made = FFmpegEncoder().encode(path, out, EncodingConfig(codec=codec, interlaced=choice))

    with av.open(str(out)) as container:
        frames = list(container.decode(video=0))
    pictures = [frame.to_ndarray(format="rgb24") for frame in frames]
    assert len(frames) == COUNT
    assert frames[3].interlaced_frame == kept
    assert (combing(pictures) > 3) == kept
    if codec != "copy":
        assert (KEPT if kept else DEINTERLACED) in made.notes


@pytest.mark.slow_after(2)
@pytest.mark.parametrize("order", ["t", "b"])
@pytest.mark.parametrize(
    ("codec", "suffix"),
    [("h264", "mp4"), ("h264", "mov"), ("h264", "mkv"), ("ffv1", "mkv"), ("prores", "mov")],
)
def test_kept_fields_are_tagged_in_their_order(
    tmp_path: Path, ffmpeg: str, codec: str, suffix: str, order: str
) -> None:
    source = [woven(number, order == "t") for number in range(COUNT)]
    path, out = write(ffmpeg, tmp_path / "in.ts", source, order), tmp_path / f"out.{suffix}"

    made = FFmpegEncoder().encode(path, out, EncodingConfig(codec=codec, interlaced="keep"))

    assert KEPT in made.notes
    assert probe(out).field_order == {"t": "top", "b": "bottom"}[order]
    with av.open(str(out)) as container:  # what FFmpeg's own programs show: tt or bb
        assert container.streams.video[0].codec_context.field_order == {"t": 2, "b": 3}[order]
    shown = list(VideoReader(out).frames())
    wanted = [moving(2 * number) for number in range(COUNT)]  # the moments of the first fields
    assert np.abs(np.stack(shown).astype(int) - np.stack(wanted)).mean() < 4


@pytest.mark.slow_after(2)
@pytest.mark.parametrize("order", ["t", "b"])
@pytest.mark.parametrize("suffix", ["mov", "mkv"])
def test_the_pictures_own_order_is_shown(
    tmp_path: Path, ffmpeg: str, suffix: str, order: str
) -> None:
    source = [woven(number, order == "t") for number in range(COUNT)]
    # Top first is "tb" for FFmpeg's own programs.
    stated = {"t": "tb", "b": "bt"}[order]
    path = write(ffmpeg, tmp_path / f"in.{suffix}", source, order, stated)

    assert probe(path).field_order == {"t": "top", "b": "bottom"}[order]


def test_another_size_makes_them_whole(tmp_path: Path, ffmpeg: str) -> None:
    path = write(ffmpeg, tmp_path / "in.mp4", [woven(number, True) for number in range(COUNT)])

    made = FFmpegEncoder().resize(
        path, tmp_path / "out.mov", 48, 32, EncodingConfig(codec="prores")
    )

    assert DEINTERLACED in made.notes
    assert probe(tmp_path / "out.mov").field_order is None


def test_times_stay(tmp_path: Path, ffmpeg: str) -> None:
    path = write(ffmpeg, tmp_path / "in.mkv", [woven(number, True) for number in range(COUNT)])
    reader = VideoReader(path)

    whole, decoded = list(reader.pictures()), list(reader.decoded())

    assert [(frame.pts, frame.time_base) for frame in whole] == [
        (frame.pts, frame.time_base) for frame in decoded
    ]
    part = FFmpegEncoder().trim(path, tmp_path / "o.mp4", Fraction(1, 5), Fraction(1, 5))
    assert part.frame_count == 5


def test_progressive_pictures_are_the_same_to_the_bit(tmp_path: Path) -> None:
    path = tmp_path / "in.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(COUNT):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(moving(number))))
        container.mux(stream.encode(None))
    reader = VideoReader(path)

    for one, other in zip(reader.pictures(), reader.decoded(), strict=True):
        assert np.array_equal(one.to_ndarray(), other.to_ndarray())
    assert reader.notes == ()
