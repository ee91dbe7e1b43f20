"""The half rate of quality low: which faces are generated, and what the others are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from avatarvideo.musetalk.networks.vae import SCALING_FACTOR, to_pixels
from avatarvideo.musetalk.pipeline.generate import FaceGenerator
from avatarvideo.musetalk.pipeline.half_rate import (
    MOVES,
    MeanLatents,
    batches,
    faces_between,
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
