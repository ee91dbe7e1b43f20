"""An upscale model gives what spandrel gives by hand, and stays the user's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from avatarvideo.errors import CheckpointError
from avatarvideo.musetalk.upscale.model import UNCOUNTED, UpscaleModel

HALVES = (torch.float16, torch.bfloat16)


@pytest.fixture
def small(oracle: Any) -> Any:
    """The module of small models; spandrel's absence is a skip, in CI a failure."""
    oracle("spandrel")
    from support import upscalers

    return upscalers


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (24, 20, 3), np.uint8)


def unit(picture: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(picture).permute(2, 0, 1)[None].float() / 255


def levels(image: torch.Tensor) -> np.ndarray:
    return (image[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()


def through(descriptor: Any, picture: np.ndarray, passes: int = 1, **options: Any) -> Any:
    model = UpscaleModel(descriptor, **options)
    model.module(torch.float32)
    return model.sharpened(picture, passes)


def test_one_that_doubles_by_nearest_neighbour_doubles(small: Any, picture: np.ndarray) -> None:
    assert np.array_equal(through(small.nearest(), picture), picture.repeat(2, 0).repeat(2, 1))
    assert np.array_equal(through(small.nearest(), picture, 2), picture.repeat(4, 0).repeat(4, 1))


@pytest.mark.parametrize("passes", [1, 2])
def test_an_esrgan_gives_what_spandrel_gives(small: Any, picture: np.ndarray, passes: int) -> None:
    descriptor, image = small.small_esrgan(), unit(picture)
    for _ in range(passes):
        image = descriptor(image)
    got = through(descriptor, picture, passes)
    assert np.array_equal(got, levels(image))
    assert got.std() > 10


@pytest.mark.slow
def test_a_gfpgan_gives_what_spandrel_gives_with_the_seed_s_noise(small: Any) -> None:
    descriptor = small.small_gfpgan()
    face = np.random.default_rng(2).integers(0, 256, (512, 512, 3), np.uint8)
    torch.manual_seed(7)
    expected = levels(descriptor(unit(face)))
    torch.manual_seed(99)
    before = torch.get_rng_state()
    got = through(descriptor, face, seed=7)
    assert np.array_equal(got, expected)
    assert torch.equal(torch.get_rng_state(), before)  # others' draws are not disturbed
    assert not np.array_equal(through(descriptor, face, seed=8), expected)


def test_the_user_s_model_is_not_changed(small: Any, picture: np.ndarray) -> None:
    with torch.inference_mode():  # as ComfyUI's nodes make theirs
        descriptor = small.nearest()
    model = UpscaleModel(descriptor)
    with torch.inference_mode():
        module = model.module(torch.bfloat16)
        assert next(module.parameters()).dtype == torch.bfloat16
        model.sharpened(picture)
    model.release()
    assert descriptor.model.gain.dtype == torch.float32
    assert descriptor.model.asked == 0
    assert vars(descriptor.model).keys() == vars(small.nearest().model).keys()


def test_the_precision_is_one_that_the_model_takes(small: Any) -> None:
    every = UpscaleModel(small.nearest())
    assert [every.dtype_for(half) for half in HALVES] == list(HALVES)
    none = UpscaleModel(small.nearest(supports_half=False, supports_bfloat16=False))
    assert [none.dtype_for(half) for half in HALVES] == [torch.float32] * 2
    one = UpscaleModel(small.nearest(supports_half=False))
    assert [one.dtype_for(half) for half in HALVES] == [torch.float32, torch.bfloat16]
    face = UpscaleModel(small.nearest(1, purpose="FaceSR"))
    assert [face.dtype_for(half) for half in HALVES] == [torch.float32] * 2
    assert face.is_restorer


@pytest.mark.parametrize(
    ("scale", "passes"),
    [(1, [0, 1, 1, 1, 1]), (2, [0, 1, 1, 2, 2]), (3, [0, 1, 1, 1, 1]), (4, [0, 1, 1, 1, 1])],
)
def test_it_is_asked_as_often_as_the_face_needs(small: Any, scale: int, passes: list[int]) -> None:
    model = UpscaleModel(small.nearest(scale))
    assert [model.passes_for(side) for side in (256, 257, 768, 769, 3000)] == passes


def test_half_precision_that_overflows_is_done_again_in_full(
    small: Any, picture: np.ndarray
) -> None:
    class Overflowing(small.Nearest):  # type: ignore[misc]
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return super().forward(image * 1e5 - image * 99999)

    model, widened = UpscaleModel(small.nearest(kind=Overflowing)), []
    module = model.module(torch.float16)
    got = model.sharpened(picture, on_full_precision=lambda: widened.append(1))
    assert got is not None
    assert np.abs(got - picture.repeat(2, 0).repeat(2, 1).astype(int)).max() <= 3
    assert widened == [1]
    assert next(module.parameters()).dtype == torch.float32


def test_what_is_no_number_is_no_picture(small: Any, picture: np.ndarray) -> None:
    descriptor = small.nearest()
    descriptor.model.gain.fill_(torch.nan)
    assert through(descriptor, picture) is None


def test_memory_is_counted_on_the_model_s_own_layers(small: Any) -> None:
    model = UpscaleModel(small.nearest())
    weights, work = model.bytes_needed(256, 1, torch.float32)
    assert weights == 4
    assert work == 2 * 4 * 3 * (256**2 + 512**2)  # read and written, and as much held beside it
    assert model.bytes_needed(256, 2, torch.float16)[1] == 2 * 2 * 3 * (512**2 + 1024**2)


def test_a_model_that_cannot_be_counted_is_guessed(small: Any) -> None:
    class Looking(small.Nearest):  # type: ignore[misc]
        def before(self, image: torch.Tensor) -> None:
            float(image.max())  # which has no value without numbers

    model = UpscaleModel(small.nearest(kind=Looking))
    assert model.bytes_needed(256, 1, torch.float32)[1] == 2 * 4 * UNCOUNTED * 3 * 256**2 * 2


@pytest.mark.slow
def test_in_half_precision_the_faster_layout_gives_the_same_to_its_rounding(
    small: Any, picture: np.ndarray
) -> None:
    descriptor = small.small_esrgan()
    model = UpscaleModel(descriptor)
    model.bytes_needed(24, 1, torch.bfloat16)
    module = model.module(torch.bfloat16)
    got = model.sharpened(picture)
    assert got is not None
    weight = next(w for w in module.parameters() if w.ndim == 4 and min(w.shape[:2]) > 1)
    assert weight.is_contiguous(memory_format=torch.channels_last)
    difference = np.abs(got - levels(descriptor(unit(picture))).astype(int))
    assert difference.mean() < 2


def test_a_model_that_wants_its_layers_in_a_row_gets_them_so(
    small: Any, picture: np.ndarray
) -> None:
    class InARow(small.Nearest):  # type: ignore[misc]
        def before(self, image: torch.Tensor) -> None:
            image.view(-1)  # which channels_last has no way to give

    model = UpscaleModel(small.nearest(kind=InARow))
    weights, work = model.bytes_needed(256, 1, torch.bfloat16)
    assert (weights, work) == (2, 2 * 2 * 3 * (256**2 + 512**2))
    model.module(torch.bfloat16)
    got = model.sharpened(picture)
    assert got is not None
    assert np.abs(got - picture.repeat(2, 0).repeat(2, 1).astype(int)).max() <= 1


def test_what_is_no_upscale_model_is_named(small: Any) -> None:
    for value, found in (
        ("a text", "got str"),
        (small.nearest(input_channels=1), "makes 3 channels of 1"),
    ):
        with pytest.raises(CheckpointError, match=found):
            UpscaleModel(value)
    other = small.nearest()
    other._purpose = "Inpainting"  # which has no descriptor of this class
    with pytest.raises(CheckpointError, match="got one for Inpainting"):
        UpscaleModel(other)
