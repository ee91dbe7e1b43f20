"""The VIDEO we hand out: read by us frame by frame, a file for everybody else."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatarvideo.encoders.read.audio import read_audio
from avatarvideo.encoders.read.video import VideoReader
from avatarvideo.errors import MediaError
from avatarvideo.headless.core_video import ComponentsVideo, FileVideo
from avatarvideo.host.standalone import StandaloneHost
from avatarvideo.media import AudioClip, Clip
from avatarvideo.nodes.streaming_video import StreamingVideo
from avatarvideo.nodes.video_input import open_video

COUNT = 6


class Counter:
    """Counts how often the frames were read."""

    def __init__(self) -> None:
        self.opened = 0

    def frames(self, start: int) -> Iterator[np.ndarray]:
        self.opened += 1
        for number in range(start, COUNT):
            yield np.full((16, 24, 3), 40 * number, np.uint8)

    def clip(self, **further: Any) -> Clip:
        return Clip(
            open_frames=self.frames,
            width=24,
            height=16,
            frame_rate=Fraction(25),
            frame_count=COUNT,
            **further,
        )


@pytest.fixture
def source() -> Counter:
    return Counter()


@pytest.fixture
def video(source: Counter, tmp_path: Path) -> StreamingVideo:
    audio = AudioClip(np.zeros((1, 3840), np.float32), 16000)
    return StreamingVideo(
        source.clip(read_audio=lambda: audio, tags={"avatarvideo": "mode"}),
        StandaloneHost(temp_directory=tmp_path / "temp"),
    )


def test_frames_start_over_for_every_reader(video: StreamingVideo, source: Counter) -> None:
    assert len(list(video.frames())) == len(list(video.frames())) == COUNT
    assert source.opened == 2


@pytest.mark.parametrize(
    "name", ["patcher", "get_models", "is_dynamic", "_comfy_cache_tensors", "__len__", "model"]
)
def test_probing_for_model_attributes_encodes_nothing(
    video: StreamingVideo, source: Counter, name: str
) -> None:
    assert not hasattr(video, name)
    assert source.opened == 0


def test_looking_a_method_up_encodes_nothing(video: StreamingVideo, source: Counter) -> None:
    assert callable(video.save_to)
    assert source.opened == 0


def test_calls_share_one_finished_file(video: StreamingVideo, source: Counter) -> None:
    assert video.get_dimensions() == (24, 16)
    assert video.get_duration() == pytest.approx(COUNT / 25)
    path = Path(video.get_stream_source())

    assert source.opened == 1
    assert VideoReader(path).frame_count == COUNT
    assert read_audio(path).samples.shape[1] == 3840
    assert list(path.parent.iterdir()) == [path]


def test_all_arguments_are_passed_on(video: StreamingVideo) -> None:
    target = BytesIO()
    video.save_to(target, format="auto", codec="auto", metadata=None, crf=20)
    assert len(target.getvalue()) == Path(video.get_stream_source()).stat().st_size


def test_a_vanished_file_is_made_again(video: StreamingVideo, source: Counter) -> None:
    Path(video.get_stream_source()).unlink()
    assert Path(video.get_stream_source()).exists()
    assert source.opened == 2


def test_it_is_hashable_weakly_referable_and_quiet(video: StreamingVideo) -> None:
    assert {video: 1}[video] == 1
    assert weakref.ref(video)() is video
    assert repr(video) == f"<video 24x16, {COUNT} frames>"


@pytest.mark.slow
def test_what_frames_are_made_from_goes_with_the_object(tmp_path: Path) -> None:
    released = []
    video = StreamingVideo(
        Counter().clip(release=lambda: released.append(True)),
        StandaloneHost(temp_directory=tmp_path),
    )
    del video
    gc.collect()
    assert released == [True]


def test_our_own_video_is_read_without_a_file(
    video: StreamingVideo, source: Counter, tmp_path: Path
) -> None:
    taken = open_video(video, temp_directory=tmp_path)
    values = [int(frame[0, 0, 0]) for frame in taken.open_frames(2)]
    assert values == [80, 120, 160, 200]
    assert taken.read_audio() is video.clip.read_audio()
    assert not (tmp_path / "temp").exists()


def test_a_file_video_is_read_from_its_file(video: StreamingVideo, tmp_path: Path) -> None:
    path = Path(video.get_stream_source())
    taken = open_video(FileVideo(path), temp_directory=tmp_path)
    assert (taken.path, taken.frame_count, taken.frame_rate) == (path, COUNT, Fraction(25))
    sound = taken.read_audio()
    assert sound is not None
    assert sound.sample_rate == 16000


def test_a_video_in_memory_is_read_from_its_tensors(tmp_path: Path) -> None:
    images = torch.rand(3, 16, 24, 3)
    taken = open_video(ComponentsVideo(images, None, Fraction(30)), temp_directory=tmp_path)
    frames = np.stack(list(taken.open_frames(0)))
    assert np.abs(frames / 255 - images.numpy()).max() <= 0.5 / 255 + 1e-6
    assert (taken.frame_rate, taken.read_audio()) == (Fraction(30), None)


class Trimmed(FileVideo):
    """What newer hosts hand out: the whole file's path, and a window of it."""

    def get_active_trim_window(self) -> tuple[float, float]:
        return (0.08, 0.08)

    def save_to(self, path: str | BytesIO, **_options: object) -> None:
        assert isinstance(path, str)
        frames = list(VideoReader(self.get_stream_source()).frames())[2:4]
        ComponentsVideo(
            torch.from_numpy(np.stack(frames)).float() / 255, None, Fraction(25)
        ).save_to(path)


def test_a_trimmed_video_is_read_trimmed(video: StreamingVideo, tmp_path: Path) -> None:
    taken = open_video(Trimmed(video.get_stream_source()), temp_directory=tmp_path)
    values = [int(frame[0, 0, 0]) for frame in taken.open_frames(0)]
    assert values == pytest.approx([80, 120], abs=3)


def test_an_interrupted_cut_leaves_no_file(video: StreamingVideo, tmp_path: Path) -> None:
    class Stopped(Trimmed):
        def save_to(self, path: str | BytesIO, **_options: object) -> None:
            assert isinstance(path, str)
            Path(path).write_bytes(b"half")
            raise KeyboardInterrupt

    cut = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        open_video(Stopped(video.get_stream_source()), temp_directory=cut)
    assert not list(cut.iterdir())


def test_a_later_video_is_never_taken_for_one_that_is_gone(source: Counter, tmp_path: Path) -> None:
    def taken() -> tuple[str, str]:
        video = StreamingVideo(source.clip(), StandaloneHost(temp_directory=tmp_path))
        return open_video(video, temp_directory=tmp_path).content_hash, str(video.materialised())

    first, second = taken(), taken()  # the second often lies where the first lay in memory
    assert first[0] != second[0]
    assert first[1] != second[1]


def test_a_stream_in_memory_is_read(video: StreamingVideo, tmp_path: Path) -> None:
    content = Path(video.get_stream_source()).read_bytes()

    class InMemory(FileVideo):
        def get_stream_source(self) -> BytesIO:  # type: ignore[override]
            return BytesIO(content)

    taken = open_video(InMemory("unused"), temp_directory=tmp_path)
    assert taken.frame_count == COUNT


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="Expected a VIDEO, got str"):
        open_video("clip.mp4", temp_directory=tmp_path)


def test_the_stand_ins_give_tensors(video: StreamingVideo) -> None:
    components = video.get_components()
    assert components.images.shape == (COUNT, 16, 24, 3)
    assert components.audio["sample_rate"] == 16000
