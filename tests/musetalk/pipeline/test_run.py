"""Exactly the frames asked for, the same however the work is cut up, nothing left behind."""

from __future__ import annotations

import math
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatarvideo.errors import Cancelled, MediaError
from avatarvideo.media import LipCorners
from avatarvideo.musetalk.audio import audio_windows, log_mel_v1, window_starts
from avatarvideo.musetalk.pipeline.avatar_cache import AvatarCache
from avatarvideo.musetalk.pipeline.cpu_features import Tuning
from avatarvideo.musetalk.pipeline.generate import (
    LATENT_SHAPE,
    FaceGenerator,
    PosteriorDraws,
    masked_and_whole,
    one_thread,
)
from avatarvideo.musetalk.pipeline.generated_faces import GeneratedFaces
from avatarvideo.musetalk.pipeline.speech_features import (
    FeatureStore,
    hidden_states,
    speech_segments,
)
from avatarvideo.musetalk.pipeline.spool import Spool
from avatarvideo.musetalk.work import Work
from support import small_clips

ONE_BY_ONE = Tuning(largest_batches={"generate": (1, 1), "prepare": (1, 1)})
FRAME_RATES = ["10", "12", "23.976", "24", "25", "29.97", "30", "50", "60"]


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return bool (H, W): pixels that differ."""
    return (before != after).any(axis=2)


def assert_equal_pictures(got: np.ndarray, expected: np.ndarray) -> None:
    difference = np.abs(got.astype(int) - expected.astype(int))
    assert difference.max() <= 1
    assert (difference == 0).mean() > 0.999


# --- how many frames, and which


@pytest.mark.slow
@pytest.mark.parametrize("rate", FRAME_RATES)
def test_any_frame_rate_gives_exactly_its_frames(clips: Any, rate: str) -> None:
    job = clips.job("ff", seconds=0.1, fps=rate, mask=clips.everywhere)
    shown = clips.shown(job)
    assert len(shown) == len(job.indices) == math.floor(job.frame_rate / 10 + Fraction(1, 2))


@pytest.mark.slow
@pytest.mark.parametrize(("milliseconds", "frames"), [(40, 1), (79, 2), (80, 2), (20, 1)])
def test_very_short_speech_is_spoken(clips: Any, milliseconds: int, frames: int) -> None:
    job = clips.job("f", seconds=milliseconds / 1000, mask=clips.everywhere)
    clip = clips.speak(job)
    assert len(list(clip.playback.frames())) == frames
    assert not clip.playback.passed_through().any()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("faces", "loop"), [("ff", "pingpong"), ("fffff", "loop"), ("ff", "loop"), ("ff", "hold")]
)
def test_every_frame_is_made_from_the_source_frame_it_shows(
    clips: Any, faces: str, loop: str
) -> None:
    frames = clips.frames(faces)
    job = clips.job(clips.avatar(frames), seconds=0.16, loop=loop, mask=clips.everywhere)
    x0, y0, x1, y1 = clips.box
    for index, shown in zip(job.indices, clips.shown(job), strict=True):
        outside = np.ones(shown.shape[:2], bool)
        outside[y0:y1, x0:x1] = False
        assert np.array_equal(shown[outside], frames[index][outside])
        assert changed(shown, frames[index]).any()


@pytest.mark.slow
def test_an_avatar_of_another_rate_keeps_its_speed(clips: Any) -> None:
    avatar = clips.avatar(clips.frames("f.f.f."), rate=Fraction(50))
    clip = clips.speak(clips.job(avatar, seconds=0.12, mask=clips.everywhere))
    assert not clip.playback.passed_through().any()  # frames 0, 2 and 4
    assert clip.report["source_frames"] == 3


@pytest.mark.slow
def test_frames_can_be_read_again_and_by_several_readers_at_once(clips: Any) -> None:
    clip = clips.speak(clips.job("f.f", mask=clips.everywhere))
    first, second = clip.playback.frames(), clip.playback.frames()
    for one, other in zip(first, second, strict=True):
        assert np.array_equal(one, other)
    assert len(list(clip.playback.frames())) == 3


@pytest.mark.slow
def test_releasing_removes_the_temporary_file(clips: Any) -> None:
    clip = clips.speak(clips.job("f", seconds=0.04, mask=clips.everywhere))
    assert len(clips.left_over()) == 1
    clip.playback.release()
    assert clips.left_over() == []
    with pytest.raises(MediaError, match="run the lip-sync again"):
        list(clip.playback.frames())


@pytest.mark.slow
def test_the_temporary_file_goes_with_the_object(clips: Any) -> None:
    clip = clips.speak(clips.job("f", seconds=0.04, mask=clips.everywhere))
    reader = clip.playback.frames()
    next(reader)
    del clip, reader
    assert clips.left_over() == []


# --- faces


def test_no_face_anywhere_passes_every_frame_through(
    clips: Any, caplog: pytest.LogCaptureFixture
) -> None:
    frames = clips.frames("..")
    models = clips.CountingModels()
    clip = clips.speak(clips.job(clips.avatar(frames)), models)
    shown = list(clip.playback.frames())
    assert all(np.array_equal(shown[n], frames[n]) for n in range(2))
    assert clip.playback.passed_through().all()
    assert not clip.playback.mask().any()
    assert clip.report["source_frames_with_face"] == 0
    assert "no face was found in any of 3 frames" in caplog.text
    assert models.loaded == ["s3fd", "rtmpose"]  # nothing else had to be
    assert clips.left_over() == []


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(97, 151), (243, 66), (64, 64), (129, 243)])
def test_boxes_are_cut_at_frames_of_any_size(clips: Any, width: int, height: int) -> None:
    frames = clips.frames("f", width=width, height=height)
    clip = clips.speak(clips.job(clips.avatar(frames), seconds=0.04, extra_margin=200))
    box = clip.playback.track.box(0)
    assert (box.y1, clip.report["source_frames_with_face"]) == (height, 1)
    outside = np.ones((height, width), bool)
    outside[box.area] = False
    for shown in clip.playback.frames():
        assert shown.shape == (height, width, 3)
        assert np.array_equal(shown[outside], frames[0][outside])


@pytest.mark.slow
def test_without_the_face_networks_the_users_lips_are_taken(clips: Any) -> None:
    models = clips.tiny.tiny_models()
    models.s3fd = models.rtmpose = None
    corners = LipCorners(101, 100, 139, 100)
    clip = clips.speak(clips.job(clips.avatar(clips.frames("."), corners=corners)), models)
    assert (clip.report["face_method"], clip.report["source_frames_with_face"]) == ("user", 1)
    assert not clip.playback.passed_through().any()


@pytest.mark.slow
def test_lips_the_user_points_at_are_a_face_even_where_none_is_detected(clips: Any) -> None:
    corners = LipCorners(101, 100, 139, 100)
    clip = clips.speak(clips.job(clips.avatar(clips.frames("."), corners=corners)))
    assert clip.report["face_method"] == "user"
    assert not clip.playback.passed_through().any()


@pytest.mark.slow
def test_the_users_mask_replaces_the_parsers(clips: Any) -> None:
    frames = clips.frames("f")
    mask = np.zeros(frames[0].shape[:2], np.float32)
    mask[20:30, 40:60] = 1.0  # in the upper half, which no parser's mask reaches
    mask[150:160, 100:110] = 1.0  # beyond the box
    models = clips.CountingModels()
    clip = clips.speak(clips.job(clips.avatar(frames), mask=mask), models)
    touched = changed(frames[0], next(clip.playback.frames()))
    assert touched[20:30, 40:60].mean() > 0.9
    touched[20:30, 40:60] = False
    assert not touched.any()
    mask[150:160] = 0
    assert np.array_equal(clip.playback.mask(), mask)
    assert "bisenet" not in models.loaded


@pytest.mark.slow
def test_the_mask_of_the_first_frame_covers_every_change(clips: Any) -> None:
    frames = clips.frames("f")
    clip = clips.speak(clips.job(clips.avatar(frames)))
    mask = clip.playback.mask()
    assert mask.dtype == np.float32
    assert 0 < mask.max() <= 1
    for shown in clip.playback.frames():
        assert not changed(frames[0], shown)[mask == 0].any()


# --- the same result however the work is cut up


@pytest.mark.slow
def test_a_batch_of_many_equals_batches_of_one(clips: Any) -> None:
    job = clips.job("f.f", seconds=0.28, mask=clips.everywhere)
    many = clips.speak(job)
    one = clips.speak(job, tuning=ONE_BY_ONE)
    assert (many.report["batch"], one.report["batch"]) == (4, 1)
    got, expected = (np.stack(list(clip.playback.frames())) for clip in (many, one))
    assert_equal_pictures(got, expected)


@pytest.mark.slow
@pytest.mark.parametrize("posterior", ["mode", "sample"])
def test_faces_prepared_together_equal_one_by_one(clips: Any, posterior: str) -> None:
    job = clips.job("f.fffff", seconds=0.28, posterior=posterior, sample_seed=3)
    models, sizes = clips.counting_encodes()
    one_by_one = clips.shown(job, models)
    four = Tuning(largest_batches={"generate": (4, 16), "prepare": (4, 4)})
    together = clips.shown(job, models, tuning=four)
    assert sizes == [2] * 6 + [8, 4]
    assert_equal_pictures(np.stack(together), np.stack(one_by_one))


@pytest.mark.slow
def test_chunks_of_one_face_equal_the_whole(clips: Any) -> None:
    job = clips.job("f.ff", seconds=0.16, posterior="sample", sample_seed=3)
    whole = clips.shown(job)
    assert np.array_equal(clips.shown(job, tuning=Tuning(chunk=1)), whole)


def test_windows_read_from_the_file_equal_those_of_the_whole_speech(tmp_path: Any) -> None:
    features = torch.randn(40, 5, 3)
    spool = Spool(tmp_path)
    with spool.writer() as writer:
        writer.append(np.zeros(7, np.uint8))
        place = writer.append(features.numpy())
    starts = window_starts(30, Fraction(25))
    for repeat in (False, True):
        expected = audio_windows(features, starts, repeat_edges=repeat)
        store = FeatureStore(place, 40, 3, repeat)
        with spool.reader() as reader:
            for first in range(0, 30, 4):
                part = store.windows(reader, starts[first : first + 4])
                assert torch.equal(part, expected[first : first + 4])


@pytest.mark.slow
def test_the_next_run_finds_the_avatar_prepared(clips: Any) -> None:
    cache, job = AvatarCache(), clips.job("f.f")
    fresh = clips.shown(job, cache=cache)
    models = clips.CountingModels()
    assert np.array_equal(clips.shown(job, models, cache=cache), fresh)
    assert models.loaded == ["whisper", "unet", "vae"]


@pytest.mark.slow
def test_the_next_process_finds_it_on_disk(clips: Any, tmp_path: Any) -> None:
    job = clips.job("f.f")
    fresh = clips.shown(job, cache=AvatarCache(tmp_path / "kept"))
    models = clips.CountingModels()
    again = clips.shown(job, models, cache=AvatarCache(tmp_path / "kept"))
    assert np.array_equal(again, fresh)
    assert models.loaded == ["whisper", "unet", "vae"]
    assert {path.suffix for path in (tmp_path / "kept").iterdir()} == {".safetensors"}


@pytest.mark.slow
def test_a_damaged_file_is_made_again(
    clips: Any, tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    job = clips.job("f")
    fresh = clips.shown(job, cache=AvatarCache(tmp_path / "kept"))
    for path in (tmp_path / "kept").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    again = clips.shown(job, cache=AvatarCache(tmp_path / "kept"))
    assert np.array_equal(again, fresh)
    assert "is made again" in caplog.text


@pytest.mark.slow
def test_what_was_prepared_before_a_cancel_is_found_again(clips: Any) -> None:
    clips.tuning = Tuning(chunk=1)
    cache, job = AvatarCache(), clips.job("ffff", seconds=0.16, mask=clips.everywhere)

    def stop_after_two_faces(work: Any) -> None:
        if work.done >= 4 + 2:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        clips.speak(job, cache=cache, poll=stop_after_two_faces, poll_seconds=0.001)
    models, encoded = clips.counting_encodes()
    clips.speak(job, models, cache=cache)
    assert sum(encoded) <= 2 * 2


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> AvatarCache:
    """A cache that knows one avatar, by its mode and by one sample."""
    clips, cache = small_clips.Clips(tmp_path_factory.mktemp("known")), AvatarCache()
    clips.shown(clips.job("f", seconds=0.04), cache=cache)
    clips.shown(clips.job("f", seconds=0.04, posterior="sample", sample_seed=2), cache=cache)
    return cache


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"bbox_shift": 3},
        {"extra_margin": 4},
        {"parsing_mode": "raw"},
        {"left_cheek_width": 40},
        {"right_cheek_width": 40},
        {"landmarks_on": "detected box"},
        {"model": "v1.0"},
        {"posterior": "sample"},
        {"posterior": "sample", "sample_seed": 5},
    ],
)
def test_a_changed_option_is_prepared_anew(
    clips: Any, known: AvatarCache, change: dict[str, Any]
) -> None:
    models = clips.CountingModels()
    clips.speak(clips.job("f", seconds=0.04, **change), models, cache=known)
    assert "bisenet" in models.loaded


@pytest.mark.slow
def test_a_changed_source_mask_or_network_is_prepared_anew(clips: Any) -> None:
    cache, frames = AvatarCache(), clips.frames("f")
    same, other = clips.avatar(frames), clips.avatar(frames, name="another")
    clips.shown(clips.job(same, seconds=0.04), cache=cache)
    for job, seed in (
        (clips.job(other, seconds=0.04), 0),
        (clips.job(same, seconds=0.04, mask=clips.everywhere), 0),
        (clips.job(same, seconds=0.04), 1),
    ):
        models = clips.CountingModels(clips.tiny.tiny_models(seed))
        clips.shown(job, models, cache=cache)
        assert models.loaded.index("vae") < models.loaded.index("whisper")


def test_the_cache_forgets_what_was_used_longest_ago() -> None:
    cache = AvatarCache(memory_bytes=100)
    for name in "abc":
        cache.put(name, {"values": torch.zeros(40, dtype=torch.uint8)})
        assert cache.get("a") is not None or name == "c"
    assert [cache.get(name) is not None for name in "abc"] == [True, False, True]
    cache.put("large", {"values": torch.zeros(101, dtype=torch.uint8)})
    assert cache.get("large") is None
    assert cache.get("a") is not None


# --- options


@pytest.mark.slow
def test_samples_are_repeated_by_their_seed_and_differ_from_the_mode(clips: Any) -> None:
    first, again, other, mode = (
        clips.shown(clips.job("f", seconds=0.04, mask=clips.everywhere, **options))
        for options in (
            {"posterior": "sample", "sample_seed": 1},
            {"posterior": "sample", "sample_seed": 1},
            {"posterior": "sample", "sample_seed": 2},
            {},
        )
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, mode)


def test_draws_follow_one_seeded_row_of_numbers_face_by_face() -> None:
    mean, log_variance = torch.zeros(2, 4, 32, 32), torch.zeros(2, 4, 32, 32)
    torch.manual_seed(11)
    row = torch.cat([torch.randn(1, 4, 32, 32) for _ in range(6)])
    draws = PosteriorDraws("sample", 11)
    drawn = [draws.latents(mean, log_variance, face) for face in (0, 1, 2)]
    assert torch.equal(torch.cat(drawn), row)
    assert torch.equal(PosteriorDraws("sample", 11).latents(mean, log_variance, 2), row[4:])


def test_the_lower_half_is_black_and_not_grey() -> None:
    crop = np.full((256, 256, 3), 255, np.uint8)
    masked, whole = masked_and_whole(crop)
    assert torch.equal(whole, torch.ones(3, 256, 256))
    assert torch.equal(masked[:, :128], torch.ones(3, 128, 256))
    assert torch.equal(masked[:, 128:], torch.full((3, 128, 256), -1.0))


@pytest.mark.slow
def test_version_one_has_neither_margin_nor_jaw_mask(clips: Any) -> None:
    job = clips.job("f", model="v1.0")
    clip = clips.speak(job)
    x0, y0, x1, y1 = clips.box
    assert clip.playback.track.box(0) == (x0, y0, x1, y1 - 10)
    assert job.mask_settings.mode == "raw"
    assert clip.report["model"] == "v1.0"


def test_version_one_hears_the_last_state_raw_and_one_floor(clips: Any) -> None:
    job = clips.job("f", seconds=0.31, model="v1.0")
    ((cells, kept),) = speech_segments(job.mel, "v1.0")
    assert kept == 15  # of 31 mel frames
    assert np.array_equal(cells, log_mel_v1(job.mel.speech))
    whisper = clips.tiny.tiny_models().whisper
    raw, normalised = (hidden_states(whisper, cells, kept, model) for model in ("v1.0", "v1.5"))
    assert torch.equal(raw[:, :4], normalised[:, :4])
    assert not torch.allclose(raw[:, 4], normalised[:, 4])


def test_speech_beyond_30_s_is_heard_in_segments_of_its_own(clips: Any) -> None:
    mel = clips.job("f", seconds=61.0).mel
    newer = [(cells.shape, kept) for cells, kept in speech_segments(mel, "v1.5")]
    assert newer == [((80, 3000), 1500), ((80, 3000), 1500), ((80, 3000), 50)]
    older = list(speech_segments(mel, "v1.0"))
    assert [(cells.shape, kept) for cells, kept in older] == newer
    assert not older[2][0][:, 100:].any()  # filled with zeros, not with silence


# --- numbers out of range


def overflowing(clips: Any) -> Any:
    """Networks whose pixels leave the range of float16, but not that of float32."""
    models = clips.tiny.tiny_models()
    models.vae.decoder.conv_out.weight *= 5e4
    return models


@pytest.mark.slow
def test_crops_beyond_half_precision_are_redone_in_full(clips: Any) -> None:
    models, noted = overflowing(clips), []
    latents, windows = torch.randn(2, 8, 32, 32), torch.randn(2, 50, 24)
    rounded = [models.load(role, torch.float16).float() for role in ("unet", "vae")]
    half = [models.load(role, torch.float16) for role in ("unet", "vae")]
    with torch.inference_mode():
        expected, _ = FaceGenerator(*rounded).generate(latents, windows)
        generator = FaceGenerator(*half, on_full_precision=lambda: noted.append(1))
        got, usable = generator.generate(latents, windows)
        generator.generate(latents, windows)
    assert usable.all()
    assert np.array_equal(got, expected)
    assert noted == [1]
    half[0].to(torch.float16)  # outside of inference mode: the weights stayed ordinary tensors


@pytest.mark.slow
def test_frames_that_hear_the_same_are_made_as_one_by_one(clips: Any) -> None:
    job = clips.job("f", seconds=0.2, fps=60)
    starts = window_starts(12, job.frame_rate)
    assert len(set(starts[:4])) < 4  # of the first batch
    together = clips.shown(job).astype(int)
    alone = clips.shown(clips.job("f", seconds=0.2, fps=60), tuning=ONE_BY_ONE)
    assert len(alone) == 12
    assert np.abs(together - alone).max() <= 1
    assert np.abs(alone[0].astype(int) - alone[3]).max() > 1  # another window, another face


@pytest.mark.slow
def test_what_several_frames_hear_is_given_once(clips: Any) -> None:
    models, noted = overflowing(clips), []
    latents, windows = torch.randn(4, 8, 32, 32), torch.randn(2, 50, 24)
    hears = torch.tensor([0, 0, 1, 1])
    full = [models.load(role, torch.float32) for role in ("unet", "vae")]
    half = [models.load(role, torch.float16) for role in ("unet", "vae")]
    with torch.inference_mode():
        expected, _ = FaceGenerator(*full).generate(latents, windows[hears])
        got, usable = FaceGenerator(*full).generate(latents, windows, hears)
        assert usable.all()
        assert np.abs(got.astype(int) - expected).max() <= 1
        generator = FaceGenerator(*half, on_full_precision=lambda: noted.append(1))
        redone, usable = generator.generate(latents, windows, hears)
        plain, _ = FaceGenerator(*half).generate(latents, windows[hears])
    assert usable.all()
    assert noted == [1]
    assert np.abs(redone.astype(int) - plain).max() <= 1


@pytest.mark.slow
def test_a_batch_begun_before_another_was_widened_is_redone_too(clips: Any) -> None:
    models, noted = overflowing(clips), []
    latents, windows = torch.randn(4, 8, 32, 32), torch.randn(4, 50, 24)
    half = [models.load(role, torch.float16) for role in ("unet", "vae")]
    generator = FaceGenerator(*half, on_full_precision=lambda: noted.append(1))
    with torch.inference_mode():
        begun = [generator.begin(latents[i : i + 2], windows[i : i + 2]) for i in (0, 2)]
        made = [wait() for wait in begun]
        again, usable = generator.generate(latents, windows)
    assert usable.all()
    assert all(good.all() for _, good in made)
    assert np.abs(np.concatenate([c for c, _ in made]).astype(int) - again).max() <= 1
    assert noted == [1]


def test_one_thread_is_for_a_while_only() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        with pytest.raises(KeyError), one_thread():
            raise KeyError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


class Watched(FaceGenerator):
    """Says in which order batches are begun and waited for."""

    def begin(self, *inputs: Any, **named: Any) -> Any:
        wait = super().begin(*inputs, **named)
        self.order.append("begin")
        return lambda: (self.order.append("wait"), wait())[1]

    order: list[str]


def faces_made(clips: Any, folder: Path, ahead: int) -> tuple[list[np.ndarray], list[str]]:
    """Return the faces of six frames, made one at a time, and the order of the batches."""
    job = clips.job("fff", seconds=0.24)
    count = job.numbers.size
    models, random = clips.tiny.tiny_models(), np.random.default_rng(0)
    spool = Spool(folder)
    with spool.writer() as writer:
        latents = random.standard_normal((count, *LATENT_SHAPE), dtype=np.float32)
        places = np.array([writer.append(one) for one in latents])
        heard = writer.append(random.standard_normal((40, 5, 24), dtype=np.float32))
    generator = Watched(*(models.load(role, torch.float32) for role in ("unet", "vae")))
    generator.order = []
    faces = GeneratedFaces(job, places, FeatureStore(heard, 40, 24, False), spool, places < 0)
    work = Work(lambda _: None, poll_seconds=1)
    with torch.inference_mode():
        faces.make(generator, 1, work, ahead=ahead)
    assert work.done == job.indices.size == 6
    with spool.reader() as reader:
        made = [reader.read(place, (256, 256, 3), np.uint8) for place in faces.places.tolist()]
    return made, generator.order


@pytest.mark.slow
@pytest.mark.parametrize("ahead", [1, 2])
def test_batches_begun_ahead_make_the_same_faces(clips: Any, tmp_path: Path, ahead: int) -> None:
    expected, one_by_one = faces_made(clips, tmp_path, 0)
    made, order = faces_made(clips, tmp_path, ahead)
    assert one_by_one == ["begin", "wait"] * 6
    assert order[: ahead + 2] == ["begin"] * (ahead + 1) + ["wait"]
    assert order[-ahead:] == ["wait"] * ahead
    assert not np.array_equal(expected[0], expected[5])
    assert all(np.array_equal(one, other) for one, other in zip(made, expected, strict=True))


@pytest.mark.slow
def test_a_face_that_cannot_be_computed_passes_through(
    clips: Any, caplog: pytest.LogCaptureFixture
) -> None:
    models = clips.tiny.tiny_models()
    models.vae.decoder.conv_out.bias.fill_(float("nan"))
    frames = clips.frames("f")
    clip = clips.speak(clips.job(clips.avatar(frames)), models)
    assert clip.playback.passed_through().all()
    assert all(np.array_equal(frame, frames[0]) for frame in clip.playback.frames())
    assert "3 faces were not finite" in caplog.text


# --- stopping


class HostInterruption(BaseException):
    """A host's own interruption, of a kind we know nothing of."""


@pytest.mark.slow
@pytest.mark.parametrize("steps", [0, 2, 5, 9])
def test_cancel_ends_every_stage_and_leaves_nothing(clips: Any, steps: int) -> None:
    asking: list[int] = []

    def stop(work: Any) -> None:
        asking.append(threading.get_ident())
        if work.done >= steps:
            raise HostInterruption

    models = clips.CountingModels()
    before = set(threading.enumerate())
    with pytest.raises(HostInterruption):
        clips.speak(clips.job("ffff", seconds=0.3), models, poll=stop, poll_seconds=0.001)
    assert clips.left_over() == []
    assert models.alive() == []
    assert set(threading.enumerate()) <= before
    assert set(asking) == {threading.get_ident()}  # the host is never asked by another thread


@pytest.mark.slow
def test_the_host_is_asked_often(clips: Any) -> None:
    asked: list[int] = []
    clips.speak(clips.job("f"), poll=lambda work: asked.append(work.done), poll_seconds=0.001)
    assert len(asked) > 20
    assert asked == sorted(asked)
    assert asked[-1] == 2 + 1 + 3  # source frames twice, a segment, output frames


@pytest.mark.slow
def test_progress_counts_to_the_total_with_faces_missing(clips: Any) -> None:
    from avatarvideo.musetalk.pipeline.run import total_steps

    job, seen = clips.job("f..f", seconds=0.2, mask=clips.everywhere), []
    clips.speak(job, poll=lambda work: seen.append((work.done, work.preview)))
    assert seen[-1][0] == total_steps(job)
    assert seen[-1][1].shape == (256, 256, 3)


@pytest.mark.slow
def test_the_first_face_is_shown_as_soon_as_it_is_found(clips: Any) -> None:
    seen: list[tuple[int, Any]] = []
    job = clips.job("..f", seconds=0.2, mask=clips.everywhere)
    clips.speak(job, poll=lambda work: seen.append((work.done, work.preview)))
    found, first = next((done, shown) for done, shown in seen if shown is not None)
    assert found == 2  # two source frames without a face were looked at, nothing was prepared
    prepared = next(shown for done, shown in seen if done == 2 * 3)
    assert first.shape == (256, 256, 3)
    np.testing.assert_array_equal(first, prepared)  # both are the same crop of the source


def test_a_full_disk_is_refused_before_any_work(tmp_path: Any) -> None:
    with pytest.raises(MediaError, match=r"Expected .* MB of room .* make room or shorten"):
        Spool(tmp_path / "temp", expected_bytes=1 << 60)
    assert list((tmp_path / "temp").iterdir()) == []


def test_a_spool_that_is_open_goes_when_its_reader_closes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(f"{path} is in use")  # as Windows says

    spool = Spool(tmp_path)
    with spool.reader():
        with monkeypatch.context() as windows:
            windows.setattr(Path, "unlink", refuse)
            spool.release()
        assert spool.path.exists()
    assert not spool.path.exists()


# --- steadiness


@pytest.mark.slow
def test_steadiness_is_told_and_cached(clips: Any) -> None:
    job = clips.job("f" * 4, seconds=0.16, mask=clips.everywhere, steadiness=1.0)
    cache = AvatarCache()
    first = clips.speak(job, cache=cache)
    assert first.report["steadiness"] == {"applied": 1.0, "shots": 1}
    second = clips.speak(job, cache=cache)
    for one, other in zip(first.playback.frames(), second.playback.frames(), strict=True):
        assert np.array_equal(one, other)
    plain = clips.speak(clips.job("f" * 4, seconds=0.16, mask=clips.everywhere), cache=cache)
    assert plain.report["steadiness"] == {"applied": 0, "shots": None}
    assert plain.playback.track.exact is None
    # The planted landmarks do not move: the boxes stay, and what they hold.
    assert np.array_equal(plain.playback.track.boxes, first.playback.track.boxes)


@pytest.mark.slow
def test_a_still_needs_no_steadying(clips: Any) -> None:
    job = clips.job("f", seconds=0.08, mask=clips.everywhere)
    steady = clips.job("f", seconds=0.08, mask=clips.everywhere, steadiness=1.0)
    assert np.array_equal(clips.shown(job), clips.shown(steady))
