"""Which track of several is taken, and the sentence that says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from .open import has_codec

Kind = TypeVar("Kind", bound=Stream)


def usual_audio(container: InputContainer) -> AudioStream | None:
    """Return the audio stream that players take, of those that can be decoded."""
    usable = (s for s in container.streams.audio if has_codec(s) and s.codec_context.sample_rate)
    return _flagged(list(usable))


def usual_pictures(container: InputContainer) -> VideoStream | None:
    """Return the stream of moving pictures that players take; cover art does not count."""
    return _flagged([s for s in _moving(container) if has_codec(s)])


def _moving(container: InputContainer) -> list[VideoStream]:
    return [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]


def _flagged(streams: Sequence[Kind]) -> Kind | None:
    """Return the first stream with the flag "default", else the first one."""
    flagged = (s for s in streams if s.disposition & s.disposition.default)
    return next(flagged, streams[0] if streams else None)


def sound_note(container: InputContainer) -> str:
    """Say which of several sound tracks is taken; empty for one or none."""
    return _note("Sound", container.streams.audio, usual_audio(container))


def picture_note(container: InputContainer) -> str:
    """Say which of several video tracks is taken; empty for one or none."""
    return _note("Video", _moving(container), usual_pictures(container))


def _note(kind: str, streams: Sequence[Stream], taken: Stream | None) -> str:
    if taken is None or len(streams) < 2:
        return ""
    number = [stream.index for stream in streams].index(taken.index) + 1
    default = ", the default one" if taken.disposition & taken.disposition.default else ""
    return f"{kind} track {number} of {len(streams)} was used{default}."
