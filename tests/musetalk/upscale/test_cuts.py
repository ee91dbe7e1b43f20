"""A model sees only what it needs, and what it makes of that is what it makes of the whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from avatarvideo.musetalk.upscale.cuts import Area, planned, reach_of
from avatarvideo.musetalk.upscale.model import UpscaleModel, reduced

CROP = (256, 256)
LOWER = Area(0, 120, 256, 256)


@pytest.fixture
def small(oracle: Any) -> Any:
    """The module of small models; spandrel's absence is a skip, in CI a failure."""
    oracle("spandrel")
    from support import upscalers

    return upscalers


class OneConvolution(nn.Module):
    """Repeats pixels and convolves them; ``after`` may spoil that it looks 1 pixel far only."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.eye(3)[:, :, None, None] / 9)

    def forward(self, image: Tensor) -> Tensor:
        return self.after(nn.functional.interpolate(self.conv(image), scale_factor=2.0))

    def after(self, image: Tensor) -> Tensor:
        return image


class MeanTaken(OneConvolution):
    def after(self, image: Tensor) -> Tensor:
        return image - image.mean() / 2


class AskedTwice(OneConvolution):
    def after(self, image: Tensor) -> Tensor:
        return self.conv(image)


class EveryThirdRow(OneConvolution):
    def after(self, image: Tensor) -> Tensor:
        return image * (torch.arange(image.shape[2]) % 6 > 1)[:, None] * 0.5 + image / 4


class Blinding(OneConvolution):
    def after(self, image: Tensor) -> Tensor:
        return image + 9


class Reduced(OneConvolution):
    def __init__(self) -> None:
        super().__init__()
        self.conv.stride = (2, 2)

    def after(self, image: Tensor) -> Tensor:
        return nn.functional.interpolate(image, scale_factor=2.0)


def test_one_pass_over_everything() -> None:
    assert planned(CROP, 2, 1) == [(256, 256, (0, 0, 256, 256))]
    assert planned(CROP, 2, 1, kept=LOWER) == planned(CROP, 2, 1)  # it may look anywhere
    assert planned(CROP, 2, 1, reach=18) == planned(CROP, 2, 1)


def test_a_part_and_what_surrounds_it() -> None:
    assert planned(CROP, 2, 1, kept=LOWER, reach=18) == [(256, 256, (0, 96, 256, 256))]
    inside = Area(100, 90, 130, 99)
    assert planned(CROP, 4, 1, kept=inside, reach=0) == [(256, 256, (96, 88, 136, 104))]


def test_each_pass_sees_what_the_next_one_needs() -> None:
    first, second = planned(CROP, 2, 2, kept=LOWER, reach=18)
    assert second == (512, 512, (0, 216, 512, 512))  # 240 - 18, to a multiple of 8
    assert first == (256, 256, (0, 88, 256, 256))  # (216 - 3) / 2 - 18


def test_the_last_of_several_passes_is_given_no_more_than_it_needs() -> None:
    def sizes(wanted: int, passes: int = 2) -> list[tuple[int, int]]:
        return [one[:2] for one in planned((256, 128), 2, passes, wanted=wanted)]

    assert sizes(778) == [(256, 128), (389, 194)]
    assert sizes(2000) == [(256, 128), (512, 256)]
    assert sizes(300) == [(256, 128), (256, 128)]  # what is generated is not reduced
    assert sizes(300, 1) == [(256, 128)]
    assert sizes(1400, 3) == [(256, 128), (512, 256), (700, 350)]


@pytest.mark.parametrize("layers", [2, 16])
def test_how_far_a_compact_model_looks(small: Any, layers: int) -> None:
    assert reach_of(small.small_compact(layers=layers)) == layers + 2


def test_what_looks_further_than_its_convolutions_say_is_given_everything(small: Any) -> None:
    assert reach_of(small.described(OneConvolution())) == 1
    for kind in (MeanTaken, AskedTwice, EveryThirdRow, Blinding, Reduced):
        assert reach_of(small.described(kind())) is None, kind.__name__
    assert reach_of(small.small_compact(layers=63)) is None  # a cut would be hardly smaller


def test_a_model_that_refuses_small_pictures_is_given_everything(small: Any) -> None:
    class OnlyLarge(OneConvolution):
        def after(self, image: Tensor) -> Tensor:
            return image.view(1, 3, 512, 512)

    model, picture = UpscaleModel(small.described(OnlyLarge())), noise(256)
    model.module(torch.float32, cuts=True)
    assert np.array_equal(sharpened(model, picture, kept=LOWER), sharpened(model, picture))


@pytest.mark.parametrize("passes", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("wanted", [None, 150])
def test_a_part_is_that_of_the_whole_to_the_last_bit(
    small: Any, passes: int, dtype: torch.dtype, wanted: int | None
) -> None:
    model, picture = UpscaleModel(small.small_compact()), noise(64)
    model.bytes_needed(64, passes, dtype)
    module, seen = model.module(dtype, cuts=True), []
    module.get_submodule("model").register_forward_pre_hook(
        lambda _model, given: seen.append(given[0].shape[2:])
    )
    whole = sharpened(model, picture, passes=passes, wanted=wanted)
    kept = Area(8, 33, 60, 64)
    part = sharpened(model, picture, passes=passes, wanted=wanted, kept=kept)
    assert whole.shape == part.shape
    shown = kept.resized((64, 64), whole.shape[:2]).slices
    assert np.array_equal(part[shown], whole[shown])
    assert whole[shown].std() > 10
    assert sum(shape.numel() for shape in seen[passes:]) < 0.8 * sum(
        shape.numel() for shape in seen[:passes]
    )


def test_two_passes_with_a_smaller_picture_between_are_spandrel_s_by_hand(small: Any) -> None:
    descriptor, picture = small.small_compact(), noise(48)
    model = UpscaleModel(descriptor)
    model.module(torch.float32)
    unit = torch.as_tensor(picture).permute(2, 0, 1)[None].float() / 255
    by_hand = descriptor(reduced(descriptor(unit), 73, 73))
    levels = (by_hand[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    assert np.array_equal(sharpened(model, picture, passes=2, wanted=145), levels)


def test_what_is_reduced_keeps_its_brightness_and_range() -> None:
    flat = torch.full((1, 3, 40, 30), 0.3)
    assert torch.allclose(reduced(flat, 20, 27), torch.full((1, 3, 27, 20), 0.3))
    steps = (torch.arange(40) % 8 > 3).float().expand(1, 3, 30, 40)
    made = reduced(steps.bfloat16(), 27, 20)
    assert made.dtype == torch.bfloat16
    assert (made.min(), made.max()) == (0, 1)


def noise(side: int) -> np.ndarray:
    return np.random.default_rng(side).integers(0, 256, (side, side, 3), np.uint8)


def sharpened(model: UpscaleModel, picture: np.ndarray, **options: Any) -> np.ndarray:
    made = model.sharpened(picture, **options)
    assert made is not None
    return made
