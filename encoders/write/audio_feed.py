"""Encode audio beside the pictures: exact sample counts, bounded memory, bit for bit in FLAC."""

from __future__ import annotations

import math
import sys
from fractions import Fraction
from typing import Protocol

import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer

from ...errors import EncodeError
from ..read.audio import AudioTrack
from ..read.audio_arrays import frame_of
from .audio_codecs import AUDIO_CODECS, default_bitrate, encoded_rate, layout_for
from .audio_track import SampleQueue, converted
from .packets import add_stream, encode_audio, mux

# Bits per second and channel from which FFmpeg's fast AAC coder takes a quarter of the time and is
# closer to the original; below it the default coder is better.
FAST_AAC_BITRATE = 64_000


class AudioWriter(Protocol):
    """Writes audio beside pictures. notes: what is to be said of it when all was written."""

    @property
    def notes(self) -> tuple[str, ...]: ...

    def reaches(self, seconds: Fraction) -> bool:
        """Tell whether there is audio after that time."""
        ...

    def advance(self, seconds: Fraction) -> None:
        """Write the audio up to that time."""

    def finish(self, end: Fraction | None = None) -> None:
        """Write the rest, or only up to ``end`` in seconds, and flush."""


class AudioFeed:
    """Encodes one audio track into a container, as far as the pictures have come."""

    notes: tuple[str, ...] = ()

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
        bits = (bitrate or default_bitrate(self._rate, channels)) if spec.lossy else 0
        is_fast = spec.encoder == "aac" and bits >= FAST_AAC_BITRATE * channels
        options = {"aac_coder": "fast"} if is_fast else {}
        stream = add_stream(container, spec.encoder, self._rate, options)
        if not isinstance(stream, AudioStream):
            raise EncodeError(f"Expected an audio encoder, but {spec.encoder!r} is not one.")
        stream.codec_context.layout = self._layout
        stream.codec_context.format = self._format
        stream.codec_context.time_base = Fraction(1, self._rate)
        if bits:
            stream.codec_context.bit_rate = bits
        self._stream = stream

    def reaches(self, seconds: Fraction) -> bool:
        return self._queue.reaches(math.floor(seconds * self._rate))

    def advance(self, seconds: Fraction) -> None:
        self._encode_to(math.ceil(seconds * self._rate))

    def finish(self, end: Fraction | None = None) -> None:
        self._encode_to(sys.maxsize if end is None else round(end * self._rate))
        if self._queue.taken:
            mux(self._container, encode_audio(self._stream, None))

    def _encode_to(self, position: int) -> None:
        begin = self._queue.taken
        while (block := self._queue.take(position - begin)) is not None:
            samples = _scaled(block, self._format)
            frame = frame_of(samples, form=self._format, layout=self._layout, rate=self._rate)
            frame.pts = begin
            frame.time_base = Fraction(1, self._rate)
            mux(self._container, encode_audio(self._stream, frame))
            begin = self._queue.taken


_INTEGER_SCALE = {"s16": (32768.0, np.int16, 0), "s32": (8388608.0, np.int32, 8)}


def _scaled(block: np.ndarray, sample_format: str) -> np.ndarray:
    kind = sample_format.rstrip("p")
    if kind not in _INTEGER_SCALE:  # of a lossy codec, which full scale is the end of too
        return np.clip(block, -1, 1)
    scale, dtype, shift = _INTEGER_SCALE[kind]
    scaled = np.rint(block.astype(np.float64) * scale)
    return (np.clip(scaled, -scale, scale - 1).astype(np.int32) << shift).astype(dtype)
