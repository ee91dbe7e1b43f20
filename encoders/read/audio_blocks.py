"""Decode packets of audio to blocks of float32 samples, past damage and changes in the middle."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError

from ..channel_layouts import LAYOUTS
from .audio_arrays import finite, frame_of, samples_of
from .open import SAMPLE_RATES, unreadable

logger = logging.getLogger("avatarvideo.encoders.read.audio_blocks")


def decoded_blocks(
    container: InputContainer, stream: AudioStream, name: str
) -> Iterator[tuple[Fraction | None, np.ndarray]]:
    rate, channels = stream.codec_context.sample_rate, stream.codec_context.channels
    adapted = _Adapter(rate, channels)
    failures = 0
    for frame in _frames_past_damage(container, stream):
        blocks = None if frame is None else adapted(frame)
        if frame is None or blocks is None:
            failures += 1
            continue
        time = None if frame.pts is None or not frame.time_base else frame.pts * frame.time_base
        for block in blocks:
            yield time, block
            time = None
    if failures:
        logger.warning("%s: %d damaged parts of the sound were left out", name, failures)


class _Adapter:
    """Streams may change in the middle; what follows is made like the beginning."""

    def __init__(self, rate: int, channels: int) -> None:
        self._rate, self._channels = rate, channels
        self._resamplers: dict[tuple[int, int], av.AudioResampler] = {}

    def __call__(self, frame: av.AudioFrame) -> list[np.ndarray] | None:
        """Return a frame's samples as float32 (channels, n); None when they make no sense."""
        rate, channels = frame.sample_rate, len(frame.layout.channels)
        try:
            block = _float_block(frame)
            if (rate, channels) == (self._rate, self._channels):
                return [block]
            if rate not in SAMPLE_RATES or not {channels, self._channels} <= LAYOUTS.keys():
                return None
            if (rate, channels) not in self._resamplers:
                resampler = av.AudioResampler("fltp", LAYOUTS[self._channels], self._rate)
                self._resamplers[rate, channels] = resampler
            plain = frame_of(block, form="fltp", layout=LAYOUTS[channels], rate=rate)
            changed = self._resamplers[rate, channels].resample(plain)
            return [_float_block(out) for out in changed]
        except (FFmpegError, ValueError):
            return None


def _frames_past_damage(
    container: InputContainer, stream: AudioStream
) -> Iterator[av.AudioFrame | None]:
    """Yield the frames, None for a bad packet, which must not cost the rest."""
    try:
        for packet in container.demux(stream):
            try:
                yield from packet.decode()
            except FFmpegError:
                yield None
    except (FFmpegError, OSError) as error:
        raise unreadable(Path(container.name), error) from error


_INTEGERS = {  # zero and full scale, and a type that holds every sample
    "u1": (128, 128.0, np.float32),
    "i2": (0, 32768.0, np.float32),
    "i4": (0, 2147483648.0, np.float64),
}


def _float_block(frame: av.AudioFrame) -> np.ndarray:
    samples = samples_of(frame)
    kind = samples.dtype.str[1:]
    if kind in _INTEGERS:
        zero, scale, wide = _INTEGERS[kind]
        samples = (samples.astype(wide) - zero) / scale
    return finite(np.ascontiguousarray(samples, dtype=np.float32))
