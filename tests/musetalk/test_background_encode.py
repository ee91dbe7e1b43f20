"""Encoding while the faces are made, as on a GPU; here a processor makes them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from avatarvideo.encoders.encoder import encode_frames
from avatarvideo.encoders.interfaces import EncodingResult
from avatarvideo.encoders.read.probe import probe
from avatarvideo.encoders.read.video import VideoReader
from avatarvideo.errors import Cancelled
from avatarvideo.media import AudioClip
from avatarvideo.musetalk import LipSyncConfig, LipSyncRun
from avatarvideo.musetalk.background_encode import (
    BackgroundEncode,
    FinalFrames,
    Stopped,
    read_ahead,
)
from avatarvideo.musetalk.inputs import load_avatar, load_speech
from avatarvideo.musetalk.networks.vae import AutoencoderKL
from avatarvideo.musetalk.pipeline.cpu_features import Tuning
from support.watched_unet import WatchedUNet

OPTIONS = LipSyncConfig(mode="musetalk", quality="high", residency="unload")
PATIENCE = 30.0  # seconds


MEANWHILE, AFTERWARDS = Tuning(leaves_cpu_idle=("cpu",)), Tuning(leaves_cpu_idle=())


@pytest.fixture
def meanwhile(clips: Any) -> None:
    clips.tuning = MEANWHILE


def encode_threads() -> list[str]:
    ours = ("avatarvideo-encode", "avatarvideo-frames")
    return [t.name for t in threading.enumerate() if t.name.startswith(ours)]


def files_beside(picture: Path) -> list[str]:
    """Return what an encode wrote, unfinished files included."""
    found = (path.name for path in picture.parent.iterdir() if path.is_file())
    return sorted(set(found) - {picture.name, "tone.wav"})


def claim(path: Path) -> dict[str, Any]:
    return json.loads(probe(path).as_dict()["metadata"]["avatarvideo"])


@pytest.fixture
def batches_of_one(clips: Any, meanwhile: None) -> None:
    largest = {"generate": (1, 1), "prepare": (1, 1)}
    clips.tuning = replace(MEANWHILE, largest_batches=largest)


@pytest.mark.slow
def test_the_file_is_the_one_made_afterwards(
    engine: Any,
    clips: Any,
    picture: Path,
    tone: Path,
    tmp_path: Path,
) -> None:
    paths = tmp_path / "after.mp4", tmp_path / "meanwhile.mp4"
    for path, tuning in zip(paths, (AFTERWARDS, MEANWHILE), strict=True):
        made = engine(tuning=tuning).generate(picture, tone, path, OPTIONS)
        assert made.success, made.error
        assert (made.frame_count, made.report["frames_synced"]) == (5, 5)
    shown = [np.stack(list(VideoReader(path).frames())) for path in paths]
    assert np.array_equal(shown[0], shown[1])
    assert claim(paths[0]) == claim(paths[1])
    assert clips.left_over() == []
    assert clips.models.alive() == []


@pytest.mark.slow
@pytest.mark.usefixtures("meanwhile", "batches_of_one", "on_processor")
def test_frames_are_encoded_before_the_last_face_is_made(
    engine: Any, picture: Path, tone: Path, tmp_path: Path
) -> None:
    counts: list[int] = []

    def encode(
        run: LipSyncRun, frames: Iterator[np.ndarray], on_frame: Callable[[int], None]
    ) -> EncodingResult:
        def encoded(count: int) -> None:
            counts.append(count)
            on_frame(count)

        path = tmp_path / "out.mp4"
        return encode_frames(frames, path, frame_rate=run.frame_rate, on_frame=encoded)

    seen: list[int] = []

    class Waiting(WatchedUNet):
        def before(self, latents: Tensor) -> None:
            # The frame before this one is final: it has to come out without the next one.
            end = time.monotonic() + PATIENCE
            while len(counts) < len(seen) and time.monotonic() < end:
                time.sleep(0.005)
            seen.append(len(counts))

    with BackgroundEncode(encode) as background:
        avatar, mel = load_avatar(picture), load_speech(tone)
        run = engine({"unet": Waiting}).run(avatar, mel, OPTIONS, encode=background)
        background.finish(run, lambda count: None, poll_seconds=0.05)
    assert run.release is not None
    run.release()
    assert seen == [0, 1, 2, 3, 4]


@pytest.mark.slow
@pytest.mark.usefixtures("meanwhile", "batches_of_one", "on_processor")
def test_a_file_never_claims_faces_that_came_to_nothing(
    engine: Any, picture: Path, tone: Path, tmp_path: Path
) -> None:
    decoded: list[int] = []

    class OnceBroken(AutoencoderKL):
        def decode(self, values: torch.Tensor) -> torch.Tensor:
            decoded.append(len(decoded))
            return super().decode(values) * (torch.nan if decoded[-1] == 2 else 1)

    made = engine({"vae": OnceBroken}).generate(picture, tone, tmp_path / "out.mp4", OPTIONS)
    assert made.success, made.error
    assert made.report["passed_through_ranges"] == [[2, 2]]
    assert claim(tmp_path / "out.mp4")["frames_synced"] == 4
    assert files_beside(picture) == ["out.mp4"]


class FailsLate(WatchedUNet):
    asked = 0

    def before(self, latents: Tensor) -> None:
        type(self).asked += 1
        if type(self).asked > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB.")


@pytest.mark.slow
@pytest.mark.usefixtures("meanwhile", "batches_of_one", "on_processor")
@pytest.mark.parametrize("mode", ["musetalk", "auto"])
def test_what_was_encoded_of_a_failed_run_is_gone(
    engine: Any, clips: Any, picture: Path, tone: Path, tmp_path: Path, mode: Any
) -> None:
    FailsLate.asked = 0
    options = LipSyncConfig(mode=mode, quality="high", residency="unload")
    path = tmp_path / "out.mp4"
    made = engine({"unet": FailsLate}).generate(picture, tone, path, options)
    if mode == "musetalk":
        assert not made.success
        assert "Expected room for MuseTalk" in str(made.error)
        assert files_beside(picture) == []
    else:
        assert (made.success, made.mode) == (True, "static")
        assert claim(path)["mode"] == "static"
        assert probe(path).frame_count == 5
        assert files_beside(picture) == ["out.mp4"]
    assert encode_threads() == []
    assert clips.left_over() == []


@pytest.mark.slow
@pytest.mark.usefixtures("meanwhile", "batches_of_one")
def test_cancel_leaves_no_file_and_no_thread(
    engine: Any, clips: Any, picture: Path, tone: Path, tmp_path: Path
) -> None:
    class Cancelling(WatchedUNet):
        def before(self, latents: Tensor) -> None:
            clips.host.cancel()

    with pytest.raises(Cancelled):
        engine({"unet": Cancelling}).generate(picture, tone, tmp_path / "out.mp4", OPTIONS)
    assert files_beside(picture) == []
    assert encode_threads() == []
    assert clips.left_over() == []


@pytest.mark.slow
@pytest.mark.usefixtures("meanwhile")
def test_an_encoder_that_fails_is_a_sentence(
    engine: Any, clips: Any, picture: Path, tone: Path, tmp_path: Path
) -> None:
    (tmp_path / "out.mp4").mkdir()  # where the file should be
    made = engine().generate(picture, tone, tmp_path / "out.mp4", OPTIONS)
    assert not made.success
    assert "out.mp4" in str(made.error)
    assert clips.left_over() == []


@pytest.mark.slow
@pytest.mark.usefixtures("meanwhile", "batches_of_one", "on_processor")
def test_an_encoder_that_fails_at_once_ends_the_run_at_once(
    engine: Any, clips: Any, picture: Path, tone: Path, tmp_path: Path
) -> None:
    asked: list[None] = []

    class Patient(WatchedUNet):
        def before(self, latents: Tensor) -> None:
            asked.append(None)
            end = time.monotonic() + PATIENCE
            while len(asked) > 1 and time.monotonic() < end:  # the encoder opens with a frame
                assert self.between_blocks is not None
                self.between_blocks()  # raises when the run is given up
                time.sleep(0.005)

    (tmp_path / "folder").write_bytes(b"")  # a file where the folder should be
    made = engine({"unet": Patient}).generate(picture, tone, tmp_path / "folder/out.mp4", OPTIONS)
    assert not made.success
    assert "folder" in str(made.error)
    assert len(asked) in (1, 2)  # it may fail before the second face is begun
    assert encode_threads() == []
    assert clips.left_over() == []


NAMED = EncodingResult(success=True, frame_count=3)


def counted() -> LipSyncRun:
    """Return a run of three frames."""
    said = {"requested_mode": "auto", "reason": "it was asked for", "frames": 3, "frames_synced": 3}
    return LipSyncRun(
        open_frames=lambda: iter([np.full((2, 2, 3), number, np.uint8) for number in range(3)]),
        frame_count=3,
        frame_rate=Fraction(25),
        width=2,
        height=2,
        mode="musetalk",
        clip=AudioClip(np.zeros((1, 1920), np.float32), 16000),
        mask=np.ones((2, 2), np.float32),
        report={"mode": "musetalk", **said},
    )


def test_a_file_gets_its_name_only_when_the_run_is_decided() -> None:
    written: list[int] = []
    named = threading.Event()

    def encode(
        run: LipSyncRun, frames: Iterator[np.ndarray], on_frame: Callable[[int], None]
    ) -> EncodingResult:
        for frame in frames:
            written.append(int(frame[0, 0, 0]))
            on_frame(len(written))
        named.set()
        return NAMED

    with BackgroundEncode(encode) as background:
        background.start(counted())
        end = time.monotonic() + PATIENCE
        while len(written) < 3 and time.monotonic() < end:
            time.sleep(0.001)
        assert written == [0, 1, 2]
        assert not named.wait(0.05)
        assert background.finish(counted(), lambda count: None, poll_seconds=0.01) == NAMED


def test_a_cancel_that_finds_the_file_complete_comes_too_late() -> None:
    ended, asked = threading.Event(), threading.Event()

    def encode(
        run: LipSyncRun, frames: Iterator[np.ndarray], on_frame: Callable[[int], None]
    ) -> EncodingResult:
        list(frames)
        ended.set()
        assert asked.wait(PATIENCE)
        return NAMED  # as an encoder does that asks nobody any more

    def cancel(count: int) -> None:
        if ended.is_set():
            asked.set()
            raise Cancelled("The run was cancelled.")

    with BackgroundEncode(encode) as background:
        background.start(counted())
        assert background.finish(counted(), cancel, poll_seconds=0.01) == NAMED


def test_a_cancel_that_is_heard_in_time_is_the_callers() -> None:
    def encode(
        run: LipSyncRun, frames: Iterator[np.ndarray], on_frame: Callable[[int], None]
    ) -> EncodingResult:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            on_frame(1)
            time.sleep(0.001)
        return NAMED

    def cancel(count: int) -> None:
        raise Cancelled("The run was cancelled.")

    with BackgroundEncode(encode) as background:
        background.start(counted())
        with pytest.raises(Cancelled):
            background.finish(counted(), cancel, poll_seconds=0.01)


def test_whoever_waits_for_a_frame_hears_that_it_never_comes() -> None:
    final = FinalFrames()
    final.advance(2)
    final.wait_for(1)
    threading.Timer(0.05, final.close).start()
    with pytest.raises(Stopped):
        final.wait_for(2)
    final.wait_for(0)


def numbered(count: int, made: list[int]) -> Iterator[np.ndarray]:
    try:
        for number in range(count):
            made.append(number)
            yield np.full(1, number)
    finally:
        made.append(-1)


@pytest.fixture
def composing() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as thread:
        yield thread


def test_frames_are_made_ahead_and_in_order(composing: ThreadPoolExecutor) -> None:
    made: list[int] = []
    frames = read_ahead(numbered(6, made), 2, composing)
    assert int(next(frames)[0]) == 0
    deadline = time.monotonic() + PATIENCE
    while made != [0, 1, 2] and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.02)
    assert made == [0, 1, 2]  # one is out, two wait, no more
    assert [int(frame[0]) for frame in frames] == [1, 2, 3, 4, 5]
    assert made[-1] == -1


def test_what_a_frame_raises_comes_in_its_place(composing: ThreadPoolExecutor) -> None:
    def frames() -> Iterator[np.ndarray]:
        yield np.zeros(1)
        raise Stopped

    ahead = read_ahead(frames(), 3, composing)
    next(ahead)
    with pytest.raises(Stopped):
        next(ahead)


def test_reading_ahead_is_given_up_without_waiting(composing: ThreadPoolExecutor) -> None:
    final, made = FinalFrames(), []
    final.advance(1)

    def frames() -> Iterator[np.ndarray]:
        try:
            for number in range(5):
                final.wait_for(number)
                made.append(number)
                yield np.full(1, number)
        finally:
            made.append(-1)

    ahead = read_ahead(frames(), 2, composing)
    next(ahead)
    ahead.close()  # while the second one is waited for
    final.close()
    composing.shutdown(wait=True)
    assert made == [0, -1]
