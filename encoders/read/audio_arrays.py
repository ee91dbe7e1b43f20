"""Audio frames to arrays and back, also those of eight channels and more.

PyAV counts a frame's planes up to an empty pointer. Behind eight planes or more there is none, and
what lies there is read as a plane: the process ends. Such frames go through the interleaved form
of their number format, which has one plane.
"""

from __future__ import annotations

import av
import numpy as np

MAX_SAFE_PLANES = 7
CHECKED = 1 << 22  # samples at a time
LOUDEST = 1000.0  # 60 dB over full scale


def samples_of(frame: av.AudioFrame) -> np.ndarray:
    """Return a frame's samples (channels, n) as they are. Raises FFmpegError for odd layouts."""
    channels = len(frame.layout.channels)
    if not frame.format.is_planar:
        return frame.to_ndarray().reshape(-1, channels).T
    if channels <= MAX_SAFE_PLANES:
        return frame.to_ndarray()
    packed = av.AudioResampler(frame.format.packed, frame.layout, frame.sample_rate)
    parts = [part.to_ndarray().reshape(-1, channels) for part in packed.resample(frame)]
    return np.concatenate(parts).T


def frame_of(samples: np.ndarray, *, form: str, layout: str, rate: int) -> av.AudioFrame:
    """Return a frame of samples (channels, n). form: FFmpeg's sample format. rate: Hz."""
    wanted = av.AudioFormat(form)
    is_direct = wanted.is_planar and len(samples) <= MAX_SAFE_PLANES
    array = np.ascontiguousarray(samples if is_direct else samples.T.reshape(1, -1))
    given = wanted if is_direct else wanted.packed
    frame = av.AudioFrame.from_ndarray(array, given.name, layout)
    frame.sample_rate = rate
    if given.name == wanted.name:
        return frame
    return av.AudioResampler(wanted, layout, rate).resample(frame)[0]


def finite(samples: np.ndarray) -> np.ndarray:
    """Return samples with 0 for NaN, which encoders fail on, and 1 or -1 for what is infinite.

    What no sound is as loud as is cut: AAC fails on it.
    """
    if np.isfinite(samples).all():
        if np.abs(samples).max(initial=0) <= LOUDEST:
            return samples
        return np.clip(samples, -LOUDEST, LOUDEST)
    return finite(np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0))


def all_finite(samples: np.ndarray) -> bool:
    """Say whether samples (..., n) are all numbers, without as many flags at once."""
    count = samples.shape[-1]
    parts = (samples[..., first : first + CHECKED] for first in range(0, count, CHECKED))
    return all(bool(np.isfinite(part).all()) for part in parts)
