"""Encode, resize, trim or copy video files, also with other audio, a frame at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer

from ...errors import EncodeError
from ...media import AudioClip, parse_frame_rate
from ..color import is_transparent
from ..interfaces import EncodingConfig, EncodingResult
from ..metadata import kept_tags
from ..read.audio import AudioTrack, decode_audio
from ..read.cut_short import is_cut_short
from ..read.open import checked_input, open_media
from ..read.tracks import picture_note, sound_note, usual_audio
from ..read.video import DEINTERLACED, UNREAD_ALPHA, VideoReader
from .audio_packets import AudioPackets, copyable_audio
from .audio_track import mixed, track_of
from .make_plan import checked_target
from .output_file import MOV_FAMILY
from .partial import concluded, lacking_sound, may_lack_sound, working_target
from .plan import Extras, PictureFacts
from .remux import copy_pictures
from .section_packets import SectionPackets
from .timing import WHOLE, Section, Timed, at_constant_rate, section_end, timed_frames
from .writer import VideoWriter

Audio = AudioTrack | AudioPackets | None
NewAudio = str | Path | AudioClip | None
ABOUT_PICTURES = (  # options that change nothing where pictures are copied
    *("quality", "preset", "crf", "codec", "fps", "bit_depth", "width", "height"),
    *("backend", "pixel_format", "codec_options", "pingpong"),
)
LEAST_CUT = Fraction(1, 20)  # seconds of sound; less is the priming of a codec


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
        sound = _Sound(path, holder, config, section, reader.begins)
        heard = None
        if audio is not None or reader.has_audio:
            heard = sound.open(stack, audio, mix=mix)
        named = output
        if reader.ends_early or may_lack_sound(heard):
            output = working_target(output, config, extras, holder)
        keeps_timing = config.variable_rate == "keep" and reader.is_variable_rate and not config.fps
        usual = reader.frame_rate if keeps_timing else reader.steady_rate
        rate = parse_frame_rate(config.fps) if config.fps else usual
        time_base = reader.time_base if keeps_timing else None
        size, fields = (reader.width, reader.height), reader.field_order if reader.is_plain else 0
        pictures = PictureFacts(size, rate, time_base, reader.colors, fields)
        extras = _with_tags(extras, reader.metadata, config)
        writer = VideoWriter(output, pictures, config, heard, extras, container=holder)
        for note in (*_notes(reader, of_tracks=audio is None or mix), *sound.notes):
            writer.note(note)
        stack.enter_context(writer)
        keeps_fields = bool(writer.plan.field_order)
        frames = timed_frames(reader, section, keeps_fields=keeps_fields)
        stack.callback(frames.close)
        _write_all(
            writer, reader, _at_rate(frames, reader, section, None if keeps_timing else rate)
        )
        for note in _late_notes(reader, keeps_fields=keeps_fields):
            writer.note(note)
    lacks = _lacks(path, heard, pictures=reader.ends_early and reader.ran_out)
    return concluded(writer.written, named, config, extras, lacks)


def _notes(reader: VideoReader, *, of_tracks: bool) -> Iterator[str]:
    if reader.unread_alpha:
        yield UNREAD_ALPHA
    yield from filter(None, (reader.profile.note, reader.missing_note))
    yield from reader.track_notes(sound=of_tracks)


def _late_notes(reader: VideoReader, *, keeps_fields: bool) -> Iterator[str]:
    """Yield what is known only when all pictures were read."""
    if keeps_fields:
        yield "The pictures stay interlaced."
    elif reader.is_interlaced:
        yield DEINTERLACED
    if reader.held_note:
        yield reader.held_note


def _at_rate(
    frames: Iterable[Timed[av.VideoFrame]],
    reader: VideoReader,
    section: Section,
    rate: Fraction | None,
) -> Iterable[tuple[Fraction | None, av.VideoFrame]]:
    """Return frames at a constant rate, without times; None keeps their times."""
    if rate is None:
        return frames
    if rate == reader.frame_rate and not reader.is_variable_rate:
        return ((None, frame) for _time, frame in frames)
    steady = at_constant_rate(frames, rate, section_end(reader, section))
    return ((None, frame) for frame in steady)


def _lacks(source: Path, audio: Audio, *, pictures: bool) -> str:
    """Say what is missing of a source. pictures: whether that is the end of these."""
    if pictures:
        return f"Expected the whole of {source.name!r}, but its end is missing"
    return lacking_sound(audio)


def _write_all(
    writer: VideoWriter,
    reader: VideoReader,
    frames: Iterable[tuple[Fraction | None, av.VideoFrame]],
) -> None:
    deep = reader.is_deep and writer.takes_deep
    keeps_light = writer.plan.colors.is_hdr
    to_rgb = reader.converter(deep=deep, keeps_light=keeps_light)
    direct = writer.takes_decoded(alpha=reader.has_alpha) and reader.orientation.is_upright
    if not keeps_light and reader.light.note:
        writer.note(reader.light.note)
        direct = False
    if reader.profile.mapping is not None:
        direct = False

    def write(timed: tuple[Fraction | None, av.VideoFrame], held: bool) -> None:
        time, frame = timed
        shown = None if held else time
        if direct and (reader.has_alpha or not is_transparent(frame)):
            writer.write_decoded(frame, shown)
        else:
            writer.write(to_rgb(frame), shown)

    writer.write_all(frames, write)


def check_length_of_copies(config: EncodingConfig) -> None:
    """Raise EncodeError where pictures would have to be held."""
    if config.length in ("audio", "freeze"):
        raise EncodeError(
            f"Expected length keep, video or shortest where pictures are copied, got "
            f"{config.length!r}: holding a picture needs re-encoding."
        )


def _unused_note(config: EncodingConfig, copied: EncodingResult) -> str:
    """Name the options that ask for other pictures than those copied; empty for none."""
    width, height = copied.resolution
    rate = float(parse_frame_rate(config.fps)) if config.fps else copied.fps
    asked = vars(config) | {"fps": rate}
    usual = vars(EncodingConfig())
    own = {"codec": "copy", "width": width, "height": height, "fps": copied.fps}
    unused = [n for n in ABOUT_PICTURES if asked[n] not in (usual[n], own.get(n))]
    return f"Ignored, because the pictures are copied: {', '.join(unused)}." if unused else ""


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
    check_length_of_copies(config)
    with contextlib.ExitStack() as stack:
        pictures = stack.enter_context(open_media(video))
        packets = SectionPackets(pictures, section)
        ends_early = is_cut_short(pictures, packets.stream)
        sound = _Sound(video, holder, config, section, packets.begins, from_zero=True)
        heard = sound.open(stack, audio, mix=mix)
        named = output
        if ends_early or may_lack_sound(heard):
            output = working_target(output, config, extras, holder)
        own_sound = audio is None or mix
        taken = (picture_note(pictures), sound_note(pictures) if own_sound else "")
        made = copy_pictures(
            packets,
            heard,
            output=output,
            holder=holder,
            config=config,
            extras=_with_tags(extras, pictures.metadata, config),
        )
    lacks = _lacks(video, heard, pictures=ends_early and packets.ran_out)
    made = concluded(made, named, config, extras, lacks)
    said = filter(None, (*taken, _unused_note(config, made)))
    return replace(made, notes=(*made.notes, *sound.notes, *said))


@dataclass
class _Sound:
    """The audio of a result.

    zero: when the video's pictures begin in its own time, seconds. from_zero: those of the result
    begin there too, at a key frame before the section's start.
    """

    video: Path
    holder: str
    config: EncodingConfig
    section: Section
    zero: Fraction | None = None
    from_zero: bool = False
    notes: list[str] = field(default_factory=list[str])

    def open(self, stack: contextlib.ExitStack, audio: NewAudio, *, mix: bool) -> Audio:
        """Open it; the stack closes what it is read from."""
        given: Audio = None
        may_copy = audio is None or not mix
        if isinstance(audio, AudioClip):
            given = track_of(audio)
        elif audio is not None:
            path = checked_input(audio)
            container = stack.enter_context(open_media(path))
            if taken := sound_note(container):
                self.notes.append(f"{taken.removesuffix('.')}, from {path.name!r}.")
            given = self._of(container, path, WHOLE, may_copy)
        if given is not None and not mix:
            return given
        container = stack.enter_context(open_media(self.video))
        if usual_audio(container) is None:
            return given
        own = self._of(container, self.video, self.section, may_copy)
        if isinstance(own, AudioTrack) and isinstance(given, AudioTrack):
            return mixed(own, given)
        return own

    def _of(self, container: InputContainer, path: Path, part: Section, may_copy: bool) -> Audio:
        zero = self.zero if path == self.video else None
        if may_copy and part.is_whole:
            copied = copyable_audio(container, self.config, self.holder, zero)
            if copied is not None:
                if self.holder in MOV_FAMILY:  # which hide it; others let the pictures begin later
                    self._note_cut(path, copied.before)
                return copied
        start = Fraction(0) if self.from_zero else part.start
        duration = part.duration
        track = decode_audio(container, path.name, start=start, duration=duration, zero=zero)
        if not part.start:
            self._note_cut(path, track.cut)
        return track

    def _note_cut(self, path: Path, cut: Fraction) -> None:
        early = f"{float(cut):.2f} s of sound of {path.name}"
        note = f"{early} were left out: they come before the first picture."
        if cut >= LEAST_CUT and note not in self.notes:  # a file may also be mixed with itself
            self.notes.append(note)


def _with_tags(extras: Extras, tags: Mapping[str, str], config: EncodingConfig) -> Extras:
    own = kept_tags(tags) if config.save_metadata else {}
    return replace(extras, metadata={**own, **extras.metadata})


def _with_files(extras: Extras | None, video: Path, audio: NewAudio) -> Extras:
    """Add the files that a result is made from."""
    extras, heard = extras or Extras(), ()
    if audio is not None:
        heard = audio.sources if isinstance(audio, AudioClip) else (Path(audio),)
    return replace(extras, sources=(video, *heard, *extras.sources))
