"""What a video file says of itself, and its first picture of all."""

from __future__ import annotations

import contextlib
import itertools
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from ...errors import MediaError
from ..color import BT709, Colors, is_deep, is_transparent
from ..metadata import read_tags
from ..orientation import PROFILE, UPRIGHT, orientation_of, side_data
from ..profiles import ColorProfile, color_profile, profile_of_gif
from ..tone_map import Light, light_of
from .animated_webp import TICK, AnimatedPicture
from .open import check_frame_size
from .slots import decoded_slots
from .still_kinds import head_of
from .stream_facts import (
    alpha_beside,
    field_order,
    header_duration,
    indexed_frame_count,
    unread_alpha,
)
from .tracks import picture_note, sound_note, usual_audio

MOST_OBLONG = Fraction(4)  # pixels wider or higher than this are a mistake in the file


class VideoFacts:
    """Facts that hold for all of a video's pictures.

    width, height: pixels of the frames as shown, rotation applied and pixels made square.
    size: the same before rotation.
    orientation: of all its frames, as the first one states it.
    has_audio: whether ``read_audio`` will find an audio stream.
    has_alpha: whether the first picture is transparent somewhere.
    unread_alpha: whether there is transparency that nothing here reads.
    light: what the numbers of its pictures stand for. profile: says it better, where there is one.
    is_interlaced: whether any picture read so far is woven from two fields.
    is_deep: whether its pictures have more than 8 bits a colour.
    """

    path: Path
    profile = ColorProfile()

    def _take_facts(
        self, container: InputContainer, stream: VideoStream
    ) -> list[av.Packet[VideoStream]]:
        """Decode the first frame and note what the file says; return the packets it took."""
        seen: list[av.Packet[VideoStream]] = []
        opening = contextlib.nullcontext((container, stream))
        slot = next(decoded_slots(opening, self.path, seen=seen), None)
        if slot is None:
            raise MediaError(
                f"Expected a video, but {self.path.name!r} has no frame that can be decoded: it is "
                "damaged or was cut short."
            )
        first = self._first = slot[1]
        check_frame_size(first.width, first.height, repr(self.path.name))
        self.size = _square_size(first, stream)
        self.has_alpha, self.unread_alpha = is_transparent(first), unread_alpha(stream)
        self._is_clear = self.has_alpha  # whether any picture read so far is transparent
        self.is_deep = is_deep(first.format.name)
        self.is_interlaced = first.interlaced_frame
        self.field_order = field_order(first)
        stated = _as_stated(stream, seen) or first if alpha_beside(stream) else first
        self.orientation = orientation_of(stated)
        self.width, self.height = self.orientation.size(self.size)
        self.time_base = stream.time_base or Fraction(1, av.time_base)
        self.has_audio = usual_audio(container) is not None
        self._track_notes = (picture_note(container), sound_note(container))
        context = stream.codec_context
        self.colors = Colors(
            int(context.colorspace), int(context.color_primaries), int(context.color_trc)
        )
        self.light = light_of(first, self.colors.primaries, self.colors.transfer)
        if not self.light.is_hdr and (data := _profile_of(stated, self.path)):
            self.light = Light(BT709, BT709)  # the profile tells more than tags
            self.profile = color_profile(data, "L" if _is_grey(first) else "RGB")
        self.metadata = read_tags(container.metadata, container.format.name)
        # Where these are sought pictures get other times, or an AVI has none for reordered ones.
        of_packets = container.format.name == "avi" and context.has_b_frames
        self._is_sought = container.format.name != "mpeg" and not of_packets
        self._header_duration = header_duration(container, stream)
        self._indexed_count = indexed_frame_count(container, stream)
        return seen

    def _take_animation(self, animation: AnimatedPicture) -> None:
        self.size = (self.width, self.height) = animation.size
        self.orientation = UPRIGHT
        self.frame_rate, self._is_animated = animation.frame_count / animation.duration, True
        self.is_interlaced, self.field_order = False, 0
        self.time_base = TICK
        self.has_audio, self._track_notes = False, ("", "")
        self.has_alpha, self.unread_alpha, self.is_deep = animation.has_alpha, False, False
        self._is_clear = self.has_alpha
        self.colors, self.light = Colors(), Light(BT709, BT709)
        self.profile = ColorProfile(animation.note)  # its pictures are in sRGB already
        self.metadata = animation.metadata
        self._header_duration = animation.duration
        self._indexed_count = animation.frame_count

    def track_notes(self, *, sound: bool) -> list[str]:
        """Return sentences on the tracks taken of several, with ``sound`` of audio too."""
        return list(filter(None, self._track_notes if sound else self._track_notes[:1]))

    @property
    def is_plain(self) -> bool:
        """Whether pictures can be encoded as decoded: upright, opaque, in ordinary colours."""
        return self.orientation.is_upright and self.has_own_colors and not self.has_alpha

    @property
    def has_own_colors(self) -> bool:
        """Whether nothing is done to the colours of pictures for BT.709."""
        return self.light.is_ordinary and self.profile.mapping is None

    @property
    def rotation(self) -> int:
        """Degrees anticlockwise that bring the frames upright, before any mirroring."""
        return self.orientation.turns * 90


def _as_stated(stream: VideoStream, seen: list[av.Packet[VideoStream]]) -> av.VideoFrame | None:
    """Return the first picture by the stream's own decoder, with what the file says beside it."""
    with contextlib.suppress(FFmpegError):
        decode = stream.decode  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - PyAV's type of packets is open
        return next(itertools.chain.from_iterable(map(decode, (*seen, None))), None)  # pyright: ignore[reportUnknownArgumentType] - as above
    return None


def _profile_of(frame: av.VideoFrame, path: Path) -> bytes:
    """Return the ICC profile beside a picture, or in its file; empty for none."""
    with contextlib.suppress(ValueError):
        if data := side_data(frame, PROFILE):
            return data
    return profile_of_gif(head_of(path))


def _is_grey(frame: av.VideoFrame) -> bool:
    colors = [part for part in frame.format.components if not part.is_alpha]
    return len(colors) == 1 and not frame.format.has_palette


def _square_size(frame: av.VideoFrame, stream: VideoStream) -> tuple[int, int]:
    """Return (width, height) with square pixels, in which no pixel of the file is lost."""
    width, height = frame.width, frame.height
    shape = stream.sample_aspect_ratio or Fraction(1)
    if not MOST_OBLONG**-1 <= shape <= MOST_OBLONG or shape == 1:
        return width, height
    if shape > 1:
        width = 2 * round(width * shape / 2)
    else:
        height = 2 * round(height / shape / 2)
    check_frame_size(width, height, "the picture with square pixels")
    return width, height
