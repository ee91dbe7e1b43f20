"""What a file says about its pictures, and how far that can be believed."""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
from av.codec.context import CodecContext
from av.container import InputContainer
from av.error import ExitError, FFmpegError, InvalidDataError
from av.video.stream import VideoStream

from ...errors import MediaError
from .open import MAX_FRAME_PIXELS, check_frame_size, has_codec, unreadable

if TYPE_CHECKING:
    from av.index import IndexEntry  # not in PyAV before 15

logger = logging.getLogger("avatarvideo.encoders.read.stream_facts")

DEFAULT_RATE = Fraction(25)  # for the few files that state no rate at all
MAX_RATE = Fraction(1000)
# Common rates that millisecond containers cannot state exactly.
STANDARD_RATES = (
    *map(Fraction, (24, 25, 30, 50, 60, 120)),
    *(Fraction(1000 * rate, 1001) for rate in (24, 30, 60, 120)),
)


def picture_stream(container: InputContainer, name: str) -> VideoStream:
    """Return the stream of moving pictures, its size checked; cover art does not count."""
    streams = [s for s in container.streams.video if has_codec(s)]
    moving = [s for s in streams if not s.disposition & s.disposition.attached_pic]
    if not moving:
        what = "sound with a cover picture" if streams else "no video track"
        raise MediaError(f"Expected a video, {name!r} has {what}: choose a video file.")
    stream = next((s for s in moving if s.disposition & s.disposition.default), moving[0])
    check_frame_size(stream.codec_context.width, stream.codec_context.height, repr(name))
    stream.thread_type = "AUTO"
    # The size may also grow in the middle of a stream, where no header says so.
    stream.codec_context.options = {"max_pixels": str(MAX_FRAME_PIXELS)}
    return stream


def decoded_frames(
    opening: AbstractContextManager[tuple[InputContainer, VideoStream]],
    path: Path,
    at_end: Callable[[int], None] = lambda count: None,
    seen: list[av.Packet[VideoStream]] | None = None,
) -> Generator[av.VideoFrame, None, None]:
    """Yield every frame that can be decoded; damaged packets are left out with a warning.

    at_end: called with the number of frames. seen: gets the packets that were read.
    """
    failures = 0
    decoded = 0
    with opening as (container, stream):
        try:
            for packet in container.demux(stream):
                if seen is not None:
                    seen.append(packet)
                try:
                    for frame in packet.decode():
                        decoded += 1
                        yield frame
                except InvalidDataError:
                    failures += 1
        except (FFmpegError, OSError, ValueError) as error:
            if not decoded or isinstance(error, ExitError):
                raise unreadable(path, error) from error
            failures += 1
    if failures and decoded:
        logger.warning("%s: %d damaged frames were left out", path.name, failures)
    at_end(decoded)


def unread_alpha(stream: VideoStream) -> bool:
    """Tell whether transparency lies beside the packets, where FFmpeg's decoders leave it."""
    tags = {name.lower(): value for name, value in stream.metadata.items()}
    return tags.get("alpha_mode") == "1"


def codec_name(context: CodecContext) -> str:
    """Return the codec's own name, not that of the library that decodes it: av1, mp3."""
    # Older releases of PyAV do not hand it out; for all but a few codecs both are the same.
    return getattr(context.codec, "canonical_name", context.name)


def stream_rate(stream: VideoStream) -> Fraction:
    """Return the frame rate in 1/s, snapped to a standard one within the container's rounding."""
    guessed = stream.guessed_rate
    rate = stream.average_rate or guessed or DEFAULT_RATE
    if guessed and abs(guessed / rate - 1) < Fraction(1, 100):
        rate = guessed
    if not 0 < rate <= MAX_RATE:
        rate = DEFAULT_RATE
    nearest = min(STANDARD_RATES, key=lambda standard: abs(standard - rate))
    return nearest if abs(nearest / rate - 1) < Fraction(1, 4000) else rate


def header_duration(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """Return the length in seconds the file states, the stream's before the container's."""
    if stream.duration and stream.time_base:
        return stream.duration * stream.time_base
    if container.duration and container.duration > 0:
        return Fraction(container.duration, av.time_base)
    return None


def indexed_frame_count(container: InputContainer, stream: VideoStream) -> int | None:
    """Return the number of frames shown, by an MP4's or MOV's index; None unless it is whole."""
    entries, file_size = _index(container, stream), container.size
    if not stream.frames or len(entries) < stream.frames:
        return None
    if any(entry.size < 1 or entry.pos + entry.size > file_size for entry in entries):
        return None
    return sum(not entry.is_discard for entry in entries)


def claimed_frame_count(container: InputContainer, stream: VideoStream) -> int:
    """Return how many frames the header promises, 0 when it makes no believable promise."""
    return sum(not entry.is_discard for entry in _index(container, stream))


def _index(container: InputContainer, stream: VideoStream) -> Sequence[IndexEntry]:
    """Return an MP4's or MOV's entries, none where a frame would take less than a byte."""
    entries = getattr(stream, "index_entries", ()) if "mp4" in container.format.name else ()
    return entries if len(entries) <= container.size else ()


def shown_stamps(packets: Iterable[av.Packet[VideoStream]]) -> list[int | None]:
    """Return the time stamp of every packet that becomes a frame, as far as they can be read."""
    stamps: list[int | None] = []
    with contextlib.suppress(FFmpegError, OSError):  # what is before the damage still tells
        for packet in packets:
            if packet.size and not packet.is_discard:
                stamps.append(packet.pts)
    return stamps


def in_order(stamps: list[int | None]) -> list[int]:
    """Return the time stamps in the order shown; empty when they cannot tell the frames apart."""
    known = [stamp for stamp in stamps if stamp is not None]
    return sorted(known) if len(known) == len(stamps) == len(set(known)) else []


def counted(stamps: list[int | None], path: Path) -> int:
    """Return the number of frames. Raises MediaError when there is none."""
    if not stamps:
        raise MediaError(f"Expected a video, {path.name!r} has no frames: choose another file.")
    return len(stamps)


def first_rotation(container: InputContainer, stream: VideoStream) -> int:
    """Return the degrees anticlockwise, 0 to 359, that bring the first picture upright.

    They are in the stream's side data, which comes with a decoded picture only, so the file is
    read from its beginning again. 0 where nothing can be decoded.
    """
    try:
        with contextlib.suppress(FFmpegError, OSError):  # not every file can be
            container.seek(0)
        frame = next(container.decode(stream), None)
    except (FFmpegError, OSError, ValueError):
        return 0
    return round(frame.rotation) % 360 if frame is not None else 0


def packet_rate(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """Return frames over seconds of a file that states no rate, only how long each one stays."""
    if container.format.name not in ("gif", "apng"):
        return None
    count, ticks = 0, 0
    with contextlib.suppress(FFmpegError, OSError):
        container.seek(0)
        for packet in container.demux(stream):
            if packet.size:
                count += 1
                ticks += packet.duration or 0
    return Fraction(count) / (ticks * stream.time_base) if ticks and stream.time_base else None


def usual_rate(times: list[Fraction], average: Fraction) -> Fraction | None:
    """Return the rate of the usual step, where it is a standard one above the average."""
    steps = sorted(b - a for a, b in itertools.pairwise(times))
    usual = steps[len(steps) // 2] if steps else Fraction(0)
    if usual <= 0:
        return None
    nearest = min(STANDARD_RATES, key=lambda standard: abs(standard - 1 / usual))
    close = abs(nearest * usual - 1) < Fraction(2, 100)
    return nearest if close and nearest > average else None


def varies(times: Iterable[Fraction]) -> bool:
    """Tell whether frames at these times (seconds, ascending) come at a varying rate."""
    steps = [b - a for a, b in itertools.pairwise(times)]
    if len(steps) < 2:
        return False
    usual = sorted(steps)[len(steps) // 2]
    # Containers that count in milliseconds make 33 and 34 of one rate.
    tolerance = max(Fraction(2, 1000), usual / 20)
    return any(abs(step - usual) > tolerance for step in steps)
