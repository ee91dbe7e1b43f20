"""The half rate of quality low: which faces are generated, and what the others are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from avatarvideo.musetalk.networks.unet import UNet
from avatarvideo.musetalk.networks.vae import SCALING_FACTOR, to_pixels
from avatarvideo.musetalk.pipeline.cpu_features import Tuning
from avatarvideo.musetalk.pipeline.generate import FaceGenerator
from avatarvideo.musetalk.pipeline.half_rate import (
    MOVES,
    NEARLY_THE_MEAN,
    MeanLatents,
    batches,
    crops_between,
    faces_between,
    from_the_mean,
    half_rate_report,
    sources_between,
)


@pytest.mark.parametrize(
    ("faces", "slots", "between"),
    [
        ([0, 1, 2, 3, 4], "aaaaa", "01010"),
        ([0, 1, 2, 3], "aaaa", "0100"),  # the last one has nothing after it
        ([-1, 0, 1, 2], "aaa", "0010"),  # a face at rest is no neighbour
        ([0, 1, 3, 4, 5], "aaaaaa", "00010"),
        ([0, 1, 2, 3, 4], "aabbb", "00010"),
        ([0, 1, 2], "abc", "000"),
        ([], "a", ""),
    ],
)
def test_every_second_face_of_a_picture_lies_between(
    faces: list[int], slots: str, between: str
) -> None:
    shown = np.array([ord(slot) for slot in slots])
    found = faces_between(np.array(faces, np.int64), shown)
    assert "".join(str(int(one)) for one in found) == between


@pytest.mark.parametrize("size", [1, 2, 3, 9])
def test_latents_between_are_the_mean_across_batches_too(size: int) -> None:
    faces = np.array([-1, 0, 1, 2, 3, 4, 6, 7])
    latents = torch.arange(10.0).square()[:, None, None, None]  # of each face's number
    between = faces_between(faces, np.zeros(8, np.int64))
    mean, made = MeanLatents(), []
    for batch in batches(faces, size, between):
        assert batch.pairs is not None
        assert batch.generated.size <= size
        made += list(zip(batch.faces, mean(latents[batch.generated], batch.pairs), strict=True))
    assert [face for face, _ in made] == faces.tolist()
    values = [float(value) for _, value in made]
    assert values == [81, 0, (0 + 4) / 2, 4, (4 + 16) / 2, 16, 36, 49]


def test_without_it_all_of_a_batch_are_generated() -> None:
    parts = list(batches(np.arange(5), 2))
    assert [part.faces.tolist() for part in parts] == [[0, 1], [2, 3], [4]]
    assert all(part.generated is part.faces and part.pairs is None for part in parts)


@pytest.mark.parametrize(
    ("slots", "speaks", "between"),
    [
        ("01234", "11111", "01110"),
        ("0123210", "1111111", "0110"),  # there and back: the turn lies between twice the same
        ("012012", "111111", "010"),
        ("01234", "11101", "01000"),  # beside silence
        ("01234", "00111", "00010"),
        ("0011223", "1111111", "0000"),  # each shown twice
        ("0", "1", "0"),
        ("01", "11", "00"),
    ],
)
def test_a_source_lies_between_wherever_it_is_shown(slots: str, speaks: str, between: str) -> None:
    shown = np.array([int(slot) for slot in slots])
    found = sources_between(shown, np.array([one == "1" for one in speaks]))
    assert "".join(str(int(one)) for one in found) == between


def flat(level: int) -> np.ndarray:
    return np.full((4, 4, 3), level, np.uint8)


def test_only_a_crop_near_the_mean_of_those_beside_it_is_left_out() -> None:
    assert from_the_mean(flat(0), flat(255), flat(255)) == 127.5
    assert from_the_mean(flat(10), flat(12), flat(13)) == 0.5
    near = int(NEARLY_THE_MEAN)
    crops = [flat(100 + level) for level in (0, near, 0, near + 1, 0, 0, 0)]
    may = np.array([True, True, True, True, False, True, True])
    between, apart = crops_between(crops, may)
    assert between.tolist() == [False, True, False, False, False, True, False]
    assert apart.tolist() == [0, near, 0, 0, 0, 0, 0]


def test_a_report_says_how_far_pictures_were_from_the_mean() -> None:
    told = half_rate_report("", 2, 5, np.array([1.0, 2.5], np.float32))
    assert told["pictures_between"] == 2
    assert told["levels_from_their_mean"] == {"mean": 1.75, "largest": 2.5}
    assert "pictures_between" not in half_rate_report("", 2, 5, np.zeros(0, np.float32))


@pytest.mark.slow
@torch.inference_mode()
def test_a_generator_decodes_the_mean(clips: Any) -> None:
    models, draw = clips.tiny.tiny_models(), torch.Generator().manual_seed(0)
    latents = torch.randn(2, 8, 32, 32, generator=draw)
    windows = torch.randn(2, 50, 24, generator=draw)
    generator = FaceGenerator(models.unet, models.vae)
    expected, _ = generator.generate(latents, windows)
    pairs = torch.tensor([[1, 1, 2], [1, 2, 2]])
    made, usable = generator.begin(latents, windows, None, pairs)()
    assert usable.tolist() == [True] * 3
    assert np.array_equal(made[[0, 2]], expected)
    heard = windows + generator._positions
    mean = models.unet(latents, heard).mean(dim=0, keepdim=True)
    shown = to_pixels(models.vae.decode(mean / SCALING_FACTOR))[0].numpy()
    assert np.abs(made[1].astype(int) - shown).max() <= 1  # of another batch
    assert np.abs(made[1].astype(int) - made[0]).mean() > 3


@pytest.mark.slow
def test_a_face_that_moves_is_generated_in_every_frame(clips: Any) -> None:
    models = clips.tiny.tiny_models()
    models.taesd = clips.tiny.small_decoder()
    job = clips.job("fff", quality="low", mask=clips.everywhere)
    told = clips.speak(job, models).report["half_rate"]
    assert told == {"applied": False, "faces": 3, "faces_between": 0, "reason": MOVES}


def still_video(clips: Any, count: int, **options: Any) -> Any:
    """Return a job of a video avatar whose every frame is the same."""
    (frame,) = clips.frames("f")
    avatar = clips.avatar([frame] * count)
    return clips.job(avatar, seconds=count / 25, quality="low", **options)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "encoded"), [(5, 3), (19, 9 + 2)])  # in chunks of 17
def test_pictures_of_a_video_that_hardly_moves_are_not_all_encoded(
    clips: Any, count: int, encoded: int
) -> None:
    models, sizes = clips.counting_encodes()
    models.models.taesd = clips.tiny.small_decoder()
    clip = clips.speak(still_video(clips, count), models)
    assert sum(sizes) == 2 * encoded
    told = clip.report["half_rate"]
    assert told["applied"]
    assert told["pictures_between"] == told["faces_between"] == count - encoded
    assert told["levels_from_their_mean"] == {"mean": 0, "largest": 0}
    assert not clip.playback.passed_through().any()
    assert clip.report["landmarks_difference"]["mean_pixels"] >= 0


@pytest.mark.slow
def test_where_nothing_moves_a_video_is_as_its_still(clips: Any) -> None:
    models = clips.tiny.tiny_models()
    models.taesd = clips.tiny.small_decoder()
    (frame,) = clips.frames("f")
    still = clips.job(clips.avatar([frame]), seconds=0.2, quality="low")
    expected, shown = clips.shown(still, models), clips.shown(still_video(clips, 5), models)
    assert np.abs(shown.astype(int) - expected).max() <= 1  # encoded in another batch
    assert "landmarks_difference" not in clips.speak(still, models).report
    assert np.abs(shown[1].astype(int) - shown[0]).max() > 1


@pytest.mark.slow
def test_a_pass_that_ran_out_of_memory_goes_on_before_a_face_between(clips: Any) -> None:
    calls: list[int] = []

    class FailsOnce(UNet):
        def forward(
            self, latents: torch.Tensor, audio_features: torch.Tensor, hears: Any = None
        ) -> torch.Tensor:
            calls.append(len(latents))
            if len(calls) == 2:
                raise MemoryError
            return super().forward(latents, audio_features, hears)

    plain, failing = clips.tiny.tiny_models(), clips.CountingModels(None, {"unet": FailsOnce})
    plain.taesd = failing.models.taesd = clips.tiny.small_decoder()
    expected = clips.shown(still_video(clips, 7), plain, tuning=Tuning(bfloat16=False))
    sizes: Any = {"generate": (2, 2), "prepare": (1, 1)}
    tuning = Tuning(bfloat16=False, largest_batches=sizes)
    clip = clips.speak(still_video(clips, 7), failing, tuning=tuning)
    assert calls[:3] == [2, 2, 1]
    shown = np.stack(list(clip.playback.frames()))
    assert np.abs(shown.astype(int) - expected).max() <= 1  # of other batches


@pytest.mark.slow
def test_pictures_beside_an_empty_mask_are_encoded(clips: Any) -> None:
    models, sizes = clips.counting_encodes()
    models.models.taesd = clips.tiny.small_decoder()
    clip = clips.speak(still_video(clips, 5, mask=0 * clips.everywhere), models)
    assert sum(sizes) == 2 * 5
    assert clip.playback.passed_through().all()
