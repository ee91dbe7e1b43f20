"""Audio copied from one file into another as it is, packet by packet."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer

from ..interfaces import EncodingConfig
from ..read.audio import AudioTrack, seconds_before, zero_time
from ..read.cut_sound import FileEnd
from ..read.open import explaining
from ..read.seams import Seams
from ..read.slots import BACK_SECONDS
from ..read.tracks import usual_audio
from .audio_codecs import AUDIO_CODECS, audio_codec_for, encoded_rate
from .audio_feed import AudioFeed, AudioWriter
from .codecs import CONTAINERS
from .output_file import MOV_FAMILY
from .packets import add_copy, mux

MIN_TIME = -(1 << 62)
LEAST_OVERLAP = Fraction(1, 20)  # seconds; less is a packet or two, which nobody misses


@dataclass(frozen=True, eq=False)
class AudioPackets:
    """The audio of an open file, to be copied. zero: seconds, what becomes time 0."""

    container: InputContainer
    stream: AudioStream
    zero: Fraction
    end: FileEnd

    @property
    def ends(self) -> tuple[FileEnd]:
        return (self.end,)

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return self.stream.codec_context.sample_rate

    @property
    def is_beside_pictures(self) -> bool:
        """Whether its file has pictures, by which it goes on behind a seam."""
        return zero_time(self.container) is not None

    @property
    def before(self) -> Fraction:
        """How much of it lies before time 0, by its header, seconds."""
        return seconds_before(self.stream, self.zero)


def copyable_audio(
    container: InputContainer,
    config: EncodingConfig,
    container_name: str,
    zero: Fraction | None = None,
) -> AudioPackets | None:
    """Return a file's audio for copying, None where it has to be encoded again.

    It is copied when the target holds that codec, nothing about the audio is to change and its
    exact end survives: within one family of containers, or with a lossless codec. Codec "copy"
    copies it anyway; up to a packet of silence may then follow the end.
    """
    stream = usual_audio(container)
    asks_for_change = config.audio_bitrate or config.channels or config.length != "keep"
    if stream is None or asks_for_change:
        return None
    name = stream.codec_context.name
    codec = next((c for c, spec in AUDIO_CODECS.items() if name in spec.decoders), None)
    if codec is None or codec not in CONTAINERS[container_name].copies:
        return None
    if (
        config.audio_codec != "auto"
        and audio_codec_for(config.audio_codec, container_name) != codec
    ):
        return None
    in_mov, to_mov = "mp4" in container.format.name, container_name in MOV_FAMILY
    if AUDIO_CODECS[codec].lossy and in_mov != to_mov and config.codec != "copy":
        return None
    zero = zero_time(container) if zero is None else zero
    if zero is None:
        zero = (stream.start_time or 0) * (stream.time_base or Fraction(0))
    return AudioPackets(container, stream, zero, FileEnd(container, stream))


class PacketFeed:
    """Copies audio beside the pictures, as far as they have come."""

    def __init__(self, container: OutputContainer, source: AudioPackets) -> None:
        self._container = container
        self._copied = add_copy(container, source.stream)
        self._base = source.stream.time_base or Fraction(1, source.sample_rate)
        is_strict = container.format.name in MOV_FAMILY  # no two packets of one time
        self._least = math.ceil(1 / (source.sample_rate * self._base)) if is_strict else 0
        self._overlap = Fraction(0)  # seconds of sound whose place was taken
        self._packets = self._shifted(source)
        self._next = next(self._packets, None)

    def reaches(self, seconds: Fraction) -> bool:
        return self._next is not None and (self._next.pts or 0) * self._base > seconds

    def advance(self, seconds: Fraction) -> None:
        end = math.ceil(seconds / self._base)  # once here: fractions cost more than copying
        while self._next is not None and (self._next.pts or 0) < end:
            self._write(self._next)

    def finish(self, end: Fraction | None = None) -> None:
        while self._next is not None:
            self._write(self._next)

    @property
    def notes(self) -> tuple[str, ...]:
        """Say how much sound overlapped, once all was written; empty for hardly any."""
        if self._overlap < LEAST_OVERLAP:
            return ()
        return (
            f"{float(self._overlap):.2f} s of sound were left out where the file was joined: they "
            "overlap what comes before.",
        )

    def _shifted(self, source: AudioPackets) -> Iterator[av.Packet[AudioStream]]:
        zero, raised, end = math.floor(source.zero / self._base), 0, 0
        seams, newest, written = Seams(Path(source.container.name)), MIN_TIME, MIN_TIME
        far = round(BACK_SECONDS / self._base)
        with explaining(source.container):
            for packet in source.container.demux(source.stream):
                if not packet.size or packet.pts is None:
                    continue
                if source.is_beside_pictures and seams.passed(packet.pts * self._base):
                    raised = round(seams.shift / self._base)
                packet.pts += raised - zero
                if not raised and packet.pts <= newest - far:  # a clock that no picture explains
                    raised, packet.pts = end - packet.pts, end
                if packet.pts < newest + bool(raised):  # the sound before lasts longer
                    self._overlap += 0 if raised else (packet.duration or 0) * self._base
                    continue
                newest = packet.pts
                written = packet.dts = packet.pts = max(packet.pts, written + self._least)
                end = packet.pts + (packet.duration or 0)
                yield packet
            source.end.ran_out(end * self._base)

    def _write(self, packet: av.Packet[AudioStream]) -> None:
        packet.stream = self._copied
        mux(self._container, packet)
        self._next = next(self._packets, None)


def rate_in(
    container_name: str, audio: AudioTrack | AudioPackets | None, config: EncodingConfig
) -> int | None:
    """Return the sample rate that audio will have in a container, Hz. Raises EncodeError."""
    if isinstance(audio, AudioTrack):
        return encoded_rate(audio.sample_rate, audio_codec_for(config.audio_codec, container_name))
    return None if audio is None else audio.sample_rate


def open_audio(
    container: OutputContainer,
    container_name: str,
    audio: AudioTrack | AudioPackets | None,
    config: EncodingConfig,
) -> AudioWriter | None:
    """Add a stream for audio to a container; return what writes into it."""
    if audio is None:
        return None
    if isinstance(audio, AudioPackets):
        return PacketFeed(container, audio)
    codec = audio_codec_for(config.audio_codec, container_name)
    bitrate, channels = config.audio_bitrate, config.channels
    return AudioFeed(container, audio, codec, bitrate=bitrate, channels=channels)
