"""The cancel button in every stage, and what the server's memory does over many runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatarvideo.encoders.read.video import VideoReader
from avatarvideo.headless.comfy_server import RunProgress

# Below a second on a quiet machine; a busy one takes turns with others.
SECONDS_UNTIL_IDLE = 10.0
GROWTH = 1.03
FREED_SECONDS = 3  # the server frees when its queue is empty, as it is then
LEAST_KEPT = 1 << 30  # bytes of UNet and VAE in the narrowest precision, rounded down
MOST_LEFT = 500 << 20  # bytes: libraries that were loaded, prepared faces, torch's own
STAGES: dict[str, Callable[[RunProgress], bool]] = {
    "locating": lambda at: at.node_id == "1",
    "hearing": lambda at: at.node_id == "2",
    "lip-sync": lambda at: at.node_id == "3",
    "encoding": lambda at: at.node_id == "4" and at.part > 0,
}
# Of the bar of a lip-sync with MuseTalk: loading the first networks, the others, making faces.
SPEAKING: dict[str, Callable[[RunProgress], bool]] = {
    "loading": lambda at: at.node_id == "3",
    "preparing": lambda at: at.node_id == "3" and at.part > 0,
    "faces": lambda at: at.node_id == "3" and at.part > 0.3,
}
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def random_files(host: Any) -> Iterator[None]:
    """Model files of true size with random weights, where the server looks for them."""
    folder = host.base / "models" / "musetalk"
    script = ROOT / "benchmarks" / "make_random_checkpoints.py"
    subprocess.run([sys.executable, str(script), str(folder)], check=True, capture_output=True)
    yield
    shutil.rmtree(folder)


@pytest.fixture
def long_talk(host: Any, talking: Any) -> Callable[[str], dict[str, Any]]:
    """``long_talk(prefix)``: a video avatar and speech that keep every stage at work."""
    samples = ROOT / "web" / "samples"

    def make(prefix: str) -> dict[str, Any]:
        graph = talking(seconds=0.0, prefix=prefix)
        # A changed file name keeps results of earlier runs out of the way.
        name = f"{prefix}.mp4"
        (host.base / "input" / name).write_bytes((samples / "talking_head.mp4").read_bytes())
        sound = f"{prefix}.flac"
        (host.base / "input" / sound).write_bytes((samples / "speech.flac").read_bytes())
        graph["1"]["inputs"]["avatar"] = name
        graph["2"]["inputs"]["audio"] = sound
        return graph

    return make


def as_saved_by_core(graph: dict[str, Any], prefix: str) -> dict[str, Any]:
    inputs = {"video": ["3", 1], "filename_prefix": prefix, "format": "auto", "codec": "auto"}
    return {**graph, "4": {"class_type": "SaveVideo", "inputs": inputs}}


@pytest.mark.parametrize("stage", [*STAGES, "saving by core"])
def test_cancel_is_heard_in_every_stage_and_leaves_nothing(
    host: Any,
    long_talk: Callable[[str], dict[str, Any]],
    stage: str,
    record_property: Callable[[str, object], None],
) -> None:
    prefix = f"cancel_{stage.replace(' ', '_')}"
    graph = long_talk(prefix)
    if stage == "saving by core":
        graph = as_saved_by_core(graph, prefix)
    before = host.everything_written()

    seconds = host.interrupt(graph, STAGES.get(stage, STAGES["encoding"]))

    record_property("seconds until idle", f"{seconds:.2f}")
    assert seconds < SECONDS_UNTIL_IDLE
    # A finished lip-sync stays for the next run, but holds no file in this mode.
    assert host.everything_written() == before
    assert host.files(host.run(graph))[0].exists()


@pytest.mark.usefixtures("random_files")
@pytest.mark.parametrize("stage", SPEAKING)
def test_cancel_is_heard_in_the_middle_of_the_networks(
    host: Any,
    talking: Callable[..., dict[str, Any]],
    stage: str,
    record_property: Callable[[str, object], None],
) -> None:
    graph = talking(prefix="spoken", mode="musetalk")
    before = host.everything_written()

    seconds = host.interrupt(graph, SPEAKING[stage])

    record_property("seconds until idle", f"{seconds:.2f}")
    assert seconds < SECONDS_UNTIL_IDLE
    assert host.everything_written() == before
    assert host.files(host.run(talking(prefix="spoken")))[0].exists()


@dataclass
class Spoken:
    """A run of mode musetalk.

    before, after: the classes of our networks with weights in the server's process at its ends.
    """

    frames: np.ndarray
    before: set[str]
    after: set[str]


Speak = Callable[[str, str], Spoken]


@pytest.fixture
def speak(host: Any, talking: Any, frames_of: Any) -> Speak:
    """``speak(prefix, residency)``: 8 frames of mode musetalk."""

    def run(prefix: str, residency: str) -> Spoken:
        graph = talking(prefix=prefix, seconds=0.32, mode="musetalk", residency=residency)
        graph["90"] = host.node("ProbeNetworks")  # an output that waits for nothing runs first
        graph["91"] = host.node("ProbeNetworks", after=["4", 0])
        done = host.run(graph)
        path = host.base / "output" / done.outputs["4"]["images"][0]["filename"]
        assert json.loads(VideoReader(path).metadata["avatarvideo"])["mode"] == "musetalk"
        before, after = (set(done.outputs[node].get("text", ())) for node in ("90", "91"))
        return Spoken(frames_of(path), before, after)

    return run


@pytest.mark.usefixtures("random_files")
def test_musetalk_is_kept_until_memory_is_freed_and_runs_again(host: Any, speak: Speak) -> None:
    empty = _freed(host)
    first = speak("kept", "keep")
    full = host.resident_bytes()
    assert len(first.frames) == 8
    assert {"UNet", "AutoencoderKL", "WhisperEncoder"} <= first.after
    freed = _freed(host)
    assert full - empty > LEAST_KEPT
    assert freed - empty < MOST_LEFT
    again = speak("kept", "keep")
    assert not again.before & {"UNet", "AutoencoderKL", "WhisperEncoder"}
    assert np.array_equal(again.frames, first.frames)
    assert "memory leak" not in host.log()


@pytest.mark.usefixtures("random_files")
def test_musetalk_is_unloaded_after_a_run_and_after_a_cancel(
    host: Any, talking: Any, speak: Speak
) -> None:
    empty = _freed(host)
    first = speak("unloaded", "unload")
    unloaded = host.resident_bytes()
    assert len(first.frames) == 8
    assert "UNet" not in first.after
    assert unloaded - empty < MOST_LEFT
    graph = talking(prefix="stopped", seconds=0.32, mode="musetalk", residency="unload")
    graph["2"]["inputs"]["start"] = 0.1  # not the speech whose result is there
    host.interrupt(graph, SPEAKING["faces"])
    again = speak("unloaded", "unload")
    assert "UNet" not in again.before
    assert np.array_equal(again.frames, first.frames)


def _freed(host: Any) -> int:
    """Press "free memory"; return the memory that the server then holds, bytes."""
    host.post("/free", {"unload_models": True, "free_memory": True})
    time.sleep(FREED_SECONDS)
    return host.resident_bytes()


def _settled(host: Any, act: Callable[[int], None], *, early: int, late: int) -> tuple[int, int]:
    """Return the memory after so many and so many acts, bytes."""
    first = 0
    for count in range(1, late + 1):
        act(count)
        first = host.resident_bytes() if count == early else first
    return first, host.resident_bytes()


def test_memory_stays_over_ten_cancelled_runs(
    host: Any, long_talk: Callable[[str], dict[str, Any]]
) -> None:
    def act(count: int) -> None:
        host.interrupt(long_talk(f"stopped_{count}"), STAGES["encoding"])

    after_two, after_ten = _settled(host, act, early=2, late=10)
    assert after_ten <= GROWTH * after_two


def test_memory_stays_over_ten_runs(host: Any, talking: Any) -> None:
    def act(count: int) -> None:
        graph = talking(seconds=1.0, prefix="in_a_row")
        graph["2"]["inputs"]["start"] = count / 100  # new sound, the same number of frames
        host.run(graph)

    after_two, after_ten = _settled(host, act, early=2, late=10)
    assert after_ten <= GROWTH * after_two
