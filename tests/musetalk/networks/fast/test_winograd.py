from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy

import pytest
import torch
from torch.nn import functional

from avatarvideo.musetalk.networks.fast import products, winograd
from avatarvideo.musetalk.networks.fast.winograd import (
    LARGE_TILES,
    SMALL_TILES,
    UPSAMPLING_TILES,
    Conv3x3,
    kernel_factors,
    set_tiled,
    tiled_convolution,
)
from support.random_weights import fill_randomly

CHANNELS, OUT_CHANNELS = 64, 96
TILINGS = (SMALL_TILES, LARGE_TILES, UPSAMPLING_TILES)


@pytest.fixture(autouse=True)
def _without_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture
def conv() -> Conv3x3:
    return fill_randomly(Conv3x3(CHANNELS, OUT_CHANNELS, 3, padding=1))


@pytest.fixture
def picture(noise: Callable[..., torch.Tensor]) -> Callable[[int, int], torch.Tensor]:
    return lambda height, width: noise(2, CHANNELS, height, width, dtype=torch.float32)


def exact(conv: Conv3x3, inputs: torch.Tensor, *, repeated: bool = False) -> torch.Tensor:
    if repeated:
        inputs = functional.interpolate(inputs, scale_factor=2.0, mode="nearest")
    bias = None if conv.bias is None else conv.bias.double()
    return functional.conv2d(inputs.double(), conv.weight.double(), bias, padding=1)


@pytest.mark.parametrize("tiling", TILINGS)
def test_a_tiling_is_the_convolution_in_exact_arithmetic(tiling: winograd.Tiling) -> None:
    inputs, kernel, outputs = (
        torch.tensor(rows, dtype=torch.float64)
        for rows in (tiling.inputs, tiling.kernel, tiling.outputs)
    )
    made = torch.einsum("op,pi,pk->oik", outputs, inputs, kernel)
    repeated = len(tiling.outputs) // tiling.step
    for output in range(len(tiling.outputs)):
        for place in range(3):
            wanted = torch.zeros(len(tiling.inputs[0]), dtype=torch.float64)
            wanted[(output + place - 1) // repeated + 1] = 1
            torch.testing.assert_close(made[output, :, place], wanted, rtol=0, atol=1e-14)


@pytest.mark.parametrize(("height", "width"), [(16, 24), (64, 64), (64, 68), (66, 64), (8, 6)])
def test_fewer_multiplications_give_the_same_map(conv, picture, height, width) -> None:
    inputs = picture(height, width)
    set_tiled(conv, True)
    torch.testing.assert_close(
        conv(inputs), exact(conv, inputs).float(), rtol=0, atol=3e-5, check_stride=False
    )


@pytest.mark.parametrize("size", [(64, 64), (48, 32), (18, 30)])
def test_maps_are_cut_into_parts_without_a_seam(conv, picture, monkeypatch, size) -> None:
    inputs = picture(*size)
    set_tiled(conv, True)
    whole = conv(inputs)
    line = 36 * OUT_CHANNELS * 4 * (size[1] // 2)
    # Bytes of what is cut together and of what is multiplied together: from one line of tiles on.
    for strip, part in ((1, 1), (line, line), (line, 3 * line), (3 * line, 5 * line)):
        monkeypatch.setattr(winograd, "STRIP_BYTES", strip)
        monkeypatch.setattr(winograd, "PART_BYTES", part)
        torch.testing.assert_close(conv(inputs), whole, rtol=0, atol=3e-5)


def test_a_single_small_picture_is_convolved_as_it_is_beside_mkl(
    conv, picture, monkeypatch
) -> None:
    monkeypatch.setattr(products, "library", lambda: "MKL")
    inputs = picture(8, 8)[:1]
    plain = conv(inputs)
    set_tiled(conv, True)
    assert torch.equal(conv(inputs), plain)


def test_repeated_pixels_are_convolved_without_making_them(conv, picture) -> None:
    inputs = picture(16, 32)
    wanted = exact(conv, inputs, repeated=True).float()
    for tiled in (False, True):
        set_tiled(conv, tiled)
        torch.testing.assert_close(
            conv.upsampled(inputs), wanted, rtol=0, atol=1e-5, check_stride=False
        )
    in_phases, transposed = conv.upsampled_in_phases, conv.upsampled_transposed
    for made in (in_phases(inputs), transposed(inputs, conv.bias), in_phases(inputs)):
        torch.testing.assert_close(made, wanted, rtol=0, atol=1e-5, check_stride=False)
    unbiased = transposed(inputs, None) + conv.bias.view(1, -1, 1, 1)
    torch.testing.assert_close(unbiased, wanted, rtol=0, atol=1e-5, check_stride=False)


def test_the_decoders_tiles_round_less_than_a_step_of_eight_bits(conv, picture) -> None:
    inputs = picture(64, 64)
    set_tiled(conv, True)
    error = (conv(inputs).double() - exact(conv, inputs)).pow(2).mean().sqrt()
    assert error < 1e-5 * exact(conv, inputs).std()


def test_a_kernel_is_never_reordered_for_its_map(conv, picture) -> None:
    last = picture(8, 8).contiguous(memory_format=torch.channels_last)
    assert winograd.laid_out_as(conv.weight, last).is_contiguous()
    ordered = conv.weight.contiguous(memory_format=torch.channels_last)
    assert winograd.laid_out_as(ordered, last) is last


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_take_the_plain_convolution(conv, picture, dtype) -> None:
    other = deepcopy(conv).to(dtype)
    inputs = picture(16, 16).to(dtype)
    plain = other(inputs)
    set_tiled(other, True)
    assert torch.equal(other(inputs), plain)


def test_changed_weights_are_prepared_again(conv, picture) -> None:
    inputs = picture(16, 16)
    set_tiled(conv, True)
    conv(inputs)
    conv.double()
    conv.weight.mul_(2)
    conv.float()
    torch.testing.assert_close(
        conv(inputs), exact(conv, inputs).float(), rtol=0, atol=3e-5, check_stride=False
    )


def test_what_was_prepared_can_be_given_up(conv, picture) -> None:
    set_tiled(conv, True)
    conv(picture(16, 16))
    assert conv._factors is not None
    set_tiled(conv, False)
    assert conv._factors is None


def test_keys_and_copies_know_nothing_of_it(conv, picture) -> None:
    set_tiled(conv, True)
    conv(picture(16, 16))
    assert list(conv.state_dict()) == ["weight", "bias"]


def test_kernels_are_transformed_in_bounded_parts(conv, monkeypatch) -> None:
    whole = kernel_factors(conv.weight, LARGE_TILES)
    monkeypatch.setattr(winograd, "CHANNELS_AT_ONCE", 5)
    torch.testing.assert_close(kernel_factors(conv.weight, LARGE_TILES), whole, rtol=0, atol=1e-7)
    assert whole.shape == (36, CHANNELS, OUT_CHANNELS)


def test_a_convolution_without_bias_is_computed_too(conv, picture) -> None:
    inputs = picture(16, 16)
    got = tiled_convolution(inputs, kernel_factors(conv.weight, SMALL_TILES), None, SMALL_TILES)
    bias = conv.bias[None, :, None, None]
    torch.testing.assert_close(
        got + bias, exact(conv, inputs).float(), rtol=0, atol=3e-5, check_stride=False
    )
