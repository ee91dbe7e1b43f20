"""What FFmpegEncode does: an IMAGE, a VIDEO or a file becomes one finished video file."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from ..encoders.encoder import encode_frames
from ..encoders.interfaces import EncodingConfig
from ..encoders.metadata import GENERATED_NOTE, as_tags
from ..encoders.read.audio import AudioTrack
from ..encoders.read.file_clip import FileClip
from ..encoders.write.audio_track import mixed, track_of
from ..encoders.write.codecs import CONTAINERS, container_for, default_container
from ..encoders.write.make_plan import checked_target
from ..encoders.write.operations import replace_audio, transcode
from ..encoders.write.pixel_formats import keeps_alpha
from ..encoders.write.plan import Extras
from ..errors import EncodeError
from ..media import DEFAULT_FRAME_RATE, AudioClip, Clip, parse_frame_rate
from .video_input import open_clip
from .widgets import Values

SILENT = ("gif", "webp")
COPY = "copy"
ONE_SOURCE = (
    "Expected either images or a video: link exactly one of them, or enter the path of a video "
    "file."
)


@dataclass(frozen=True)
class WrittenVideo:
    """A finished file, or a PNG sequence's folder. notes: what was done differently than asked."""

    path: Path
    notes: tuple[str, ...] = ()


def source_of(given: object, config: EncodingConfig, *, temp_directory: Path) -> Clip:
    rate = DEFAULT_FRAME_RATE if config.fps is None else parse_frame_rate(config.fps)
    at_once = config.codec != COPY
    clip = open_clip(given, temp_directory=temp_directory, frame_rate=rate, for_encoding=at_once)
    return replace(clip, name="images") if hasattr(given, "shape") else clip


def container_of(source: Clip, config: EncodingConfig) -> str:
    """Return the container of the result: the one asked for, else what suits the codec."""
    if config.container != "auto":
        return config.container
    if config.codec != COPY or source.path is None:
        return default_container(config.codec)
    suffix = source.path.suffix
    return container_for(suffix, None) if suffix.lower().lstrip(".") in CONTAINERS else "mkv"


def no_pictures_to_copy() -> EncodeError:
    return EncodeError(
        "Expected a video file whose pictures can be copied, got frames: choose a codec other "
        "than copy."
    )


def file_tags(source: Clip, kept: Values | None, *, generated: bool) -> dict[str, str]:
    """Return the tags for a source's file: its own, those kept, and that it is AI-generated.

    kept: workflow, prompt and whatever else the host wants in the file, anything JSON holds; None
    leaves the source's tags out too.
    """
    own = source.tags.get("comment", "")
    if GENERATED_NOTE not in own:
        own = "; ".join(filter(None, [own, GENERATED_NOTE]))
    note = {"comment": own} if generated else {}
    if kept is None:
        return note
    tags = {name: value for name, value in source.tags.items() if name != "comment"}
    return tags | as_tags(kept) | note


def write_video(
    source: Clip,
    path: Path,
    config: EncodingConfig,
    *,
    audio: AudioClip | None = None,
    mix: bool = False,
    extras: Extras | None = None,
) -> WrittenVideo:
    """Write one finished file. Raises MediaError and EncodeError.

    audio: replaces the source's own, or with ``mix`` is added to it. The codec "copy" keeps a
    file's pictures as they are. extras: tags, and what is called after each frame.
    """
    extras = extras or Extras()
    sources = (*source.sources, *(audio.sources if audio is not None else ()))
    checked_target(path, config, sources=sources)
    container = container_of(source, config)
    notes: tuple[str, ...] = ()
    if audio is not None and container in SILENT:
        notes = (f"A {container} cannot hold sound: it was left out.",)
    extras = replace(extras, sources=(*extras.sources, *sources))
    if config.codec == COPY:
        if source.path is None:
            raise no_pictures_to_copy()
        done = replace_audio(source.path, audio, path, config, mix=mix, extras=extras)
        return WrittenVideo(path, (*notes, *done.notes))
    if source.has_alpha and keeps_alpha(config, container):
        config = replace(config, alpha=True)
    if isinstance(source, FileClip):
        with contextlib.closing(source.reader) as reader:
            done = transcode(reader, path, config, audio=audio, mix=mix, extras=extras)
        return WrittenVideo(done.output_path or path, (*notes, *done.notes))
    result = encode_frames(
        source.frames(),
        path,
        frame_rate=_rate_of_frames(source, config),
        config=config,
        audio=_audio(source, audio, mix=mix),
        metadata=dict(extras.metadata),
        sources=sources,
        on_frame=extras.on_frame,
        on_picture=extras.on_picture,
    )
    return WrittenVideo(result.output_path or path, (*notes, *result.notes))


def _audio(source: Clip, given: AudioClip | None, *, mix: bool) -> AudioClip | AudioTrack | None:
    if given is None:
        return source.read_audio()
    own = source.read_audio() if mix else None
    return given if own is None else mixed(track_of(own), track_of(given))


def _rate_of_frames(source: Clip, config: EncodingConfig) -> Fraction:
    wanted = None if config.fps is None else parse_frame_rate(config.fps)
    if wanted not in (None, source.frame_rate):
        raise EncodeError(
            f"Expected fps 0 or the video's own {source.frame_rate}, got {wanted}: choose the rate "
            "where the video is made (fps of MuseTalk Lip Sync)."
        )
    return source.frame_rate
