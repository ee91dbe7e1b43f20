"""Sharpened faces are what spandrel makes of the generated ones, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from avatarvideo.errors import Cancelled
from avatarvideo.musetalk.face.aligned import aligned_face, alignment, points_in_box, put_back
from avatarvideo.musetalk.face.blend import Backdrop
from avatarvideo.musetalk.face.crop import FaceBox, fit_face
from avatarvideo.musetalk.pipeline.avatar_cache import AvatarCache
from avatarvideo.musetalk.pipeline.compose import CROP_SHAPE, NOWHERE
from avatarvideo.musetalk.pipeline.cpu_features import Tuning
from avatarvideo.musetalk.pipeline.memory import FallbackPlan, VRAMManager
from avatarvideo.musetalk.pipeline.run import speak
from avatarvideo.musetalk.pipeline.sharpen import FaceSharpener, shown_part
from avatarvideo.musetalk.upscale.model import UpscaleModel
from avatarvideo.musetalk.voice.gate import Gate
from avatarvideo.musetalk.work import Work
from support.small_clips import TINY

WIDTH, HEIGHT = 972, 724  # of frames whose planted face takes 342 x 314 pixels
SIDE = 342


@pytest.fixture
def small(oracle: Any) -> Any:
    oracle("spandrel")
    from support import upscalers

    return upscalers


@pytest.fixture
def near(clips: Any) -> Any:
    """Make a job whose face is larger than what MuseTalk generates."""

    def make(upscaler: Any = None, *, faces: str = "f", seconds: float = 0.08, **given: Any) -> Any:
        avatar = clips.avatar(clips.frames(faces, WIDTH, HEIGHT), name=f"near {faces}")
        mask = given.pop("mask", np.ones((HEIGHT, WIDTH), np.float32))
        job = clips.job(avatar, seconds=seconds, mask=mask, **given)
        return job if upscaler is None else replace(job, upscaler=UpscaleModel(upscaler))

    return make


def shown(clip: Any) -> np.ndarray:
    return np.stack(list(clip.playback.frames()))


def crops_of(clip: Any) -> list[np.ndarray]:
    """Return the generated crops of a clip, uint8 RGB (256, 256, 3)."""
    with clip.playback.spool.reader() as reader:
        places = clip.playback.crop_places.tolist()
        return [reader.read(place, CROP_SHAPE, np.uint8) for place in places]


def unit(picture: np.ndarray) -> torch.Tensor:
    """Return a picture as ComfyUI's nodes give an IMAGE to a model: its colours lie together."""
    return torch.as_tensor(picture)[None].movedim(-1, -3).float() / 255


def levels(image: torch.Tensor) -> np.ndarray:
    return (image[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()


def fitted(picture: np.ndarray, box: FaceBox) -> np.ndarray:
    return cv2.resize(picture, (box.width, box.height), interpolation=cv2.INTER_AREA)


@pytest.mark.quick
def test_one_that_doubles_by_nearest_neighbour_gives_the_doubled_crop(
    clips: Any, near: Any, small: Any
) -> None:
    clip = clips.speak(near(small.nearest()))
    box = clip.playback.track.box(0)
    assert max(box.width, box.height) == SIDE
    for frame, crop in zip(shown(clip), crops_of(clip), strict=True):
        doubled = fitted(crop.repeat(2, 0).repeat(2, 1), box)
        assert np.array_equal(frame[box.area], doubled)  # the mask is everywhere
    assert clip.report["upscale"] == {
        "applied": "super-resolution",
        "model": "ESRGAN",
        "scale": 2,
        "passes": 1,
        "dtype": "float32",
        "frames": 2,
        "reason": "",
    }


@pytest.mark.slow
def test_an_esrgan_gives_what_spandrel_gives(clips: Any, near: Any, small: Any) -> None:
    descriptor = small.small_esrgan(4)
    clip = clips.speak(near(descriptor))
    box = clip.playback.track.box(0)
    for frame, crop in zip(shown(clip), crops_of(clip), strict=True):
        assert np.array_equal(frame[box.area], fitted(levels(descriptor(unit(crop))), box))


@pytest.mark.slow
def test_what_the_mask_shows_is_what_spandrel_gives_of_the_whole_crop(
    clips: Any, near: Any, small: Any
) -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    mask[220:350, 100:380] = 0.7
    job, descriptor, seen = near(small.small_compact(), mask=mask), small.small_compact(), []
    made = job.upscaler.module

    def watched(dtype: torch.dtype, **given: Any) -> Any:
        module = made(dtype, **given)
        seen.clear()  # of what was tried
        module.model.register_forward_pre_hook(lambda _model, given: seen.append(given[0].shape))
        return module

    job.upscaler.module = watched
    clip = clips.speak(job)
    box = clip.playback.track.box(0)
    levels_of_mask = np.rint(mask[box.area] * 255).astype(np.uint8)
    backdrop = Backdrop(job.avatar.first_frame(), box, levels_of_mask)
    for frame, crop in zip(shown(clip), crops_of(clip), strict=True):
        by_hand = fitted(levels(descriptor(unit(crop))), box)
        assert np.array_equal(frame, backdrop.with_fitted(by_hand))
    assert [shape[2] < 140 for shape in seen] == [True, True]  # of 256 rows


@pytest.mark.parametrize("exact", [False, True])
def test_nothing_but_the_shown_part_is_fitted_into_what_a_mask_shows(exact: bool) -> None:
    draws = np.random.default_rng(4)
    for _ in range(60):
        width, height, side = draws.integers(60, 500, 3)
        box = FaceBox(10, 20, 10 + int(width), 20 + int(height))
        mask = np.zeros((height, width), np.uint8)
        x, y = int(draws.integers(width - 8)), int(draws.integers(height - 8))
        mask[y : y + int(draws.integers(1, height - y)), x : x + int(draws.integers(1, 8))] = 9
        edges = np.array(box) + draws.uniform(-0.5, 0.5, 4) if exact else None
        crop = draws.integers(0, 256, (256, 256, 3), np.uint8)
        large = cv2.resize(crop, (512 + int(side), 512 + int(side)), interpolation=cv2.INTER_CUBIC)
        part = shown_part(mask).resized((256, 256), large.shape[:2])
        cut = np.zeros_like(large)
        cut[part.slices] = large[part.slices]
        shown_of = fit_face(large, box, edges)[mask > 0]
        assert np.array_equal(fit_face(cut, box, edges)[mask > 0], shown_of)


@pytest.mark.slow
def test_a_face_restorer_sees_the_whole_face_and_gives_what_spandrel_gives(
    clips: Any, near: Any, small: Any
) -> None:
    descriptor = small.small_gfpgan()
    job = near(descriptor, seconds=0.12, faces="ff", sample_seed=5)
    job = replace(job, upscaler=UpscaleModel(descriptor, seed=5))
    clip = clips.speak(job)
    plain = clips.shown(replace(job, upscaler=None))
    for number, frame in enumerate(shown(clip)):
        box = clip.playback.track.box(int(job.slots[number]))
        matrix = alignment(points_in_box(box))  # the planted landmarks are no face's
        torch.manual_seed(5)
        restored = levels(descriptor(unit(aligned_face(plain[number], matrix)).contiguous()))
        expected = plain[number].copy()
        expected[box.area] = put_back(restored, matrix, box)
        assert np.array_equal(frame, expected)
    assert clip.report["upscale"]["applied"] == "face restoring"
    assert clip.report["upscale"]["frames"] == 3
    assert "In 2 source frames there are no landmarks" in clip.report["notes"][0]


@pytest.mark.slow
def test_a_restorer_takes_the_landmarks_where_there_are_some(
    clips: Any, near: Any, small: Any
) -> None:
    five = points_in_box(FaceBox(100, 90, 400, 420)) + np.array([4, -6])
    cache = AvatarCache()
    job = near(small.nearest(1, purpose="FaceSR"))
    track = clips.speak(job, cache=cache).playback.track
    key = next(key for key, entry in cache._entries.items() if "five" in entry)
    held = cache.get(key)
    assert held is not None
    entry = {**held, "five": torch.as_tensor(five[None])}
    cache.put(key, entry)
    clip = clips.speak(job, cache=cache)
    plain = clips.shown(replace(job, upscaler=None), cache=cache)
    box, matrix = track.box(0), alignment(five)
    expected = put_back(aligned_face(plain[0], matrix), matrix, box)
    assert np.array_equal(shown(clip)[0][box.area], expected)
    assert clip.report["notes"] == []


@pytest.mark.slow
def test_pixels_outside_of_the_mask_are_the_source_s(clips: Any, near: Any, small: Any) -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    mask[250:300, 100:300] = 1
    job = near(small.small_esrgan(), mask=mask)
    source, frames = job.avatar.first_frame(), clips.shown(job)
    plain = clips.shown(replace(job, upscaler=None))
    changed = (frames != source).any(axis=(0, 3))
    assert changed[mask == 1].mean() > 0.9
    assert not changed[mask == 0].any()
    assert (frames != plain).any()


@pytest.mark.slow
def test_a_face_no_larger_than_what_is_generated_stays_so(clips: Any, small: Any) -> None:
    job = clips.job("f", seconds=0.08, mask=clips.everywhere)
    descriptor = small.nearest()
    clip = clips.speak(replace(job, upscaler=UpscaleModel(descriptor)))
    assert np.array_equal(shown(clip), clips.shown(job))
    assert clip.report["upscale"]["applied"] == "none"
    assert clip.report["upscale"]["reason"] == (
        "the largest face takes 86 pixels of the frame, no more than the 256 that MuseTalk makes"
    )


@pytest.mark.slow
def test_faces_at_rest_are_sharpened_once(clips: Any, near: Any, small: Any) -> None:
    job = near(small.nearest(), seconds=0.2, silence="rest")
    gate = Gate(np.array([0, 0, 0.5, 1, 1], np.float32), 1, 1, "test")
    clip = clips.speak(replace(job, gate=gate))
    places = clip.playback.sharp_places
    assert (places != NOWHERE).all()
    assert places[0] == places[1]
    assert len(set(places.tolist())) == 4


@pytest.mark.slow
def test_several_batches_give_what_one_gives(clips: Any, near: Any, small: Any) -> None:
    job = near(small.small_esrgan(), faces="ff", seconds=0.2)
    one = Tuning(largest_batches={"generate": (1, 1), "prepare": (1, 1)})
    difference = clips.shown(job).astype(int) - clips.shown(job, tuning=one)
    assert np.abs(difference).max() <= 1


@pytest.mark.slow
def test_out_of_memory_steps_down_to_none_for_all_frames(clips: Any, near: Any, small: Any) -> None:
    class RunsOut(small.Nearest):  # type: ignore[misc]
        everything = 0

        def before(self, image: torch.Tensor) -> None:
            type(self).everything += image.device.type != "meta"
            if type(self).everything > 1:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB.")

    job = near(small.nearest(kind=RunsOut), seconds=0.2)
    clip = clips.speak(job)
    assert [step["to"] for step in clips.fallback.steps] == [
        "cpu float32 batch 2, with the upscale model",
        "cpu float32 batch 1, with the upscale model",
        "cpu float32 batch 1",
    ]
    assert clip.report["upscale"]["applied"] == "none"
    assert "not enough memory" in clip.report["upscale"]["reason"]
    assert (clip.playback.sharp_places == NOWHERE).all()
    plain = clips.shown(replace(job, upscaler=None)).astype(int)
    assert np.abs(shown(clip) - plain).max() <= 1


@pytest.mark.slow
def test_a_model_that_does_not_fit_beside_the_others_is_left_away(
    clips: Any, near: Any, small: Any
) -> None:
    class Uncounted(small.Nearest):  # type: ignore[misc]
        def before(self, image: torch.Tensor) -> None:
            float(image.max())  # which has no value without numbers: 1.2 GB are guessed

    clip = clips.speak(near(small.nearest(kind=Uncounted)), vram=clips.FreeMemory(800))
    assert clips.fallback.steps[-1]["from"] == "cpu float32 batch 1, with the upscale model"
    assert clip.report["upscale"]["applied"] == "none"


@pytest.mark.slow
def test_it_can_be_cancelled_between_two_passes_and_leaves_nothing(
    clips: Any, near: Any, small: Any
) -> None:
    asked: list[int] = []

    class Asked(small.Nearest):  # type: ignore[misc]
        def before(self, image: torch.Tensor) -> None:
            if image.device.type != "meta" and image.shape[-1] >= 256:  # what is tried is smaller
                asked.append(image.shape[-1])

    def poll(_work: Any) -> None:
        if asked:
            raise Cancelled("enough")

    job = near(small.nearest(kind=Asked))
    model = job.upscaler
    model.passes_for = lambda _side: 2
    with pytest.raises(Cancelled):
        clips.speak(job, poll=poll, poll_seconds=0)
    assert asked == [256]
    assert model._own is None
    assert clips.left_over() == []


@pytest.mark.slow
def test_where_the_disk_has_no_room_the_faces_stay_as_generated(
    clips: Any, near: Any, small: Any
) -> None:
    job = near(small.nearest())
    playback = clips.speak(job).playback
    sharpener = FaceSharpener(
        job, job.upscaler, playback.track, playback.mask_places, check=lambda: None
    )
    assert sharpener.why_not(clips.temp, 0) == ""
    reason = sharpener.why_not(clips.temp, 1 << 60)
    assert reason.startswith("1 MB of room for them are needed in ")  # 2 x 342 x 314 x 3 bytes
    assert reason.endswith("and 0 MB are free")


@pytest.mark.slow
def test_what_a_model_gives_no_numbers_for_stays_as_generated(
    clips: Any, near: Any, small: Any
) -> None:
    descriptor = small.nearest()
    descriptor.model.gain.fill_(torch.nan)
    job = near(descriptor)
    clip = clips.speak(job)
    assert np.array_equal(shown(clip), clips.shown(replace(job, upscaler=None)))
    assert clip.report["notes"] == [
        "The upscale model returned values that are not finite for 2 faces: they are shown as "
        "they were generated."
    ]


@pytest.mark.slow
def test_what_is_encoded_meanwhile_says_and_shows_the_same(
    clips: Any, near: Any, small: Any
) -> None:
    job, begun = near(small.nearest()), []
    fallback = FallbackPlan(VRAMManager("cpu"), "high", Tuning(leaves_cpu_idle=("cpu",)))
    work = Work(lambda _work: None, poll_seconds=0.01)
    cache = AvatarCache()
    options = {"cache": cache, "work": work, "start_encode": begun.append}
    clip = speak(job, TINY, clips.host, fallback, **options)
    assert begun[0].report["upscale"]["applied"] == clip.report["upscale"]["applied"]
    assert begun[0].report["upscale"]["reason"] == clip.report["upscale"]["reason"] == ""
    assert np.array_equal(shown(begun[0]), shown(clip))
    assert (clip.playback.sharp_places != NOWHERE).all()
