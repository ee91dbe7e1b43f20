from __future__ import annotations

import threading

import numpy as np
import pytest

from avatarvideo.encoders.color import (
    FrameConverter,
    RgbConverter,
    bands_for,
    on_white,
    plane_view,
    to_integers,
)


@pytest.mark.parametrize("bands", [2, 3, 4])
def test_bands_side_by_side_are_the_whole(bands: int) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, 50, 96, 3)).astype(np.uint8)
    whole = FrameConverter(96, 50, "yuv420p", bands=1)
    in_bands = FrameConverter(96, 50, "yuv420p", bands=bands)

    for picture in pictures:
        made, wanted = in_bands(picture), whole(picture)
        in_bands.close()  # and it goes on
        for plane in range(3):
            assert np.array_equal(plane_view(made, plane), plane_view(wanted, plane))
    assert not [each for each in threading.enumerate() if each.name.startswith("avatarvideo-color")]


def test_bands_need_cpus_and_pixels() -> None:
    assert bands_for(1920, 1080, cpus=16) == 4
    assert bands_for(512, 512, cpus=16) == 1
    assert bands_for(3840, 2160, cpus=2) == 1


def _every_third_colour() -> np.ndarray:
    levels = np.arange(0, 256, 3)
    cube = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1)
    return cube.reshape(-1, levels.size, 3)[: cube.size // 3 // levels.size // 2 * 2].astype(
        np.uint8
    )


def test_luma_is_bt709_to_within_rounding() -> None:
    picture = np.ascontiguousarray(_every_third_colour()[:, :86])
    height, width = picture.shape[:2]

    frame = FrameConverter(width, height, "yuv420p")(picture)

    exact = 16 + picture @ (np.array([0.2126, 0.7152, 0.0722]) * 219 / 255)
    assert np.abs(plane_view(frame, 0) - exact).max() < 0.7


def test_chroma_is_the_mean_of_four_pixels_to_within_rounding() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (64, 96, 3)).astype(np.uint8)

    frame = FrameConverter(96, 64, "yuv420p")(picture)

    mean = picture.reshape(32, 2, 48, 2, 3).mean((1, 3))
    luma = mean @ np.array([0.2126, 0.7152, 0.0722])
    blue = 128 + (mean[..., 2] - luma) / (2 * (1 - 0.0722)) * 224 / 255
    red = 128 + (mean[..., 0] - luma) / (2 * (1 - 0.2126)) * 224 / 255
    assert np.abs(plane_view(frame, 1) - blue).max() <= 1.2
    assert np.abs(plane_view(frame, 2) - red).max() <= 1.2


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le", "yuv422p10le", "bgr0"])
def test_flat_colours_come_back_within_two_levels(pixel_format: str) -> None:
    random = np.random.default_rng(0)
    to_yuv, to_rgb = FrameConverter(16, 16, pixel_format), RgbConverter(16, 16)
    for colour in random.integers(0, 256, (40, 3)):
        flat = np.ascontiguousarray(np.broadcast_to(colour, (16, 16, 3)).astype(np.uint8))

        back = to_rgb(to_yuv(flat))

        assert np.abs(back.astype(int) - colour).max() <= 2


def test_float_rounding_matches_arithmetic() -> None:
    values = np.random.default_rng(0).random((64, 64, 3), np.float32) * 1.4 - 0.2
    out = np.empty(values.shape, np.uint8)

    to_integers(values, out)

    assert np.abs(out - np.clip(values * 255.0, 0, 255)).max() <= 0.501


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_what_is_clear_is_laid_on_white(depth: type[np.integer]) -> None:
    most = int(np.iinfo(depth).max)
    picture = np.random.default_rng(0).integers(0, most, (40, 30, 4), depth, endpoint=True)
    alpha = picture[..., 3:] / most
    expected = picture[..., :3] * alpha + most * (1 - alpha)
    assert np.abs(on_white(picture) - expected).max() <= 0.5 + 1e-6
