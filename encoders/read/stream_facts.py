"""What a file says about its pictures, and how far that can be believed."""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
from av.codec.context import CodecContext
from av.container import InputContainer
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from ...errors import MediaError
from ..orientation import filtered
from .open import MAX_FRAME_PIXELS, check_frame_size, has_codec
from .tracks import usual_pictures

if TYPE_CHECKING:
    from av.index import IndexEntry  # not in PyAV before 15

logger = logging.getLogger("avatarvideo.encoders.read.stream_facts")

DEFAULT_RATE = Fraction(25)  # for the few files that state no rate at all
# FFmpeg's numbers of the field that is first in the file and shown first. What headers state is not
# asked: for others (TB, BT) FFmpeg's own programs, QuickTime's and Matroska's texts differ.
TOP_FIRST, BOTTOM_FIRST = 2, 3
FIELD_ORDERS = {TOP_FIRST: "top", BOTTOM_FIRST: "bottom"}
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
MAX_RATE = Fraction(1000)
MOSTLY = Fraction(9, 10)  # of a file's packets have times, or none of them counts as having one
MAX_TICKS = 4  # of a clock that counts little more than pictures
MIN_TIMES = 5  # fewer frames say nothing about a rate
MILLISECOND = Fraction(1, 1000)
BEATS = 2000  # frames that tell between two rates; a camera's clock drifts off in more
ON_BEAT = 0.1  # of a frame, by which frames of a rate are off its beat on average
# Common rates that millisecond containers cannot state exactly.
STANDARD_RATES = (
    *map(Fraction, (24, 25, 30, 50, 60, 120)),
    *(Fraction(1000 * rate, 1001) for rate in (24, 30, 60, 120)),
)


def picture_stream(container: InputContainer, name: str) -> VideoStream:
    """Return the stream of moving pictures, its size checked; cover art does not count."""
    stream = usual_pictures(container)
    if stream is None:
        covers = any(map(has_codec, container.streams.video))
        what = "sound with a cover picture" if covers else "no video track"
        raise MediaError(f"Expected a video, but {name!r} has {what}: choose a video file.")
    check_frame_size(stream.codec_context.width, stream.codec_context.height, repr(name))
    stream.thread_type = "AUTO"
    # The size may also grow in the middle of a stream, where no header says so.
    stream.codec_context.options = {"max_pixels": str(MAX_FRAME_PIXELS)}
    return stream


def field_order(first: av.VideoFrame) -> int:
    """Return a key of FIELD_ORDERS by a picture's own flags, 0 for a whole one."""
    if not first.interlaced_frame:
        return 0
    return TOP_FIRST if _is_top_first(first) else BOTTOM_FIRST


def _is_top_first(picture: av.VideoFrame) -> bool:
    """Ask FFmpeg's filter for a flag that PyAV does not hand out."""
    try:
        filtered(picture, ("select", "eq(interlace_type\\,TOPFIRST)"))
    except BlockingIOError:  # not chosen
        return False
    return True


def alpha_beside(stream: VideoStream) -> bool:
    """Tell whether transparency lies beside the packets, where FFmpeg's own decoders leave it."""
    tags = {name.lower(): value for name, value in stream.metadata.items()}
    return tags.get("alpha_mode") == "1"


def alpha_decoder(stream: VideoStream) -> VideoCodecContext | None:
    """Return a decoder that reads what lies beside a stream's packets, where there is one."""
    name = ALPHA_DECODERS.get(codec_name(stream.codec_context))
    if name is None or name not in av.codecs_available or not alpha_beside(stream):
        return None
    decoder = CodecContext.create(name, "r")
    if not isinstance(decoder, VideoCodecContext):
        return None
    decoder.options = {"max_pixels": str(MAX_FRAME_PIXELS)}
    return decoder


def unread_alpha(stream: VideoStream) -> bool:
    """Tell whether there is transparency that nothing here reads."""
    return alpha_beside(stream) and alpha_decoder(stream) is None


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
    nearest = _nearest_standard(rate)
    return nearest if abs(nearest / rate - 1) < Fraction(1, 4000) else rate


def _nearest_standard(rate: Fraction) -> Fraction:
    return min(STANDARD_RATES, key=lambda standard: abs(standard - rate))


def rate_of_steps(ticks: Sequence[int], unit: Fraction) -> Fraction:
    """Return the rate of the usual step between frames at these times, snapped to a standard."""
    rate = 1 / usual_step([tick * unit for tick in ticks])
    nearest = _nearest_standard(rate)
    return nearest if abs(nearest / rate - 1) < Fraction(1, 100) else min(rate, MAX_RATE)


def agreed_rate(stated: Fraction, ticks: Sequence[int], unit: Fraction) -> Fraction:
    """Return the stated rate, or that of the frames' times where both cannot be true.

    A guess is off where a file was cut between two key frames: by some frames or by far.
    ticks: when the frames are shown, ascending. unit: seconds of one.
    """
    if len(ticks) < MIN_TIMES or ticks[-1] <= ticks[0]:
        return stated
    count, span = len(ticks) - 1, (ticks[-1] - ticks[0]) * unit
    measured = count / span
    if varies(ticks, unit):
        return stated if stated < 2 * measured else measured
    choices = (stated, _nearest_standard(measured), measured.limit_denominator(1001))
    half = span / count / 2  # by which a frame at the end of the file may be off
    return next((rate for rate in choices if abs(count / rate - span) < half), measured)


def header_duration(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """Return the seconds from the first picture on that the file states, the stream's first."""
    if stream.duration and stream.time_base:
        return stream.duration * stream.time_base
    if container.duration and container.duration > 0:
        stated = Fraction(container.duration, av.time_base) - _before_pictures(container, stream)
        return stated if stated > 0 else None
    return None


def _before_pictures(container: InputContainer, stream: VideoStream) -> Fraction:
    """Return how much of the length that a Matroska states comes before its first picture."""
    if "matroska" not in container.format.name or not stream.start_time or not stream.time_base:
        return Fraction(0)
    first = stream.start_time * stream.time_base
    # FFmpeg states when the last picture or sound ends, others how long it is from the first.
    tags = {name.lower(): text for name, text in container.metadata.items()}
    is_end = tags.get("encoder", "").startswith("Lavf")
    begin = Fraction(0) if is_end else Fraction(container.start_time or 0, av.time_base)
    return max(Fraction(0), first - begin)


def indexed_frame_count(container: InputContainer, stream: VideoStream) -> int | None:
    """Return the number of frames shown, by an MP4's or MOV's index; None unless it is whole."""
    entries, file_size = _index(container, stream), container.size
    if not stream.frames or len(entries) < stream.frames:
        return None
    if any(entry.size < 1 or entry.pos + entry.size > file_size for entry in entries):
        return None
    if _is_joined(entries):
        return None
    return sum(not entry.is_discard for entry in entries)


def _is_joined(entries: Sequence[IndexEntry]) -> bool:
    """Tell whether packets have steps of a tick, as FFmpeg makes them where files overlap."""
    steps = {b.timestamp - a.timestamp for a, b in itertools.pairwise(entries)}
    return min(steps, default=0) == 1 and max(steps) > MAX_TICKS


def claimed_frame_count(container: InputContainer, stream: VideoStream) -> int:
    """Return how many frames the header promises, 0 when it makes no believable promise."""
    return sum(entry.size > 0 and not entry.is_discard for entry in _index(container, stream))


def _index(container: InputContainer, stream: VideoStream) -> Sequence[IndexEntry]:
    """Return an MP4's or MOV's entries, none where a frame would take less than a byte."""
    entries = getattr(stream, "index_entries", ()) if "mp4" in container.format.name else ()
    return entries if len(entries) <= container.size else ()


def slots_of(stamps: list[int | None]) -> list[int | None]:
    """Return the packets' times without those few that have none: no picture comes of them."""
    known = [stamp for stamp in stamps if stamp is not None]
    return list[int | None](known) if len(known) >= len(stamps) * MOSTLY else stamps


def in_order(stamps: list[int | None]) -> list[int]:
    """Return the time stamps in the order shown; empty when they cannot tell the frames apart."""
    known = [stamp for stamp in stamps if stamp is not None]
    return sorted(known) if len(known) == len(stamps) == len(set(known)) else []


def counted(stamps: list[int | None], path: Path) -> int:
    """Return the number of frames. Raises MediaError when there is none."""
    if not stamps:
        raise MediaError(f"Expected a video, but {path.name!r} has no frames: choose another file.")
    return len(stamps)


def first_picture(container: InputContainer, stream: VideoStream) -> av.VideoFrame | None:
    """Return the first picture, with the stream's side data; None where nothing can be decoded.

    The file is read from its beginning again.
    """
    try:
        with contextlib.suppress(FFmpegError, OSError):  # not every file can be
            container.seek(0)
        return next(container.decode(stream), None)
    except (FFmpegError, OSError, ValueError):
        return None


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


def usual_rate(times: Sequence[Fraction], average: Fraction) -> Fraction | None:
    """Return the rate of the usual step where it is above the average: a standard one, or exact.

    Steps that are all over the place have no usual one.
    """
    usual = usual_step(times)
    if usual <= 0:
        return None
    steps = [b - a for a, b in itertools.pairwise(times)]
    alike = [step for step in steps if abs(step - usual) <= max(usual / 25, MILLISECOND)]
    exact = len(alike) / sum(alike, Fraction(0))  # a container's rounding goes both ways
    nearest = _standard_of(times, exact)
    if abs(nearest / exact - 1) < Fraction(2, 100):
        return nearest if nearest > average else None
    same = sum(abs(step - usual) <= usual / 50 for step in steps)
    return 1 / usual if average < 1 / usual <= MAX_RATE and same * 2 >= len(times) else None


def _standard_of(times: Sequence[Fraction], rate: Fraction) -> Fraction:
    """Return the nearest standard rate; of 30 and 29.97 the one on whose beat the frames are."""
    near = [each for each in STANDARD_RATES if abs(each / rate - 1) < Fraction(1, 200)]
    seconds = [float(time - times[0]) for time in times[:BEATS]]

    def off_beat(standard: Fraction) -> float:
        beats = [second * float(standard) for second in seconds]
        return sum(abs(beat - round(beat)) for beat in beats) / len(beats)

    best = min(near, key=off_beat, default=None)
    return best if best is not None and off_beat(best) < ON_BEAT else _nearest_standard(rate)


def usual_step(times: Sequence[Fraction]) -> Fraction:
    """Return how long most frames at these times stay, seconds; 0 for a single one."""
    steps = sorted(b - a for a, b in itertools.pairwise(times))
    return steps[len(steps) // 2] if steps else Fraction(0)


def nominal_rate(times: Sequence[Fraction], average: Fraction) -> Fraction:
    """Return the rate that frames at varying times are meant for: the usual one, else a standard.

    That is the same for everything that is made of a file.
    """
    usual = usual_rate(times, average)
    if usual is not None:
        return usual
    nearest = _nearest_standard(average)
    if abs(nearest / average - 1) < Fraction(1, 100):
        return nearest
    return min((standard for standard in STANDARD_RATES if standard > average), default=average)


def varies(ticks: Sequence[int], unit: Fraction) -> bool:
    """Tell whether frames at these times, ascending, come at a varying rate. unit: seconds."""
    steps = [b - a for a, b in itertools.pairwise(ticks)]
    if len(steps) < 2:
        return False
    usual = sorted(steps)[len(steps) // 2]
    # Containers that count in milliseconds make 33 and 34 of one rate.
    tolerance = max(Fraction(2, 1000), usual * unit / 20) / unit
    return max(steps) - usual > tolerance or usual - min(steps) > tolerance
