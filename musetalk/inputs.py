"""Picture, video and audio files become Avatar and Mel."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import cache
from pathlib import Path

from ..encoders.read.audio import holds_only_sound, read_audio
from ..encoders.read.file_clip import file_hash, open_video_file
from ..encoders.read.picture import is_image, read_still
from ..errors import MediaError
from ..media import DEFAULT_FRAME_RATE, Avatar, Clip, FramesOfFiles, LipCorners, Mel
from ..pasted import existing
from ..texts import exact_number
from .audio import prepare_mel


def load_avatar(
    path: str | Path,
    *,
    corners: LipCorners | None = None,
    face_index: int = 0,
    check: Callable[[], None] = lambda: None,
    speech: str | Path | None = None,
) -> Avatar:
    """Return a picture or video file as an avatar. Raises MediaError, and what ``check`` raises.

    check: called again and again while a long file is read.
    speech: the file that is to be spoken, for a sentence where the two are exchanged.
    """
    path = existing(path)
    try:
        clip = _still(path) if is_image(path) else open_video_file(path, check=check)
    except MediaError as error:
        if holds_only_sound(path):
            raise _no_pictures(path, None if speech is None else existing(speech)) from error
        raise
    return Avatar.of(clip, corners=corners, face_index=face_index)


def _no_pictures(path: Path, speech: Path | None) -> MediaError:
    if speech is not None and speech.exists() and not holds_only_sound(speech):
        kind = "picture" if is_image(speech) else "video"
        return MediaError(
            f"The avatar {path.name!r} is audio and the speech {speech.name!r} a {kind}: swap them."
        )
    return MediaError(
        f"Expected a picture or a video, but {path.name!r} holds only sound: choose a picture or "
        "a video of a person."
    )


def _still(path: Path) -> Clip:
    picture, notes = read_still(path)
    height, width = picture.shape[:2]
    return Clip(
        open_frames=lambda start: FramesOfFiles(iter([picture][start:]), (path,)),
        width=width,
        height=height,
        frame_rate=DEFAULT_FRAME_RATE,
        frame_count=1,
        hash_of=cache(lambda: file_hash(path)),
        notes=lambda: notes,
        name=path.stem,
        path=path,
        sources=(path,),
    )


def load_speech(
    path: str | Path,
    *,
    start: float | Fraction = 0,
    duration: float | Fraction = 0,
    check: Callable[[], None] = lambda: None,
) -> Mel:
    """Return the audio of a file, prepared for lip-sync; otherwise as ``load_avatar``.

    start, duration: the part to use, seconds; duration 0 goes to the end.
    """
    begin, length = as_seconds("start", start), as_seconds("duration", duration)
    clip = read_audio(Path(path), start=begin, duration=length, check=check, whole=True)
    return prepare_mel(clip, check=check)


def as_seconds(name: str, value: float | Fraction) -> Fraction:
    """Return a time exactly as it was written: 0.1 is a tenth. Raises MediaError below 0."""
    try:
        seconds = value if isinstance(value, Fraction) else exact_number(str(value))
    except ValueError as error:
        raise MediaError(f"Expected {name} in seconds, got {value!r:.100}.") from error
    if seconds < 0:
        raise MediaError(f"Expected {name} of 0 or more seconds, got {value!s:.100}.")
    return seconds
