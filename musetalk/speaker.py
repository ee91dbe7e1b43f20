"""One of several speakers: a speech and whose face it moves."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeGuard

from ..json_values import is_object
from ..media import Mel
from ..option_types import UNFIT, as_own_type
from ..texts import shown

MOST_CHANNELS = 64
MOST_SPEAKERS = 16
_PART = re.compile(r"(?:^|,)\s*(audio|face|channel)\s*=")


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """One further speech. ValueError says what is wrong with it.

    audio: a file, or what Audio to Mel made; empty is the speech of the run itself.
    face: whose; written as the option ``face``. Empty is the largest that no other speech has.
    channel: of the audio, from 1, where each holds a speaker of its own; 0 takes all of them.
    """

    audio: str | Path | Mel = ""
    face: str = ""
    channel: int = 0

    def __post_init__(self) -> None:
        audio, face, channel = (
            as_own_type(value, kinds)
            for value, kinds in (
                (self.audio, (Mel, str)),
                (self.face, (str,)),
                (self.channel, (int,)),
            )
        )
        if audio is UNFIT:
            raise ValueError(f"Expected a speaker's audio as a file, got {shown(self.audio)}.")
        if channel is UNFIT:
            raise ValueError(
                f"Expected a speaker's channel as a whole number, got {shown(self.channel)}."
            )
        if not 0 <= channel <= MOST_CHANNELS:
            raise ValueError(
                f"Expected a speaker's channel between 0 and {MOST_CHANNELS}, got {channel}."
            )
        face = _face_text(self.face) if face is UNFIT else face
        for name, value in (("audio", audio), ("face", face), ("channel", channel)):
            object.__setattr__(self, name, value)  # frozen for everybody else


def is_track_file(face: object) -> TypeGuard[str]:
    """Say whether a face as written is the name of a track file."""
    return isinstance(face, str) and face.strip().lower().endswith(".json")


def _face_text(value: Any) -> str:  # Any: whatever a caller gave
    """Return a face given as a number, or as a point of two, as it is written."""
    if (number := as_own_type(value, (int,))) is not UNFIT:
        return str(number)
    if type(value) in (tuple, list) and len(value) == 2:
        return ",".join(map(str, value))
    raise ValueError(f"Expected a speaker's face as text, got {shown(value)}.")


def parse_speaker(text: str) -> Speaker:
    """Return the speaker written as "audio=b.wav,face=1,channel=2"; each part may be left out."""
    marks = list(_PART.finditer(text))
    ends = [*(mark.start() for mark in marks), len(text)][1:]
    parts = [
        (mark[1], text[mark.end() : end].strip()) for mark, end in zip(marks, ends, strict=False)
    ]
    values: dict[str, Any] = dict(parts)  # Any: a channel becomes a number
    if not marks or text[: marks[0].start()].strip() or len(values) < len(parts):
        raise ValueError(
            'Expected speakers as "audio=FILE,face=WHICH,channel=NUMBER", each at most once, got '
            f"{shown(text)}."
        )
    if "channel" in values:
        if not re.fullmatch(r"\d{1,4}", values["channel"]):
            raise ValueError(
                f"Expected a speaker's channel as a whole number, got {shown(values['channel'])}."
            )
        values["channel"] = int(values["channel"])
    return Speaker(**values)


def speakers_of(values: Any) -> tuple[Speaker, ...]:  # Any: whatever a caller gave
    """Return speakers given as such, as texts, or as names and values. Raises ValueError."""
    if type(values) not in (tuple, list):
        values = [values] if _may_be_one(values) else None
    if values is None:
        raise ValueError("Expected speakers as a list, got something else.")
    if len(values) >= MOST_SPEAKERS:
        raise ValueError(f"Expected speakers to be fewer than {MOST_SPEAKERS}, got {len(values)}.")
    return tuple(map(_speaker_of, values))


def _may_be_one(value: object) -> bool:
    return isinstance(value, (str, Speaker)) or is_object(value)


def _speaker_of(value: object) -> Speaker:
    if isinstance(value, Speaker):
        return value
    if isinstance(value, str):
        return parse_speaker(value)
    names = [field.name for field in fields(Speaker)]
    if is_object(value) and set(value) <= set(names):
        return Speaker(**value)
    raise ValueError(
        f"Expected speakers as {', '.join(names)} with their values, got {shown(value)}."
    )
