"""Encode, resize, trim or copy video files, also with other audio, a frame at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer

from ...errors import EncodeError
from ...media import AudioClip, parse_frame_rate
from ..color import RgbConverter
from ..interfaces import EncodingConfig, EncodingResult
from ..metadata import kept_tags
from ..read.audio import AudioTrack, decode_audio, first_audio
from ..read.open import checked_input, open_media
from ..read.video import VideoReader
from .audio_packets import AudioPackets, copyable_audio
from .audio_track import mixed, track_of
from .make_plan import checked_target
from .plan import Extras, PictureFacts
from .remux import copy_pictures
from .timing import WHOLE, Section, at_constant_rate, section_end, timed_frames
from .writer import VideoWriter

Audio = AudioTrack | AudioPackets | None
NewAudio = str | Path | AudioClip | None


def transcode(
    source: str | Path | VideoReader,
    output: str | Path,
    config: EncodingConfig,
    *,
    audio: NewAudio = None,
    mix: bool = False,
    section: Section = WHOLE,
    extras: Extras | None = None,
) -> EncodingResult:
    """Encode a video again, audio included.

    source: a file, or its reader, which the caller closes.
    audio: a file or clip that replaces the audio, or with ``mix`` is added to it.
    section: the part to take. extras: tags besides the source's, and files besides those given
    that the result may not replace.
    Raises MediaError and EncodeError.
    """
    path = source.path if isinstance(source, VideoReader) else checked_input(source)
    extras = _with_files(extras, path, audio)
    holder, output = checked_target(output, config, sources=extras.sources)
    with contextlib.ExitStack() as stack:
        if isinstance(source, VideoReader):
            reader = source
        else:
            reader = stack.enter_context(contextlib.closing(VideoReader(path, stays_open=True)))
        heard = None
        if audio is not None or reader.has_audio:
            heard = _audio(stack, path, holder, audio, config, mix=mix, section=section)
        keeps_timing = config.variable_rate == "keep" and reader.is_variable_rate and not config.fps
        usual = reader.frame_rate if keeps_timing else reader.steady_rate
        rate = parse_frame_rate(config.fps) if config.fps else usual
        time_base = reader.time_base if keeps_timing else None
        pictures = PictureFacts((reader.width, reader.height), rate, time_base, reader.colors)
        extras = _with_tags(extras, reader.metadata, config)
        writer = VideoWriter(output, pictures, config, heard, extras, container=holder)
        if reader.unread_alpha:
            writer.note("The transparency was left out: that of VP8 and VP9 cannot be read.")
        if reader.audio_streams > 1 and audio is None:
            writer.note(f"Of {reader.audio_streams} sound tracks the first was taken.")
        stack.enter_context(writer)
        frames = timed_frames(reader, section)
        stack.callback(frames.close)
        timed: Iterable[tuple[Fraction | None, av.VideoFrame]] = frames
        if not keeps_timing and (rate != reader.frame_rate or reader.is_variable_rate):
            steady = at_constant_rate(frames, rate, section_end(reader, section))
            timed = ((None, frame) for frame in steady)
        elif not keeps_timing:
            timed = ((None, frame) for _time, frame in frames)
        _write_all(writer, reader, timed)
    return writer.written


def _write_all(
    writer: VideoWriter,
    reader: VideoReader,
    frames: Iterable[tuple[Fraction | None, av.VideoFrame]],
) -> None:
    deep = reader.is_deep and writer.takes_deep
    to_rgb = RgbConverter(*reader.size, transparent=reader.has_alpha, deep=deep)
    direct = writer.takes_decoded(alpha=reader.has_alpha) and not reader.rotation

    def write(timed: tuple[Fraction | None, av.VideoFrame], held: bool) -> None:
        time, frame = timed
        shown = None if held else time
        if direct:
            writer.write_decoded(frame, shown)
        else:
            writer.write(to_rgb(frame), shown)

    writer.write_all(frames, write)


def replace_audio(
    video: str | Path,
    audio: NewAudio,
    output: str | Path,
    config: EncodingConfig,
    *,
    mix: bool = False,
    section: Section = WHOLE,
    extras: Extras | None = None,
) -> EncodingResult:
    """Give a video other audio and copy its pictures' packets as they are.

    audio: None keeps the video's own, ``mix`` adds to it. section: begins at the key frame before
    its start. extras: as in ``transcode``. Raises MediaError and EncodeError.
    """
    video = checked_input(video)
    extras = _with_files(extras, video, audio)
    holder, output = checked_target(output, config, sources=extras.sources)
    if config.length in ("audio", "freeze"):
        raise EncodeError(
            f"Expected length keep, video or shortest where pictures are copied, got "
            f"{config.length!r}: only encoding again can hold a picture."
        )
    with contextlib.ExitStack() as stack:
        pictures = stack.enter_context(open_media(video))
        heard = _audio(stack, video, holder, audio, config, mix=mix, section=section)
        return copy_pictures(
            pictures,
            heard,
            output=output,
            holder=holder,
            config=config,
            section=section,
            extras=_with_tags(extras, pictures.metadata, config),
        )


def _audio(
    stack: contextlib.ExitStack,
    video: Path,
    holder: str,
    audio: NewAudio,
    config: EncodingConfig,
    *,
    mix: bool,
    section: Section,
) -> Audio:
    """Open the audio of the result; the stack closes what it is read from."""
    may_copy = audio is None or not mix

    def audio_of(container: InputContainer, path: Path, part: Section) -> Audio:
        copied = copyable_audio(container, config, holder) if may_copy and part.is_whole else None
        start, duration = part.start, part.duration
        return copied or decode_audio(container, path.name, start=start, duration=duration)

    given: Audio = None
    if isinstance(audio, AudioClip):
        given = track_of(audio)
    elif audio is not None:
        path = checked_input(audio)
        given = audio_of(stack.enter_context(open_media(path)), path, WHOLE)
    if given is not None and not mix:
        return given
    container = stack.enter_context(open_media(video))
    if first_audio(container) is None:
        return given
    own = audio_of(container, video, section)
    if isinstance(own, AudioTrack) and isinstance(given, AudioTrack):
        return mixed(own, given)
    return own


def _with_tags(extras: Extras, tags: Mapping[str, str], config: EncodingConfig) -> Extras:
    own = kept_tags(tags) if config.save_metadata else {}
    return replace(extras, metadata={**own, **extras.metadata})


def _with_files(extras: Extras | None, video: Path, audio: NewAudio) -> Extras:
    """Add the files that a result is made from."""
    extras, heard = extras or Extras(), ()
    if audio is not None:
        heard = audio.sources if isinstance(audio, AudioClip) else (Path(audio),)
    return replace(extras, sources=(video, *heard, *extras.sources))
