"""Decode audio to float32 samples on the video's time line, without encoder padding."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer

from ...errors import MediaError
from ...media import AudioClip
from .audio_blocks import decoded_blocks
from .cut_sound import FileEnd, SoundEnd
from .open import MAX_CHANNELS, SAMPLE_RATES, open_media
from .sample_buffer import SampleBuffer
from .seams import Seams
from .tracks import sound_note, usual_audio, usual_pictures

logger = logging.getLogger("avatarvideo.encoders.read.audio")

MAX_DECODED_BYTES = 2 << 30  # 2 GiB: an hour and a half of 48 kHz stereo as float32
# Containers count in milliseconds or worse, so smaller steps between packets are rounding; what
# adds up to a picture's time is sound that was lost.
GAP_SECONDS = Fraction(1, 25)
OVERLAP_SECONDS = 1  # more is a clock that starts again, whose sound goes on behind what was
MAX_LATE_SECONDS = 3600
LEAST_BITS_PER_SECOND = 500  # silence in the leanest codecs; a header that promises less lies


@dataclass(frozen=True)
class AudioTrack:
    """Audio decoded while it is read: float32 blocks (channels, n), each at most a second or so.

    exact_bits: 16 when every sample is a 16-bit one, else 24.
    begins: where in its file's own time it begins, seconds, as far as that is known.
    cut: seconds that were left out because they lie before the first picture.
    ends: of the files it comes from, for what is missing there.
    """

    sample_rate: int
    channels: int
    blocks: Iterator[np.ndarray]
    exact_bits: int = 24
    begins: Fraction | None = None
    cut: Fraction = Fraction(0)
    ends: tuple[SoundEnd, ...] = ()


def read_audio(
    path: str | Path,
    *,
    start: Fraction = Fraction(0),
    duration: Fraction = Fraction(0),
    check: Callable[[], None] = lambda: None,
    zero: Fraction | None = None,
    whole: bool = False,
) -> AudioClip:
    """Return the audio of a file, or of a video file, at its own rate with all its channels.

    start, duration: seconds; a duration of 0 means to the end. In a video file time 0 is the
    first picture's, so audio that begins later starts with silence and what is before it is left
    out; with ``whole`` time 0 is the audio's where that begins first. What the encoder added
    (AAC priming and padding) is gone. ``check`` is called all the time; what it raises ends the
    reading. zero: the first picture's time in the file, where it is known. Raises MediaError.
    """
    name = Path(path).name
    with open_media(path) as container:
        if note := sound_note(container):
            logger.warning("%s: %s", name, note)
        track = decode_audio(
            container, name, start=start, duration=duration, zero=zero, whole=whole
        )
        left = max(Fraction(0), _claimed_seconds(container) - start)
        wanted = min(left, duration) if duration else left
        expected = round(wanted * track.sample_rate)
        _check_decoded_bytes(expected * track.channels * 4, name)
        buffer = SampleBuffer(expected)
        for block in track.blocks:
            check()
            _check_decoded_bytes((buffer.count + block.shape[1]) * track.channels * 4, name)
            buffer.add(block)
    lack = next((end.lack for end in track.ends), None)
    if not buffer.count and lack is not None:
        raise MediaError(f"{lack.expected}: copy or download it again.")
    if not buffer.count:
        raise MediaError(
            f"Expected sound after {float(start):.2f} s, but {name!r} has no samples there: use a "
            "smaller start or another file."
        )
    return AudioClip(buffer.samples(), track.sample_rate, (Path(path),), track.begins, lack)


def check_has_sound(path: str | Path) -> None:
    """Refuse a file without sound by its header alone. Raises MediaError."""
    with open_media(path) as container:
        _needed_audio(container, Path(path).name)


def holds_only_sound(path: str | Path) -> bool:
    """Tell by its header alone, also of a file with a cover picture; False for unreadable ones."""
    try:
        with open_media(path) as container:
            return usual_pictures(container) is None and usual_audio(container) is not None
    except MediaError:
        return False


def _needed_audio(container: InputContainer, name: str) -> AudioStream:
    stream = usual_audio(container)
    if stream is None:
        what = "a video without sound" if container.streams.video else "a file without sound"
        raise MediaError(
            f"Expected sound, but {name!r} is {what}: choose a file with an audio track."
        )
    return stream


def _claimed_seconds(container: InputContainer) -> Fraction:
    """Return the length that the file states, at most what its size can hold; 0 for none."""
    stream = usual_audio(container)
    claimed = Fraction(0)
    if stream is not None and stream.duration and stream.time_base:
        claimed = stream.duration * stream.time_base
    elif container.duration and not container.streams.video:
        claimed = Fraction(container.duration, av.time_base)
    return min(claimed, Fraction(container.size * 8, LEAST_BITS_PER_SECOND))


def _check_decoded_bytes(count: int, name: str) -> None:
    if count > MAX_DECODED_BYTES:
        raise MediaError(
            f"Expected at most {MAX_DECODED_BYTES >> 30} GiB of decoded sound, but {name!r} has "
            "more: use start and duration to take a part of it."
        )


def decode_audio(
    container: InputContainer,
    name: str,
    *,
    start: Fraction = Fraction(0),
    duration: Fraction = Fraction(0),
    stream: AudioStream | None = None,
    zero: Fraction | None = None,
    whole: bool = False,
) -> AudioTrack:
    """Decode an audio stream, or the one that players take, block by block. Raises MediaError.

    zero, whole: as in ``read_audio``.
    """
    if start < 0 or duration < 0:
        raise MediaError(
            f"Expected start and duration of 0 s or more, got {float(start)} and {float(duration)}."
        )
    stream = stream or _needed_audio(container, name)
    rate, channels = stream.codec_context.sample_rate, stream.codec_context.channels
    if rate not in SAMPLE_RATES or not 1 <= channels <= MAX_CHANNELS:
        raise MediaError(
            f"Expected 1 to {MAX_CHANNELS} channels at {SAMPLE_RATES.start} to "
            f"{SAMPLE_RATES.stop - 1} Hz, but {name!r} has {channels} at {rate} Hz: convert it "
            "first."
        )
    line, zero = _line_of(container, stream, name, zero, whole)
    first = round(start * rate)
    last = first + round(duration * rate) if duration else None
    # There is no format when nothing could be decoded as yet.
    sample_format = str(getattr(stream.codec_context.format, "name", ""))
    exact_bits = 16 if sample_format.rstrip("p") in {"u8", "s16"} else 24
    end = FileEnd(container, stream)
    parts = _between(line, first, last, lambda position: end.ran_out(Fraction(position, rate)))
    begins, cut = None if zero is None else zero + start, seconds_before(stream, zero)
    return AudioTrack(rate, channels, parts, exact_bits, begins, cut, (end,))


def seconds_before(stream: AudioStream, zero: Fraction | None) -> Fraction:
    """Return how much of a stream lies before time zero, by its header, seconds."""
    if zero is None or stream.start_time is None or not stream.time_base:
        return Fraction(0)
    return max(Fraction(0), zero - stream.start_time * stream.time_base)


def _between(
    blocks: Iterator[tuple[int, np.ndarray]],
    first: int,
    last: int | None,
    ran_out: Callable[[int], None],
) -> Iterator[np.ndarray]:
    """Yield the samples asked for; ``ran_out`` is called where the blocks end before them."""
    end = 0
    for position, block in blocks:
        if last is not None and position >= last:
            return
        part = block[:, max(0, first - position) : None if last is None else last - position]
        if part.shape[1]:
            yield part
        end = position + block.shape[1]
    if last is None or end < last:
        ran_out(end)


def _line_of(
    container: InputContainer, stream: AudioStream, name: str, zero: Fraction | None, whole: bool
) -> tuple[Iterator[tuple[int, np.ndarray]], Fraction | None]:
    """Return a stream's blocks with their positions, and what position 0 is in the file's time."""
    pictures = zero_time(container) if zero is None else zero
    zero, blocks = pictures, decoded_blocks(container, stream, name)
    if whole or zero is None:  # an audio file begins with its first sample, whatever its clock says
        block = next(blocks, None)
        begins = None if block is None else block[0]
        zero = begins if zero is None or begins is None else min(zero, begins)
        blocks = itertools.chain([] if block is None else [block], blocks)
    rate = stream.codec_context.sample_rate
    end = _end_position(stream, None if pictures is None else zero, rate)
    seams = None if pictures is None else Seams(Path(container.name))
    return _on_time_line(blocks, stream, name, zero or Fraction(0), end, seams), zero


def _on_time_line(
    blocks: Iterable[tuple[Fraction | None, np.ndarray]],
    stream: AudioStream,
    name: str,
    zero: Fraction,
    end: int | None,
    seams: Seams | None,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (position, block) without overlaps or holes, position in samples from time zero."""
    rate, channels = stream.codec_context.sample_rate, stream.codec_context.channels
    position, is_exact = 0, True  # at the beginning, and behind a seam
    for time, block in blocks:
        target = position if time is None else round((time - zero) * rate)
        if time is not None and seams is not None:
            is_exact |= seams.passed(time)
            target += round(seams.shift * rate)
        drift = target - position
        # What overlaps by more than rounding, where a file was joined, would part the two for good.
        is_exact |= -OVERLAP_SECONDS * rate < drift < -GAP_SECONDS * rate
        if is_exact and drift < 0:
            block = block[:, -drift:]  # audio before the first picture is never heard
        elif drift > (0 if is_exact else GAP_SECONDS * rate):
            yield from _silence(position, target, channels, rate, name)
            position = target
        if end is not None:
            block = block[:, : max(0, end - position)]
        if block.shape[1]:
            yield position, block
            position += block.shape[1]
            is_exact = False


def _silence(
    position: int, target: int, channels: int, rate: int, name: str
) -> Iterator[tuple[int, np.ndarray]]:
    if target - position > MAX_LATE_SECONDS * rate:
        raise MediaError(
            f"Expected sound without gaps of an hour, but {name!r} has time stamps "
            f"{(target - position) / rate:.0f} s apart: convert it again."
        )
    while position < target:
        count = min(rate, target - position)
        yield position, np.zeros((channels, count), np.float32)
        position += count


def zero_time(container: InputContainer) -> Fraction | None:
    """Return where the pictures begin, seconds; None for an audio file, with a cover or not."""
    for stream in container.streams.video:
        if stream.disposition & stream.disposition.attached_pic:
            continue
        if stream.start_time is not None and stream.time_base is not None:
            return stream.start_time * stream.time_base
        return Fraction(container.start_time or 0, av.time_base)
    return None


def _end_position(stream: AudioStream, zero: Fraction | None, rate: int) -> int | None:
    # Only MP4 and MOV state where the audio ends: their edit list cuts the last AAC packet.
    if "mp4" not in stream.container.format.name or not stream.duration or not stream.time_base:
        return None
    begin = (stream.start_time or 0) * stream.time_base
    offset = Fraction(0) if zero is None else begin - zero
    return max(0, round((offset + stream.duration * stream.time_base) * rate))
