"""Frames, a VIDEO or a file as one finished file: what is encoded, and how it is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ..encoders.encoder import encode_frames
from ..encoders.interfaces import EncodingConfig
from ..encoders.metadata import GENERATED_NOTE, kept_tags
from ..encoders.read.video import VideoReader, open_video_file
from ..encoders.write.audio_track import mixed, track_of
from ..encoders.write.codecs import CONTAINERS, container_for, default_container
from ..encoders.write.make_plan import checked_target
from ..encoders.write.operations import replace_audio, transcode
from ..encoders.write.pixel_formats import keeps_alpha
from ..errors import EncodeError
from ..media import DEFAULT_FRAME_RATE, AudioClip, Clip, parse_frame_rate
from .streaming_video import StreamingVideo
from .tensors import check_images, float_frames
from .video_input import open_video

SILENT = ("gif", "webp")
COPY = "copy"

OnFrame = Callable[[int], None]


@dataclass(frozen=True, eq=False)
class VideoSource:
    """What is encoded.

    open_frames: returns an iterator over float32 0..1 or uint8 frames (H, W, 3 or 4).
    frame_rate: None leaves it to the configuration. path: its file, if it is one.
    name: for the result's own. tags: what its maker says of it.
    sources: files it is made from; no result may replace them.
    """

    name: str
    open_frames: Callable[[], Iterator[np.ndarray]]
    read_sound: Callable[[], AudioClip | None]
    width: int
    height: int
    frame_rate: Fraction | None
    frame_count: int
    has_alpha: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    path: Path | None = None
    sources: tuple[Path, ...] = ()


@dataclass(frozen=True)
class WrittenVideo:
    """A finished file, or for a sequence its folder. notes: what was done otherwise than asked."""

    path: Path
    notes: tuple[str, ...] = ()


def source_of(given: Any, *, temp_directory: Path) -> VideoSource:
    """Take an IMAGE, a VIDEO or the path of a video as what is encoded. Raises MediaError."""
    if isinstance(given, Path):
        return _source_of(open_video_file(given), given.stem, {})
    if hasattr(given, "shape"):
        return _images_source(given)
    return _video_source(given, temp_directory)


def _images_source(images: Any) -> VideoSource:
    check_images(images)
    count, height, width, channels = images.shape
    return VideoSource(
        name="images",
        open_frames=lambda: float_frames(images),
        read_sound=lambda: None,
        width=int(width),
        height=int(height),
        frame_rate=None,
        frame_count=int(count),
        has_alpha=channels == 4,
    )


def _video_source(video: Any, temp_directory: Path) -> VideoSource:
    taken = open_video(video, temp_directory=temp_directory)
    if isinstance(video, StreamingVideo):
        return _source_of(taken, "avatar", video.metadata)
    return _source_of(taken, taken.path.stem if taken.path else "video", {})


def _source_of(taken: Clip, name: str, tags: Mapping[str, str]) -> VideoSource:
    return VideoSource(
        name=name,
        open_frames=lambda: taken.open_frames(0),
        read_sound=taken.read_sound,
        width=taken.width,
        height=taken.height,
        frame_rate=taken.frame_rate,
        frame_count=taken.frame_count,
        has_alpha=taken.has_alpha,
        tags=tags,
        path=taken.path,
        sources=taken.sources,
    )


def container_of(source: VideoSource, config: EncodingConfig) -> str:
    """Return the container of the result: the one asked for, else what suits the codec."""
    if config.container != "auto":
        return config.container
    if config.codec != COPY or source.path is None:
        return default_container(config.codec)
    suffix = source.path.suffix
    return container_for(suffix, None) if suffix.lower().lstrip(".") in CONTAINERS else "mkv"


def file_tags(
    source: VideoSource, kept: Mapping[str, Any], *, save: bool, generated: bool
) -> dict[str, str]:
    """Return the tags for a source's file: its own, what is kept, and that a machine made it.

    kept: workflow, prompt and whatever else the host wants in the file, anything JSON holds; None
    is left out. save: False leaves only the note of ``generated``.
    """
    note = {"comment": _comment(source)} if generated else {}
    if not save:
        return note
    tags = {name: value for name, value in source.tags.items() if name != "comment"}
    tags |= {name: _as_text(value) for name, value in kept.items() if value is not None}
    return tags | note


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _comment(source: VideoSource) -> str:
    """Return our note, behind what a file already says."""
    if source.path is None:
        return GENERATED_NOTE
    own = kept_tags(VideoReader(source.path).metadata).get("comment", "")
    return own if GENERATED_NOTE in own else "; ".join(filter(None, [own, GENERATED_NOTE]))


def write_video(
    source: VideoSource,
    path: Path,
    config: EncodingConfig,
    *,
    sound: AudioClip | None = None,
    mix: bool = False,
    tags: dict[str, str] | None = None,
    sources: tuple[Path, ...] = (),
    on_frame: OnFrame | None = None,
) -> WrittenVideo:
    """Write one finished file. Raises MediaError and EncodeError.

    sound: takes the place of the source's own, or with ``mix`` is added to it. The codec "copy"
    keeps a file's pictures as they are. sources: further files that the result may not replace.
    """
    notes: tuple[str, ...] = ()
    sources = (*source.sources, *(sound.sources if sound is not None else ()), *sources)
    checked_target(path, config, sources=sources)
    if sound is not None and container_of(source, config) in SILENT:
        notes = (f"A {container_of(source, config)} has no sound: it was left out.",)
    if config.codec == COPY:
        if source.path is None:
            raise EncodeError(
                "Expected a video file whose pictures can be copied, got frames: choose another "
                "codec."
            )
        copied = replace_audio(
            source.path,
            sound,
            path,
            config,
            mix=mix,
            metadata=tags,
            sources=sources,
            on_frame=on_frame,
        )
        return WrittenVideo(path, (*notes, *copied.notes))
    if source.has_alpha and keeps_alpha(config, container_of(source, config)):
        config = replace(config, alpha=True)
    if source.path is not None:
        writer = transcode(
            source.path,
            path,
            config,
            audio=sound,
            mix=mix,
            metadata=tags,
            sources=sources,
            on_frame=on_frame,
        )
        return WrittenVideo(writer.path, (*notes, *writer.notes))
    result = encode_frames(
        source.open_frames(),
        path,
        frame_rate=_rate_of_frames(source, config),
        config=config,
        audio=_sound(source, sound, mix=mix),
        metadata=tags,
        sources=sources,
        on_frame=on_frame,
    )
    return WrittenVideo(result.output_path or path, (*notes, *result.notes))


def _sound(source: VideoSource, given: AudioClip | None, *, mix: bool) -> Any:
    if given is None:
        return source.read_sound()
    own = source.read_sound() if mix else None
    return given if own is None else mixed(track_of(own), track_of(given))


def _rate_of_frames(source: VideoSource, config: EncodingConfig) -> Fraction:
    wanted = None if config.fps is None else parse_frame_rate(config.fps)
    if source.frame_rate is None:
        return wanted or DEFAULT_FRAME_RATE
    if wanted not in (None, source.frame_rate):
        raise EncodeError(
            f"Expected fps 0 or the video's own {source.frame_rate}, got {wanted}: choose the rate "
            "where the video is made (fps of MuseTalk Lip Sync)."
        )
    return source.frame_rate
