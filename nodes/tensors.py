"""ComfyUI's wire formats, in and out: IMAGE, MASK and AUDIO against our own values.

IMAGE is a torch tensor (B, H, W, C), 0..1, C 3 or 4; MASK is (B, H, W) or (H, W), 1 being the
masked part; both of any float type, on any device. AUDIO is a dictionary with a waveform
(1, channels, N), floats as well, and a rate.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from fractions import Fraction
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import MediaError
from ..media import DEFAULT_FRAME_RATE, AudioClip, Clip, SoundLack

if TYPE_CHECKING:
    from torch import Tensor

Audio = dict[str, Any]  # Any: other packs may put anything into it
LACK = "avatarvideo_lack"  # in an AUDIO: what is missing of the file that it was read from


def check_images(images: object) -> None:
    """Raise MediaError unless this is an IMAGE with at least one frame of 3 or 4 channels."""
    shape = tuple(getattr(images, "shape", ()))
    if len(shape) != 4 or shape[3] not in (3, 4) or 0 in shape:
        raise MediaError(
            "Expected an IMAGE of shape (frames, height, width, 3 or 4) with at least one frame, "
            f"got {shape or type(images).__name__}: link an image output."
        )
    _check_floats(images, "IMAGE", "0 to 1")


def _check_floats(tensor: Any, kind: str, bounds: str) -> None:  # Any: arrays are taken as they are
    if hasattr(tensor, "is_floating_point") and not tensor.is_floating_point():
        raise MediaError(
            f"Expected an {kind} of floats from {bounds}, got {tensor.dtype}: convert it first."
        )


def float_frames(images: Tensor, start: int = 0) -> Iterator[np.ndarray]:
    """Yield an IMAGE's frames from number ``start`` as float32 (H, W, C), not to be written to.

    They share the tensor's memory where it allows. Raises MediaError at a frame that holds NaN or
    infinity.
    """
    check_images(images)
    for number in range(start, images.shape[0]):
        image = _array(images[number])
        # The sum is finite exactly when all are: values are 0..1, so it cannot overflow.
        if not np.isfinite(image.sum(dtype=np.float64)):
            raise MediaError(
                f"Expected finite pixels, got NaN or infinity in frame {number} of the IMAGE: "
                "check the node that made it."
            )
        yield image


def image_frames(images: Tensor, start: int = 0) -> Iterator[np.ndarray]:
    """Yield an IMAGE's frames from number ``start`` as uint8 RGB (H, W, 3).

    A fourth channel is dropped. Raises MediaError at a frame that holds NaN or infinity.
    """
    for image in float_frames(images, start):
        yield (image[..., :3] * 255.0 + 0.5).clip(0, 255).astype(np.uint8)


def image_tensor(frames: Iterator[np.ndarray], *, count: int, height: int, width: int) -> Tensor:
    """Return uint8 frames as an IMAGE: float32 (N, H, W, 3), 0..1.

    count: the most that N can be.
    """
    import torch

    images = torch.empty((count, height, width, 3))
    pixels = images.numpy()  # the same memory; unlike torch, numpy takes read-only frames
    made = 0
    for made, frame in enumerate(frames, start=1):
        pixels[made - 1] = frame
    return images[:made].div_(255)


def one_image(frame: np.ndarray) -> Tensor:
    """Return one uint8 RGB (H, W, 3) picture as an IMAGE."""
    height, width = frame.shape[:2]
    return image_tensor(iter([frame]), count=1, height=height, width=width)


def images_hash(images: Tensor) -> str:
    import torch

    check_images(images)
    digest = hashlib.sha256(repr(tuple(images.shape)).encode())
    for image in images:  # as bytes, because numpy has not every float type
        digest.update(image.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _array(tensor: Tensor) -> np.ndarray:
    try:
        if tensor.is_complex():
            raise TypeError("complex numbers")
        return tensor.detach().cpu().float().resolve_neg().numpy()
    except (RuntimeError, TypeError, AttributeError) as error:  # sparse, on no device, or no tensor
        kind = getattr(tensor, "dtype", type(tensor).__name__)
        raise MediaError(
            f"Expected a dense tensor of real numbers that are in memory, got {kind} "
            f"({str(error).split(chr(10))[0][:100]}): check the node that made it."
        ) from error


def clip_from_images(
    images: Tensor,
    frame_rate: Fraction = DEFAULT_FRAME_RATE,
    audio: Audio | None = None,
    *,
    as_floats: bool = False,
) -> Clip:
    """Return an IMAGE, with an AUDIO beside it, as a clip. Raises MediaError.

    as_floats: its frames are float32 0..1 with all their channels, instead of uint8 RGB.
    """
    check_images(images)
    count, height, width, channels = map(int, images.shape)
    return Clip(
        open_frames=partial(float_frames if as_floats else image_frames, images),
        width=width,
        height=height,
        frame_rate=frame_rate,
        frame_count=count,
        read_audio=lambda: audio_clip(audio),
        hash_of=cache(lambda: images_hash(images)),
        has_alpha=as_floats and channels == 4,
    )


def mask_array(mask: Tensor | None, *, height: int, width: int) -> np.ndarray | None:
    """Return the first picture of a MASK as float32 (H, W), 0..1, or None for None.

    Raises MediaError when it is empty, of another size or not finite.
    """
    if mask is None:
        return None
    array = _array(mask)
    while array.ndim > 2 and array.shape[0]:
        array = array[0]
    if array.shape != (height, width):
        raise MediaError(
            f"Expected a MASK of the avatar's size {width}x{height}, got "
            f"{'x'.join(map(str, array.shape[::-1]))}: resize it to the avatar."
        )
    if not np.isfinite(array).all():
        raise MediaError("Expected a MASK of finite values, got NaN or infinity.")
    return array.clip(0, 1)


def mask_tensor(mask: np.ndarray) -> Tensor:
    """Return float32 (H, W) as a MASK (1, H, W)."""
    import torch

    return torch.as_tensor(np.ascontiguousarray(mask, np.float32))[None]


def audio_dict(clip: AudioClip | None) -> Audio | None:
    """Return a clip as ComfyUI's AUDIO: waveform float32 (1, channels, N), or None."""
    if clip is None:
        return None
    import torch

    waveform = torch.as_tensor(np.ascontiguousarray(clip.samples))[None]
    known = {"waveform": waveform, "sample_rate": clip.sample_rate}
    return known if clip.lack is None else known | {LACK: clip.lack}


def audio_clip(audio: Audio | None) -> AudioClip | None:
    """Return ComfyUI's AUDIO as a clip, or None. Raises MediaError for anything else."""
    if audio is None:
        return None
    try:
        waveform, rate = audio["waveform"], int(audio["sample_rate"])
        _check_floats(waveform, "AUDIO", "-1 to 1")
        samples = _array(waveform)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise MediaError(
            "Expected an AUDIO with a waveform tensor and a sample_rate, got "
            f"{type(audio).__name__}: link an audio output."
        ) from error
    if not np.isfinite(samples).all():
        raise MediaError(
            "Expected finite samples, got NaN or infinity in the AUDIO: check the node that made "
            "it."
        )
    if samples.ndim == 3 and samples.shape[0] == 1:
        samples = samples[0]
    if samples.ndim != 2:
        raise MediaError(
            f"Expected one audio clip of shape (1, channels, samples), got {tuple(waveform.shape)}."
        )
    lack = audio.get(LACK)
    return AudioClip(
        np.ascontiguousarray(samples), rate, lack=lack if isinstance(lack, SoundLack) else None
    )
