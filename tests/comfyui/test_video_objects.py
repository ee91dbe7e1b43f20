"""Our VIDEO in core's nodes, and core's VIDEO in ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatarvideo.encoders.read.video import VideoReader

SAMPLE_FRAMES = 75  # of the bundled talking head
Frames = Callable[[Path], np.ndarray]


def save(video: list[Any], prefix: str) -> dict[str, Any]:
    inputs = {"video": video, "filename_prefix": prefix, "format": "auto", "codec": "auto"}
    return {"class_type": "SaveVideo", "inputs": inputs}


@pytest.fixture
def sample(host: Any) -> str:
    """The bundled talking head, in the input folder as an upload leaves it."""
    samples = Path(__file__).resolve().parents[2] / "web" / "samples"
    (host.base / "input" / "head.mp4").write_bytes((samples / "talking_head.mp4").read_bytes())
    return "head.mp4"


def test_core_saves_our_video_with_its_sound(host: Any, talking: Any, frames_of: Frames) -> None:
    graph = talking(prefix="ours")
    graph["5"] = save(["3", 1], "cores")
    ours, cores = host.files(host.run(graph))
    first, second = frames_of(ours), frames_of(cores)
    assert first.shape == second.shape
    assert np.abs(first.astype(int) - second).mean() < 2  # two encodings of the same frames
    assert VideoReader(cores).has_audio


def test_taken_apart_and_put_together_it_is_the_same(
    host: Any, talking: Any, frames_of: Frames
) -> None:
    graph = talking(prefix="whole")
    graph["5"] = host.node("GetVideoComponents", video=["3", 1])
    graph["6"] = host.node("CreateVideo", images=["5", 0], audio=["5", 1], fps=["5", 2])
    graph["7"] = host.node(
        "FFmpegEncode", video=["6", 0], quality="fast", filename_prefix="together"
    )
    whole, together = host.files(host.run(graph))
    assert frames_of(whole).shape == frames_of(together).shape
    assert np.abs(frames_of(whole).astype(int) - frames_of(together)).mean() < 2
    assert VideoReader(together).has_audio
    assert VideoReader(together).frame_rate == 25


def test_our_video_passes_for_the_hosts_own_and_is_not_made_by_looking(
    host: Any, talking: Any
) -> None:
    graph = talking(prefix="looked_at")
    del graph["4"]
    graph["8"] = host.node("ProbeOwner", video=["3", 1])
    before = host.everything_written()
    own, described, probed = host.run(graph).outputs["8"]["text"]
    assert (own, probed) == ("True", "[]")
    assert described.startswith("<video ")
    assert not {path for path in host.everything_written() - before if path.suffix == ".mp4"}


def test_a_loaded_video_speaks(host: Any, talking: Any, frames_of: Frames, sample: str) -> None:
    graph = talking(prefix="loaded")
    graph["1"] = {"class_type": "LoadVideo", "inputs": {"file": sample}}
    by_link = host.files(host.run(graph))[0]
    graph["1"] = host.node("LoadAvatar", avatar=sample)
    graph["4"]["inputs"]["filename_prefix"] = "by_name"
    by_name = host.files(host.run(graph))[0]
    assert np.array_equal(frames_of(by_link), frames_of(by_name))


def test_a_trimmed_video_is_read_as_trimmed(host: Any, sample: str, frames_of: Frames) -> None:
    graph = {
        "1": {"class_type": "LoadVideo", "inputs": {"file": sample}},
        "2": host.node("ProbeTrim", video=["1", 0], frames=5),
        "3": host.node("FFmpegEncode", video=["2", 0], filename_prefix="trimmed"),
        "4": host.node("FFmpegEncode", video=["1", 0], filename_prefix="untrimmed"),
    }
    trimmed, untrimmed = host.files(host.run(graph))
    assert [len(frames_of(path)) for path in (trimmed, untrimmed)] == [5, SAMPLE_FRAMES]


def test_a_finished_file_goes_on_into_core_and_back(
    host: Any, talking: Any, frames_of: Frames
) -> None:
    graph = talking(prefix="finished")
    graph["5"] = save(["4", 0], "handed_on")
    graph["6"] = host.node("VideoInfo", video=["4", 0])
    made = host.run(graph)
    finished, handed_on = host.files(made)
    assert np.array_equal(frames_of(finished), frames_of(handed_on))
    assert made.outputs["6"]["text"]


def test_the_temporary_file_is_made_again_when_it_went(host: Any, talking: Any) -> None:
    graph = talking(prefix="unused")
    graph["4"] = save(["3", 1], "once")
    host.run(graph)
    for path in (host.base / "temp").glob("avatar_*.mp4"):
        path.unlink()
    graph["4"] = save(["3", 1], "twice")
    assert host.files(host.run(graph))[0].exists()
