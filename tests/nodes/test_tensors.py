"""ComfyUI's tensors and dictionaries, in and out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avatarvideo.errors import MediaError
from avatarvideo.media import AudioClip
from avatarvideo.nodes import tensors


def test_pictures_survive_the_way_through_a_tensor() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), np.uint8)

    images = tensors.image_tensor(iter(frames), count=3, height=4, width=5)

    assert images.dtype == torch.float32
    assert (np.stack(list(tensors.image_frames(images))) == frames).all()


def test_half_precision_images_are_read() -> None:
    images = torch.full((1, 2, 2, 3), 0.5, dtype=torch.float16)
    assert (next(tensors.image_frames(images)) == 128).all()


def test_a_fourth_channel_is_dropped() -> None:
    images = torch.ones(1, 2, 2, 4)
    images[..., 3] = 0
    assert (next(tensors.image_frames(images)) == 255).all()


def test_frames_can_be_read_from_a_number() -> None:
    images = torch.arange(4.0).div(255)[:, None, None, None].expand(4, 2, 2, 3)
    assert [int(frame[0, 0, 0]) for frame in tensors.image_frames(images, 2)] == [2, 3]


@pytest.mark.parametrize("shape", [(0, 4, 4, 3), (1, 0, 4, 3), (1, 4, 4, 2), (4, 4, 3)])
def test_images_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(MediaError, match="Expected an IMAGE of shape"):
        list(tensors.image_frames(torch.zeros(shape)))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_pixels_that_are_not_finite_are_refused_with_their_frame(bad: float) -> None:
    images = torch.zeros(3, 4, 4, 3)
    images[2, 1, 1, 0] = bad
    with pytest.raises(MediaError, match="frame 2"):
        list(tensors.image_frames(images))


def test_the_hash_of_images_tells_pixels_apart() -> None:
    images = torch.zeros(2, 4, 4, 3)
    other = images.clone()
    other[1, 3, 3, 2] = 1 / 255
    assert tensors.images_hash(images) == tensors.images_hash(images.clone())
    assert tensors.images_hash(images) != tensors.images_hash(other)


def test_sound_survives_the_way_through_a_dictionary() -> None:
    clip = AudioClip(np.random.default_rng(0).random((2, 100), np.float32), 44100)

    back = tensors.audio_clip(tensors.audio_dict(clip))

    assert back is not None
    assert back.sample_rate == 44100
    assert (back.samples == clip.samples).all()


@pytest.mark.parametrize(
    "audio",
    [
        "text",
        {"waveform": torch.zeros(1, 1, 4)},
        {"waveform": torch.zeros(2, 1, 4), "sample_rate": 16000},
        {"waveform": torch.zeros(4), "sample_rate": 16000},
    ],
)
def test_what_is_no_audio_is_refused(audio: object) -> None:
    with pytest.raises(MediaError, match="Expected"):
        tensors.audio_clip(audio)  # type: ignore[arg-type]


def test_a_mask_is_read_with_and_without_a_batch() -> None:
    mask = torch.rand(3, 4)
    assert (tensors.mask_array(mask[None], height=3, width=4) == mask.numpy()).all()
    assert (tensors.mask_array(mask, height=3, width=4) == mask.numpy()).all()
    assert tensors.mask_array(None, height=3, width=4) is None


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(MediaError, match="size 4x3, got 8x6"):
        tensors.mask_array(torch.zeros(1, 6, 8), height=3, width=4)
