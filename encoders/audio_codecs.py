"""Encode sound beside the pictures: exact sample counts, bounded memory, bit for bit in FLAC."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer

from ..errors import EncodeError
from ..media import AudioClip
from .presets import CONTAINERS
from .sound import AudioTrack

AUDIO_BLOCK = 1 << 14  # samples handed over at a time
# Transparent for speech and music with FFmpeg's AAC; it allows 6 bits a sample at most.
BITS_PER_CHANNEL = 96_000
BITS_PER_SAMPLE = 4
LAYOUTS = {
    1: "mono",
    2: "stereo",
    3: "3.0",
    4: "4.0",
    5: "5.0",
    6: "5.1",
    7: "6.1",
    8: "7.1",
}


@dataclass(frozen=True)
class AudioCodecSpec:
    """One audio codec: FFmpeg's encoder, its sample format by exact bits, the rates it takes."""

    encoder: str
    formats: Mapping[int, str]  # bits that must survive -> FFmpeg's sample format
    rates: tuple[int, ...] = ()  # empty: any
    lossy: bool = True
    max_channels: int = 8


_AAC_RATES = (
    96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350,
)  # fmt: skip
_MP3_RATES = (48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
AUDIO_CODECS: Mapping[str, AudioCodecSpec] = {
    "aac": AudioCodecSpec("aac", {16: "fltp", 24: "fltp"}, _AAC_RATES),
    "opus": AudioCodecSpec("libopus", {16: "flt", 24: "flt"}, (48000, 24000, 16000, 12000, 8000)),
    "mp3": AudioCodecSpec("libmp3lame", {16: "fltp", 24: "fltp"}, _MP3_RATES, max_channels=2),
    "flac": AudioCodecSpec("flac", {16: "s16", 24: "s32"}, lossy=False),
    "alac": AudioCodecSpec("alac", {16: "s16p", 24: "s32p"}, lossy=False),
    "pcm": AudioCodecSpec("pcm_s16le", {16: "s16", 24: "s16"}, lossy=False),
}
_FFMPEG_NAMES = {
    "libopus": "opus",
    "libmp3lame": "mp3",
    "pcm_s16le": "pcm",
}


def audio_codec_for(name: str, container: str) -> str:
    """Return the audio codec asked for, checked against the container. Raises EncodeError."""
    spec = CONTAINERS[container]
    codec = spec.audio_codec if name == "auto" else _FFMPEG_NAMES.get(name.lower(), name.lower())
    if codec not in spec.audio_codecs:
        raise EncodeError(
            f"Expected an audio codec that {container} holds (auto, "
            f"{', '.join(spec.audio_codecs)}), got {name!r}."
        )
    return codec


def track_of(clip: AudioClip) -> AudioTrack:
    """Return a clip as blocks."""
    samples = clip.samples
    starts = range(0, samples.shape[1], AUDIO_BLOCK)
    blocks = (samples[:, start : start + AUDIO_BLOCK] for start in starts)
    return AudioTrack(clip.sample_rate, samples.shape[0], blocks, exact_bits(samples))


def exact_bits(samples: np.ndarray) -> int:
    """Return 16 when every sample is a 16-bit one, else 24."""
    for start in range(0, samples.shape[1], AUDIO_BLOCK):
        scaled = samples[:, start : start + AUDIO_BLOCK] * np.float32(32768)
        if not np.array_equal(np.rint(scaled), scaled) or (np.abs(scaled) > 32768).any():
            return 24
    return 16


class AudioFeed:
    """Feeds one audio track to a container, as far as the pictures have come."""

    def __init__(
        self,
        container: OutputContainer,
        track: AudioTrack,
        codec: str,
        bitrate: int | None,
    ) -> None:
        """codec: a key of AUDIO_CODECS. bitrate: bits per second, None for a good one."""
        self._container = container
        self._spec = AUDIO_CODECS[codec]
        if track.channels > self._spec.max_channels:
            raise EncodeError(
                f"Expected at most {self._spec.max_channels} channels for {codec}, got "
                f"{track.channels}: mix them down first."
            )
        self._layout = LAYOUTS[track.channels]
        self._rate = encoded_rate(track, codec)
        self._format = self._spec.formats[track.exact_bits]
        self._stream = self._add_stream(bitrate, track.channels)
        self._blocks = _resampled(track, self._rate, self._layout)
        self.samples_written = 0

    def _add_stream(self, bitrate: int | None, channels: int) -> AudioStream:
        stream = self._container.add_stream(self._spec.encoder, rate=self._rate)
        if not isinstance(stream, AudioStream):
            raise EncodeError(f"Expected an audio encoder, {self._spec.encoder!r} is none.")
        stream.codec_context.layout = self._layout
        stream.codec_context.format = self._format
        stream.codec_context.time_base = Fraction(1, self._rate)
        if self._spec.lossy:
            most = min(BITS_PER_CHANNEL, BITS_PER_SAMPLE * self._rate) * channels
            stream.codec_context.bit_rate = bitrate or most
        return stream

    def advance(self, seconds: Fraction) -> None:
        """Encode what is heard up to that time."""
        while self.samples_written < seconds * self._rate:
            block = next(self._blocks, None)
            if block is None:
                return
            self._encode(block)

    def finish(self) -> None:
        """Encode the rest and flush."""
        for block in self._blocks:
            self._encode(block)
        self._container.mux(self._stream.encode(None))

    def _encode(self, block: np.ndarray) -> None:
        frame = _frame(block, self._format, self._layout)
        frame.sample_rate = self._rate
        frame.pts = self.samples_written
        frame.time_base = Fraction(1, self._rate)
        self.samples_written += block.shape[1]
        self._container.mux(self._stream.encode(frame))


def encoded_rate(track: AudioTrack, codec: str) -> int:
    """Return the sample rate the sound will have in that codec, Hz."""
    return nearest_rate(track.sample_rate, AUDIO_CODECS[codec].rates)


def nearest_rate(rate: int, allowed: tuple[int, ...]) -> int:
    """Return the smallest allowed rate that loses nothing, else the largest."""
    if not allowed or rate in allowed:
        return rate
    return min((r for r in allowed if r > rate), default=max(allowed))


_INTEGER_SCALE = {"s16": (32768.0, np.int16, 0), "s32": (8388608.0, np.int32, 8)}


def _frame(block: np.ndarray, sample_format: str, layout: str) -> av.AudioFrame:
    planar = sample_format.endswith("p")
    kind = sample_format.rstrip("p")
    if kind in _INTEGER_SCALE:
        scale, dtype, shift = _INTEGER_SCALE[kind]
        scaled = np.rint(block.astype(np.float64) * scale)
        block = np.clip(scaled, -scale, scale - 1).astype(np.int32) << shift
        block = block.astype(dtype)
    packed = block if planar else block.T.reshape(1, -1)
    return av.AudioFrame.from_ndarray(
        np.ascontiguousarray(packed), format=sample_format, layout=layout
    )


def _resampled(track: AudioTrack, rate: int, layout: str) -> Iterator[np.ndarray]:
    """Yield float32 blocks (channels, n) at ``rate``; the length is the source's to a sample."""
    finite = (_finite(block) for block in track.blocks)
    if rate == track.sample_rate:
        yield from finite
        return
    resampler = av.AudioResampler("fltp", layout, rate)
    taken = given = 0
    for block in finite:
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(block), format="fltp", layout=layout
        )
        frame.sample_rate = track.sample_rate
        frame.pts = taken
        frame.time_base = Fraction(1, track.sample_rate)
        taken += block.shape[1]
        for out in resampler.resample(frame):
            given += out.samples
            yield out.to_ndarray()
    wanted = round(Fraction(taken * rate, track.sample_rate))
    for out in resampler.resample(None):
        tail = out.to_ndarray()[:, : max(0, wanted - given)]
        given += tail.shape[1]
        if tail.shape[1]:
            yield tail
    if given < wanted:
        yield np.zeros((track.channels, wanted - given), np.float32)


def _finite(block: np.ndarray) -> np.ndarray:
    # One NaN makes the AAC encoder fail and a FLAC file scream.
    if np.isfinite(block).all():
        return block
    return np.nan_to_num(block, nan=0.0, posinf=1.0, neginf=-1.0)
