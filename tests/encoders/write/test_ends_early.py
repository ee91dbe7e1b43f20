"""A source whose end is missing: the exit status says so, and the half has a name that says so."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from avatarvideo.encoders import EncodingConfig, FFmpegEncoder
from avatarvideo.encoders.read.video import VideoReader
from avatarvideo.encoders.write.operations import transcode
from avatarvideo.errors import SourceEndsEarlyError
from avatarvideo.headless.core_video import FileVideo

MakeVideo = Callable[..., Path]
FAST = EncodingConfig(quality="fast")


def cut_short(path: Path, part: float = 0.6) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    return path


def lossless(make_video: MakeVideo, path: Path) -> Path:
    return make_video(path, 60, size=(160, 120), config=EncodingConfig(crf=1))


@pytest.mark.slow_after(2)
@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm"])
@pytest.mark.parametrize("codec", ["h264", "copy"])
def test_a_half_is_no_success(
    tmp_path: Path, make_video: MakeVideo, suffix: str, codec: str
) -> None:
    path = cut_short(lossless(make_video, tmp_path / f"a.{suffix}"))
    target = tmp_path / "out.mkv"
    target.write_bytes(b"an older result")

    result = FFmpegEncoder().encode(path, target, EncodingConfig(quality="fast", codec=codec))

    assert not result.success
    assert result.error == (
        f"Expected the whole of 'a.{suffix}', but its end is missing: copy or download it again. "
        "What could be read was kept as 'out.partial.mkv'."
    )
    assert result.output_path == tmp_path / "out.partial.mkv"
    assert target.read_bytes() == b"an older result"
    kept = sum(1 for _ in VideoReader(tmp_path / "out.partial.mkv").decoded())
    assert 10 < kept < 60


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm"])
def test_a_whole_file_ends_where_it_should(
    tmp_path: Path, make_video: MakeVideo, suffix: str
) -> None:
    path = make_video(tmp_path / f"a.{suffix}", 20)
    assert not VideoReader(path).ends_early
    path.write_bytes(path.read_bytes() + b"\x9f\x11rubbish behind the end" * 9)
    assert not VideoReader(path).ends_early
    assert FFmpegEncoder().encode(path, tmp_path / "out.mp4", FAST).success


@pytest.mark.slow
def test_an_avi_and_fragments_that_end_early(
    tmp_path: Path, make_video: MakeVideo, ffmpeg: str
) -> None:
    source = lossless(make_video, tmp_path / "in.mp4")
    for name, options in {"a.avi": "", "f.mp4": "-movflags frag_keyframe+empty_moov"}.items():
        path = tmp_path / name
        command = [ffmpeg, "-v", "error", "-i", str(source), "-c", "copy", *options.split()]
        subprocess.run([*command, str(path)], check=True)
        assert not VideoReader(path).ends_early
        with pytest.raises(SourceEndsEarlyError) as caught:
            transcode(cut_short(path), tmp_path / f"{name}.mkv", FAST)
        assert caught.value.kept.name == f"{name}.partial.mkv"
        assert caught.value.kept.stat().st_size > 1000


@pytest.mark.slow
@pytest.mark.parametrize("part", [0.6, 0.97])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.gif", ""),
        ("a.flv", "-c copy"),
        ("a.wmv", "-c:v wmv2"),
        ("a.mxf", "-c:v mpeg2video"),
        ("a.ivf", "-c:v libvpx -threads 1"),
        ("a.apng", ""),
        ("a.ogv", "-c:v libtheora -q:v 6"),
    ],
)
def test_kinds_that_state_their_end_in_other_ways(
    tmp_path: Path, make_video: MakeVideo, ffmpeg: str, name: str, options: str, part: float
) -> None:
    source = lossless(make_video, tmp_path / "in.mp4")
    path = tmp_path / name
    command = [ffmpeg, "-v", "error", "-i", str(source), *options.split(), str(path)]
    subprocess.run(command, check=True)
    assert not VideoReader(path).ends_early
    whole = VideoReader(path).frame_count
    with pytest.raises(SourceEndsEarlyError) as caught:
        transcode(cut_short(path, part), tmp_path / "out.mkv", FAST)
    assert caught.value.kept.name == "out.partial.mkv"
    most = whole if name == "a.mxf" else whole - 1  # of its last picture a part may be there
    assert 0 < VideoReader(caught.value.kept).frame_count <= most


@pytest.mark.slow
def test_a_folder_of_pictures_has_such_a_name_too(tmp_path: Path, make_video: MakeVideo) -> None:
    path = cut_short(lossless(make_video, tmp_path / "a.mp4"))

    result = FFmpegEncoder().encode(path, tmp_path / "out", EncodingConfig(container="png"))

    assert result.output_path is not None
    assert "partial" in result.output_path.name
    there = VideoReader(path).frame_count
    # Pictures that lie before those they are shown after may leave a gap, which is filled.
    assert 10 < there <= len(list(result.output_path.iterdir())) <= there + 3


@pytest.mark.slow
def test_frames_are_those_of_the_part_that_is_there(tmp_path: Path, make_video: MakeVideo) -> None:
    path = lossless(make_video, tmp_path / "a.mkv")
    whole = list(VideoReader(path).frames())
    part = list(VideoReader(cut_short(path)).frames())
    assert all(np.array_equal(a, b) for a, b in zip(part[:-1], whole, strict=False))


def test_a_half_is_not_saved_as_whole_by_the_core_nodes(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    path, target = make_video(tmp_path / "a.mp4", 20), tmp_path / "out.mp4"
    FileVideo(path).save_to(str(target))
    assert target.read_bytes() == path.read_bytes()
    target.write_bytes(b"an older result")
    cut_short(lossless(make_video, path))

    with pytest.raises(
        SourceEndsEarlyError, match=r"'a\.mp4', but its end is missing: .*out\.partial"
    ):
        FileVideo(path).save_to(str(target))

    assert target.read_bytes() == b"an older result"
    assert (tmp_path / "out.partial.mp4").read_bytes() == path.read_bytes()
