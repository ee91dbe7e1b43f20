"""``avatar video``: make, encode and inspect single videos."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import re
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ..errors import AvatarVideoError, MediaError
from ..texts import exact_number
from .config_options import ConfigCommand, ConfigOptions
from .lipsync_options import lipsync_options, number_or_text
from .own_process import leave_busy_cpus
from .paths import FileToRead, FileToWrite
from .session import json_option, session, start_log, talk, verbose_option

if TYPE_CHECKING:
    from ..encoders.interfaces import EncodingConfig, EncodingResult, VideoEncoderInterface
    from ..host.contract import Host
    from ..host.machine import WorkOfOthers
    from ..musetalk.interfaces import LipSyncEngineInterface, LipSyncResult


_FILE, _RESULT = FileToRead(), FileToWrite()
_config_file = click.option(
    "--config",
    "config_file",
    type=FileToRead(exists=True, dir_okay=False),
    help="A TOML or JSON file with these options; options given here win.",
)


@click.group()
def video() -> None:
    """Make, encode and inspect single videos."""


def _encode_options() -> ConfigOptions:
    from ..encoders.interfaces import EncodingConfig
    from ..encoders.write.codec_options import parse_options

    readers = {
        "crf": _whole_number,
        "fps": number_or_text,
        "audio_bitrate": _bits_per_second,
        "codec_options": parse_options,
    }
    notation = {"audio_bitrate": "such as 192k", "codec_options": "as name=value,name=value"}
    return ConfigOptions(EncodingConfig, readers, notation)


def _whole_number(text: str) -> int:
    if not re.fullmatch(r"\s*[+-]?\d{1,9}\s*", text):
        raise ValueError(f"Expected --crf as a whole number, got {text[:60]!r}.")
    return int(text)


def _bits_per_second(text: str) -> int:
    number = re.fullmatch(r"\s*(\d{1,12}(?:\.\d{1,12})?)([kKmM]?)\s*", text)
    if number is None:
        raise ValueError(
            f"Expected --audio-bitrate in bits per second, such as 192k, got {text[:60]!r}."
        )
    return int(Fraction(number[1]) * {"k": 1000, "m": 1_000_000}.get(number[2].lower(), 1))


@video.command(cls=ConfigCommand, configuration=lipsync_options)
@click.argument("image", metavar="AVATAR", type=_FILE)
@click.argument("audio", type=_FILE)
@click.option(
    "-o",
    "--output",
    type=_RESULT,
    required=True,
    help="The video file to write; NAME.png writes a folder of PNG pictures.",
)
@click.option(
    "--face-at", metavar="X,Y", help="The face at this point speaks; the same as --face X,Y."
)
@_config_file
@json_option
@verbose_option
@click.pass_obj
def lipsync(
    others: WorkOfOthers | None,
    image: Path,
    audio: Path,
    output: Path,
    face_at: str | None,
    config_file: Path | None,
    as_json: bool,
    **given: Any,  # one for each option of LipSyncConfig
) -> None:
    """Make the person in AVATAR (a picture or a video) speak the words in AUDIO."""
    if face_at is not None:
        from ..musetalk.face.wish import is_point

        if given["face"] is not None:
            raise click.UsageError(
                "--face-at and --face both say who speaks: give only one of them."
            )
        if not is_point(face_at):
            raise click.UsageError(
                f"Expected --face-at as a point X,Y on the face, got {face_at!r}: "
                "--face takes names and numbers."
            )
        given["face"] = face_at
    config = lipsync_options().make(given, config_file)
    _check_output(output, [image, audio, *([config_file] if config_file else ())])
    with session() as host:
        from ..musetalk.engine import MuseTalkLipSync

        leave_busy_cpus(others)
        engine: LipSyncEngineInterface = MuseTalkLipSync(host=host)
        result = engine.generate(image, audio, output, config)
    if not result.success:
        raise AvatarVideoError(result.error or "The video was not made.")
    talk(f"Mode {result.mode}: {result.report.get('reason', '')}")
    for note in result.report.get("notes", ()):
        talk(note)
    click.echo(_as_json(result) if as_json else _made(result, result.mode))


class _Part(NamedTuple):
    """What of a video is encoded, or put under it instead. Seconds; a duration of 0: to the end."""

    start: Fraction
    duration: Fraction
    audio: Path | None
    mix: bool  # the video's own audio is heard as well


def _seconds(_context: click.Context, option: click.Parameter, text: str) -> Fraction:
    try:
        seconds = exact_number(text)
    except ValueError as error:
        raise click.UsageError(
            f"Expected {option.opts[0]} in seconds, got {text[:100]!r}."
        ) from error
    if seconds < 0:
        raise click.UsageError(f"Expected {option.opts[0]} of 0 or more seconds, got {text!r}.")
    return seconds


_seconds_option = functools.partial(click.option, default="0", callback=_seconds, metavar="SECONDS")


@video.command(cls=ConfigCommand, configuration=_encode_options)
@click.argument("source", metavar="INPUT", type=_FILE)
@click.option(
    "-o",
    "--output",
    type=_RESULT,
    required=True,
    help="The file or folder to write; NAME.png makes a folder of PNG pictures.",
)
@_seconds_option("--start", help="Where to begin.")
@_seconds_option("--duration", help="How much to encode; 0 goes to the end.")
@click.option(
    "--audio",
    type=_FILE,
    help="Replace the video's sound with this file's. The pictures are copied, not encoded: they "
    "keep their codec, HDR, interlacing and rotation.",
)
@click.option("--mix", is_flag=True, help="Add the sound of --audio to the video's own.")
@click.option("--format", "chosen", metavar="user/NAME", help="Your own format, a JSON file.")
@_config_file
@json_option
@verbose_option
def encode(
    source: Path,
    output: Path,
    chosen: str | None,
    config_file: Path | None,
    as_json: bool,
    **given: Any,  # the options above, and one for each of EncodingConfig
) -> None:
    """Re-encode a video or a part of it, or replace its sound.

    If INPUT is a folder, every video in it is encoded into the folder --output. If there are
    several tracks, the default ones are used. Pictures come out upright, as players show them.
    """
    part = _Part(*(given.pop(name) for name in _Part._fields))
    if part.mix and part.audio is None:
        raise click.UsageError("--mix adds the sound of --audio: give both.")
    config = _encode_options().make(given, config_file)
    if part.audio is not None and (part.start or part.duration):
        raise click.UsageError("--audio copies all pictures: leave out --start and --duration.")
    from ..encoders.write.custom_formats import format_file, read_format, with_format

    files = [file for file in (part.audio, config_file) if file is not None]
    with session() as host:
        if chosen is not None:
            config = with_format(config, read_format(host.formats_directory, chosen))
            files.append(format_file(host.formats_directory, chosen))
        pairs = _inputs_and_outputs(source, output, config)
        files += [file for file, _target in pairs]
        failures: list[str | None] = []
        for file, target in pairs:
            result = _encode_one(host, file, target, config, part, files)
            if not result.success:
                failures.append(f"{file.name}: {result.error}" if len(pairs) > 1 else result.error)
                continue
            for note in result.notes:
                talk(note)
            click.echo(_as_json(result) if as_json else _made(result, result.codec))
    if failures:
        raise AvatarVideoError(" ".join(filter(None, failures)) or "The video was not written.")


def _inputs_and_outputs(
    source: Path, output: Path, config: EncodingConfig
) -> list[tuple[Path, Path]]:
    """Return what is to be encoded and where: one file, or every video of a folder."""
    if not source.is_dir():
        return [(source, output)]
    from ..encoders.write.codecs import default_container
    from ..encoders.write.output_names import make_folder
    from ..nodes.widgets import videos_in

    make_folder(output)
    auto = config.container == "auto"
    suffix = default_container(config.codec) if auto else config.container
    named: dict[str, tuple[Path, Path]] = {}  # by names that differ in more than case
    for file in videos_in(source):
        full = file.name.replace(".", "_")  # a.mov beside a.mkv
        numbered = (f"{full}_{number}" for number in itertools.count(2))
        stems = itertools.chain((file.stem, full), numbered)
        stem = next(stem for stem in stems if stem.casefold() not in named)
        named[stem.casefold()] = (file, output / f"{stem}.{suffix}")
    return list(named.values())


def _encode_one(
    host: Host,
    source: Path,
    output: Path,
    config: EncodingConfig,
    part: _Part,
    sources: list[Path],
) -> EncodingResult:
    from ..encoders.encoder import FFmpegEncoder
    from ..encoders.interfaces import EncodingResult
    from ..encoders.read.probe import probe

    try:
        count = probe(source).frame_count
    except MediaError as error:
        return EncodingResult(success=False, error=str(error))
    with host.progress(count, "Encoding") as bar:
        encoder: VideoEncoderInterface = FFmpegEncoder(on_frame=bar.update, sources=sources)
        if part.audio is not None:
            return encoder.add_audio(source, part.audio, output, config, mix=part.mix)
        return encoder.trim(source, output, part.start, part.duration, config)


def _check_output(path: Path, sources: list[Path]) -> None:
    """Refuse a file that cannot be written, or is a source, before anything is computed for it."""
    from ..encoders.interfaces import EncodingConfig
    from ..encoders.write.make_plan import checked_target
    from ..headless.run import check_output_folder

    _, target = checked_target(path, EncodingConfig(), sources=sources)
    check_output_folder(target.parent)


def _as_json(result: LipSyncResult | EncodingResult) -> str:
    return json.dumps(dataclasses.asdict(result), indent=2, default=str)


def _made(result: LipSyncResult | EncodingResult, how: str) -> str:
    width, height = result.resolution
    path = result.output_path
    what = " (a folder of PNG pictures)" if path is not None and path.is_dir() else ""
    return (
        f"{path}{what}: {how}, {result.frame_count} frames of {width}x{height} at "
        f"{result.fps:g} fps, {result.duration_seconds:.2f} s, "
        f"made in {result.processing_seconds:.1f} s"
    )


@video.command()
@click.argument("file", type=_FILE)
@json_option
@click.option("--exact-count", is_flag=True, help="Count the frames by reading the file through.")
@click.option("--loudness", is_flag=True, help="Measure the loudness of each audio stream.")
@click.option(
    "-v",
    "--verbose",
    count=True,
    callback=start_log,
    help="Do both, which reads the whole file.",
)
def info(file: Path, as_json: bool, exact_count: bool, loudness: bool, verbose: int) -> None:
    """Show what is in a video FILE."""
    from ..encoders.read.probe import probe, table

    found = probe(
        file,
        exact_count=exact_count or verbose > 0,
        measure_loudness=loudness or verbose > 0,
    )
    click.echo(json.dumps(found.as_dict(), indent=2) if as_json else table(found))
