"""The audio codecs offered: encoders, sample formats, rates, layouts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...errors import EncodeError
from ..channel_layouts import LAYOUTS
from .codecs import CONTAINERS

# Transparent for speech and music with FFmpeg's AAC; it allows 6 bits a sample at most.
BITS_PER_CHANNEL = 96_000
BITS_PER_SAMPLE = 4


@dataclass(frozen=True)
class AudioCodecSpec:
    """One audio codec: FFmpeg's encoder, its sample formats, the rates it takes (Hz)."""

    encoder: str
    formats: Mapping[int, str]  # bits that must survive -> FFmpeg's sample format
    decoders: tuple[str, ...]  # FFmpeg's, whose packets are of this codec
    rates: tuple[int, ...] = ()  # empty: any
    lossy: bool = True
    max_channels: int = 8


_AAC_RATES = (
    96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350,
)  # fmt: skip
_MP3_RATES = (48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
AUDIO_CODECS: Mapping[str, AudioCodecSpec] = {
    "aac": AudioCodecSpec("aac", {16: "fltp", 24: "fltp"}, ("aac",), _AAC_RATES),
    "opus": AudioCodecSpec(
        "libopus", {16: "flt", 24: "flt"}, ("opus", "libopus"), (48000, 24000, 16000, 12000, 8000)
    ),
    "mp3": AudioCodecSpec(
        "libmp3lame", {16: "fltp", 24: "fltp"}, ("mp3", "mp3float"), _MP3_RATES, max_channels=2
    ),
    "flac": AudioCodecSpec("flac", {16: "s16", 24: "s32"}, ("flac",), lossy=False),
    "alac": AudioCodecSpec("alac", {16: "s16p", 24: "s32p"}, ("alac",), lossy=False),
    "pcm": AudioCodecSpec("pcm_s16le", {16: "s16", 24: "s16"}, ("pcm_s16le",), lossy=False),
}
_FFMPEG_NAMES = {"libopus": "opus", "libmp3lame": "mp3", "pcm_s16le": "pcm"}


def audio_codec_for(name: str, container: str) -> str:
    """Return the audio codec asked for, checked against the container. Raises EncodeError."""
    spec = CONTAINERS[container]
    codec = spec.audio_codec if name == "auto" else _FFMPEG_NAMES.get(name.lower(), name.lower())
    if codec not in spec.audio_codecs:
        raise EncodeError(
            f"Expected an audio codec that {container} holds (auto, "
            f"{', '.join(spec.audio_codecs)}), got {name!r}: choose one of those."
        )
    return codec


def encoded_rate(rate: int, codec: str) -> int:
    """Return the rate to encode at, Hz: the smallest that loses nothing, else the largest."""
    allowed = AUDIO_CODECS[codec].rates or (rate,)
    return min((r for r in allowed if r >= rate), default=max(allowed))


def layout_for(channels: int, codec: str) -> str:
    """Return FFmpeg's layout name for a number of channels. Raises EncodeError."""
    most = AUDIO_CODECS[codec].max_channels
    if not 1 <= channels <= most:
        raise EncodeError(
            f"Expected 1 to {most} channels for {codec}, got {channels}: set channels to 2 to mix "
            "them down."
        )
    return LAYOUTS[channels]


def default_bitrate(rate: int, channels: int) -> int:
    """Return bits per second at which a lossy codec is transparent."""
    return min(BITS_PER_CHANNEL, BITS_PER_SAMPLE * rate) * channels
