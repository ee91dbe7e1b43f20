"""Encode sound beside the pictures: exact sample counts, bounded memory, bit for bit in FLAC."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Protocol

import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer

from ...errors import EncodeError
from ..read.audio import AudioTrack
from ..read.audio_arrays import frame_of
from .audio_codecs import AUDIO_CODECS, default_bitrate, encoded_rate, layout_for
from .audio_track import AUDIO_BLOCK, SampleQueue, converted
from .packets import add_stream, encode_sound, mux

# Bits a second and channel from which FFmpeg's AAC encoder has a way that takes a quarter of the
# time and is nearer to the sound; below it the slow one is better.
FAST_AAC_BITRATE = 64_000


class SoundFeed(Protocol):
    """Sound being written beside pictures."""

    def reaches(self, seconds: Fraction) -> bool:
        """Tell whether there is sound after that time."""
        ...

    def advance(self, seconds: Fraction) -> None:
        """Write what is heard up to that time."""
        ...

    def finish(self, end: Fraction | None = None) -> None:
        """Write the rest, or what there is up to ``end`` in seconds, and flush."""
        ...


class AudioFeed:
    """Feeds one audio track to a container, as far as the pictures have come."""

    def __init__(
        self,
        container: OutputContainer,
        track: AudioTrack,
        codec: str,
        *,
        bitrate: int | None = None,
        channels: int = 0,
    ) -> None:
        """codec: a key of AUDIO_CODECS. bitrate: bits per second. channels: 0 keeps the track's."""
        self._container = container
        channels = channels or track.channels
        self._layout = layout_for(channels, codec)
        self._rate = encoded_rate(track.sample_rate, codec)
        spec = AUDIO_CODECS[codec]
        track = converted(track, self._rate, channels)
        self._format = spec.formats[track.exact_bits]
        self._queue = SampleQueue(track)
        bits = (bitrate or default_bitrate(self._rate, channels)) if spec.lossy else None
        options: dict[str, str] = {}
        if spec.encoder == "aac" and bits is not None and bits >= FAST_AAC_BITRATE * channels:
            options["aac_coder"] = "fast"
        self._stream = _add_stream(
            container, spec.encoder, self._rate, self._layout, self._format, options
        )
        if bits is not None:
            self._stream.codec_context.bit_rate = bits

    def reaches(self, seconds: Fraction) -> bool:
        """Tell whether there is sound after that time."""
        return self._queue.reaches(math.floor(seconds * self._rate))

    def advance(self, seconds: Fraction) -> None:
        """Encode what is heard up to that time."""
        self._encode_to(math.ceil(seconds * self._rate))

    def finish(self, end: Fraction | None = None) -> None:
        """Encode the rest, or what there is up to ``end`` in seconds, and flush."""
        if end is not None:
            self._encode_to(round(end * self._rate))
        else:
            while self._encode_next(AUDIO_BLOCK):
                pass
        if self._queue.taken:
            mux(self._container, encode_sound(self._stream, None))

    def _encode_to(self, position: int) -> None:
        while self._queue.taken < position and self._encode_next(position - self._queue.taken):
            pass

    def _encode_next(self, most: int) -> bool:
        position = self._queue.taken
        block = self._queue.take(most)
        if block is None:
            return False
        samples = _scaled(block, self._format)
        frame = frame_of(samples, form=self._format, layout=self._layout, rate=self._rate)
        frame.pts = position
        frame.time_base = Fraction(1, self._rate)
        mux(self._container, encode_sound(self._stream, frame))
        return True


def _add_stream(
    container: OutputContainer,
    encoder: str,
    rate: int,
    layout: str,
    sample_format: str,
    options: dict[str, str],
) -> AudioStream:
    stream = add_stream(container, encoder, rate, options)
    if not isinstance(stream, AudioStream):
        raise EncodeError(f"Expected an audio encoder, {encoder!r} is none.")
    stream.codec_context.layout = layout
    stream.codec_context.format = sample_format
    stream.codec_context.time_base = Fraction(1, rate)
    return stream


_INTEGER_SCALE = {"s16": (32768.0, np.int16, 0), "s32": (8388608.0, np.int32, 8)}


def _scaled(block: np.ndarray, sample_format: str) -> np.ndarray:
    kind = sample_format.rstrip("p")
    if kind not in _INTEGER_SCALE:
        return block
    scale, dtype, shift = _INTEGER_SCALE[kind]
    scaled = np.rint(block.astype(np.float64) * scale)
    return (np.clip(scaled, -scale, scale - 1).astype(np.int32) << shift).astype(dtype)
