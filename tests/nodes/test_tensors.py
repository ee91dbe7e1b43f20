"""ComfyUI's tensors and dictionaries, in and out."""

from __future__ import annotations

import hashlib

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


FLOATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
FLOATS += [torch.float8_e4m3fn, torch.float8_e5m2]


def arranged(tensor: torch.Tensor, how: str) -> torch.Tensor:
    """The same values in another layout of memory."""
    if how == "strided":
        wide = torch.zeros((*tensor.shape[:-1], 2 * tensor.shape[-1]), dtype=tensor.dtype)
        wide[..., ::2] = tensor
        return wide[..., ::2]
    if how == "transposed":
        return tensor.transpose(0, -1).contiguous().transpose(0, -1)
    if how == "with a gradient" and tensor.dtype.itemsize > 1:
        return tensor.clone().requires_grad_()
    return tensor


@pytest.mark.parametrize("how", ["plain", "strided", "transposed", "with a gradient"])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_every_float_type_and_layout_is_read(dtype: torch.dtype, how: str) -> None:
    levels = torch.tensor([0.0, 0.25, 0.5, 1.0])  # exact in every one of the types
    values = levels[torch.arange(2 * 3 * 4 * 3) % 4].reshape(2, 3, 4, 3)
    expected = (values * 255 + 0.5).to(torch.uint8).numpy()

    images = arranged(values.to(dtype), how)
    assert (np.stack(list(tensors.image_frames(images))) == expected).all()
    assert tensors.images_hash(images) == tensors.images_hash(values.to(dtype))
    mask = tensors.mask_array(arranged(values[..., 0].to(dtype), how), height=3, width=4)
    assert mask is not None
    assert (mask == values[0, ..., 0].numpy()).all()
    waveform = arranged(values[:1, 0].to(dtype), how)
    sound = tensors.audio_clip({"waveform": waveform, "sample_rate": 16000})
    assert sound is not None
    assert (sound.samples == values[0, 0].numpy()).all()


def test_the_hash_of_plain_images_is_of_their_bytes() -> None:
    images = torch.rand(2, 3, 4, 3)
    digest = hashlib.sha256(repr((2, 3, 4, 3)).encode())
    digest.update(images.numpy().tobytes())
    assert tensors.images_hash(images) == digest.hexdigest()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.bool])
def test_whole_numbers_are_refused_and_not_taken_for_white(dtype: torch.dtype) -> None:
    with pytest.raises(MediaError, match=f"IMAGE of floats from 0 to 1, got {dtype}"):
        list(tensors.image_frames(torch.ones(1, 2, 2, 3, dtype=dtype)))
    sound = torch.ones(1, 1, 4, dtype=dtype)
    with pytest.raises(MediaError, match=f"AUDIO of floats from -1 to 1, got {dtype}"):
        tensors.audio_clip({"waveform": sound, "sample_rate": 16000})


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


@pytest.mark.parametrize(
    "mask",
    [
        torch.ones(4, 6).to("meta"),
        torch.ones(4, 6).to_sparse(),
        torch.complex(torch.ones(4, 6), torch.ones(4, 6)),
        np.ones((4, 6)),
        "a mask",
    ],
    ids=["meta", "sparse", "complex", "array", "text"],
)
def test_what_holds_no_real_numbers_in_memory_is_one_sentence(mask: object) -> None:
    with pytest.raises(MediaError, match="Expected a dense tensor of real numbers"):
        tensors.mask_array(mask, height=4, width=6)  # pyright: ignore[reportArgumentType] - it is wrong


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_sound_that_is_not_finite_is_refused(bad: float) -> None:
    waveform = torch.zeros(1, 2, 100)
    waveform[0, 1, 50] = bad
    with pytest.raises(MediaError, match="Expected finite samples, got NaN or infinity"):
        tensors.audio_clip({"waveform": waveform, "sample_rate": 8000})
