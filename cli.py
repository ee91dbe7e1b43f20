"""The command ``avatar``: arguments in, one call, an exit code out. The only place that prints.

Results go to stdout, talk to stderr. Exit codes: 0 done, 1 an error of ours (one line on stderr),
2 wrong usage, 130 stopped by Ctrl-C (143 by a termination signal), nothing half-written left.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import signal
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import __version__
from .config_options import ConfigCommand, ConfigOptions
from .errors import AvatarVideoError, Cancelled, GraphError

if TYPE_CHECKING:
    from .encoders.interfaces import EncodingResult
    from .headless import Setting, Workflow, WorkflowResult
    from .host import StandaloneHost
    from .musetalk.interfaces import LipSyncResult

PROGRAM = "avatar"
FAILED, INTERRUPTED = 1, 130
SIGNALLED = 128  # plus the signal's number: what a shell reports
_FILE = click.Path(path_type=Path)
_EXISTING_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_EXISTING_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    try:
        code = avatar.main(arguments, prog_name=PROGRAM, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except (AvatarVideoError, OSError) as error:
        click.echo(f"Error: {' '.join(str(error).split())}", err=True)
        return FAILED
    finally:
        _end_log()
    return code if isinstance(code, int) else 0


class _ToStderr(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        click.echo(f"{record.name.removeprefix('avatarvideo.')}: {record.getMessage()}", err=True)


def _start_log(_context: click.Context, _parameter: click.Parameter, verbosity: int) -> int:
    _end_log()
    logger = logging.getLogger("avatarvideo")
    handler = _ToStderr()
    # An error is said once, by ``main``.
    handler.addFilter(lambda record: record.levelno < logging.ERROR)
    logger.addHandler(handler)
    logger.setLevel((logging.WARNING, logging.INFO, logging.DEBUG)[min(verbosity, 2)])
    return verbosity


def _end_log() -> None:
    logger = logging.getLogger("avatarvideo")
    for handler in [h for h in logger.handlers if isinstance(h, _ToStderr)]:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)


_verbose = click.option(
    "-v",
    "--verbose",
    count=True,
    expose_value=False,
    is_eager=True,
    callback=_start_log,
    help="Say on stderr what happens; twice says more.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
_config_file = click.option(
    "--config",
    "config_file",
    type=_EXISTING_FILE,
    help="A TOML or JSON file with these options; options given here win.",
)


@contextlib.contextmanager
def _host(**folders: Path | None) -> Iterator[StandaloneHost]:
    """Be the host of one command: its folders, a progress bar, a cancel by signal."""
    from .host import StandaloneHost, set_host

    with tempfile.TemporaryDirectory(prefix="avatarvideo-", ignore_cleanup_errors=True) as temp:
        host = StandaloneHost(temp_directory=Path(temp), show_progress=None, **folders)
        set_host(host)
        received: list[int] = []
        try:
            with _signals(host, received):
                yield host
        except Cancelled:
            click.echo("Stopped; nothing half-written was left.", err=True)
            raise click.exceptions.Exit(SIGNALLED + received[0] if received else FAILED) from None
        finally:
            set_host(None)


@contextlib.contextmanager
def _signals(host: StandaloneHost, received: list[int]) -> Iterator[None]:
    def stop(number: int, _frame: object) -> None:
        received.append(number)
        signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once
        host.cancel()

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name=PROGRAM)
def avatar() -> None:
    """Make a portrait speak: a picture or video of a person plus speech in, a video out."""


@avatar.command()
@click.argument("workflows", nargs=-1, required=True, type=_FILE, metavar="WORKFLOW.json...")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NODE.INPUT=VALUE",
    help="Change an input; NODE is an id, a title or a class. May be repeated.",
)
@click.option("--input-dir", type=_EXISTING_FOLDER, help="Where files are looked for [default: .]")
@click.option("--output-dir", type=_FILE, help="Where results go [default: output]")
@click.option(
    "--server",
    "servers",
    multiple=True,
    metavar="URL",
    help="Run on this ComfyUI server instead; repeated, they share the workflows.",
)
@_json
@_verbose
def run(
    workflows: tuple[Path, ...],
    settings: tuple[str, ...],
    input_dir: Path | None,
    output_dir: Path | None,
    servers: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run ComfyUI workflows, in the editor's or the API's format, without ComfyUI."""
    from .headless import Setting

    try:
        changes = [Setting.parse(text) for text in settings]
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    with _host(input_directory=input_dir, output_directory=output_dir) as host:
        if servers:
            raise GraphError("Sending workflows to a server is not there yet.")
        _run_here(host, workflows, changes, as_json)


def _run_here(
    host: StandaloneHost, paths: Sequence[Path], changes: Sequence[Setting], as_json: bool
) -> None:
    from .graph import NodeEvent, ResultCache
    from .headless import load_workflow, node_table, run_workflow
    from .prompt import definitions

    nodes, display_names = node_table()
    declared = definitions(nodes, display_names)

    def announce(event: NodeEvent) -> None:
        if event.kind != "start" and not declared[event.class_type].is_output:
            for text in event.ui.get("text", ()):
                click.echo(f"{declared[event.class_type].display_name}: {text}", err=True)

    cache = ResultCache() if len(paths) > 1 else None
    for path in paths:
        workflow = load_workflow(path, declared, changes)
        result = run_workflow(workflow, host, nodes, on_event=announce, cache=cache)
        _print_workflow_result(workflow, result, as_json)


def _print_workflow_result(workflow: Workflow, result: WorkflowResult, as_json: bool) -> None:
    from .prompt import describe

    if as_json:
        click.echo(json.dumps(dataclasses.asdict(result), indent=2, default=str))
    else:
        for text in (text for texts in result.texts.values() for text in texts):
            click.echo(text)
        for file in result.files:
            click.echo(file)
    if result.blocked:
        raise GraphError(
            "; ".join(f"{describe(workflow.prompt, n)}: {why}" for n, why in result.blocked.items())
        )


@avatar.group()
def video() -> None:
    """Make, encode and inspect single videos."""


def _lipsync_options() -> ConfigOptions:
    from .musetalk.interfaces import CHOICES, LipSyncConfig
    from .nodes import AudioToMel, LoadAvatar, MuseTalkLipSync

    helps = _tooltips(LoadAvatar, AudioToMel, MuseTalkLipSync)
    readers = {"mouth": _corners, "fps": _number_or_text}
    return ConfigOptions(LipSyncConfig, CHOICES, helps, readers)


def _encode_options() -> ConfigOptions:
    from .encoders.interfaces import QUALITIES, EncodingConfig
    from .nodes import FFmpegEncode

    helps = _tooltips(FFmpegEncode) | {
        "preset": "The codec's own preset, instead of the quality's.",
        "crf": "The codec's own quality number, lower is better, instead of the quality's.",
        "fps": "Frames per second of the result; the input's own unless given.",
        "audio_bitrate": "Bits per second of the sound, such as 192k.",
    }
    readers = {"crf": int, "fps": _number_or_text, "audio_bitrate": _bits_per_second}
    return ConfigOptions(EncodingConfig, {"quality": QUALITIES}, helps, readers)


def _tooltips(*nodes: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for node in nodes:
        for name, (_kind, options) in node.INPUT_TYPES()["required"].items():
            found[name] = options.get("tooltip", "")
    return found


def _corners(text: str) -> Any:
    from .inputs import parse_corners  # loads torch, which --help must not wait for

    return parse_corners(text)


def _number_or_text(text: str) -> int | float | str:
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        return text


def _bits_per_second(text: str) -> int:
    factors = {"k": 1000, "m": 1_000_000}
    factor = factors.get(text[-1:].lower())
    return int(text) if factor is None else int(float(text[:-1]) * factor)


@video.command(cls=ConfigCommand, configuration=_lipsync_options)
@click.argument("image", type=_FILE)
@click.argument("audio", type=_FILE)
@click.option("-o", "--output", type=_FILE, required=True, help="The video file to write.")
@_config_file
@_json
@_verbose
def lipsync(
    image: Path,
    audio: Path,
    output: Path,
    config_file: Path | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Let the person in IMAGE (a picture or a video) speak the sound of AUDIO."""
    config = _lipsync_options().make(given, config_file)
    from .encoders.outputs import checked_output

    checked_output(output)
    with _host() as host:
        from .musetalk.engine import MuseTalkLipSync

        result = MuseTalkLipSync(host=host).generate(image, audio, output, config)
    if not result.success:
        raise AvatarVideoError(result.error or "The video was not made.")
    click.echo(f"Mode {result.mode}: {result.report.get('reason', '')}", err=True)
    click.echo(_as_json(result) if as_json else _made(result, result.mode))


@video.command(cls=ConfigCommand, configuration=_encode_options)
@click.argument("source", metavar="INPUT", type=_FILE)
@click.option("-o", "--output", type=_FILE, required=True, help="The video file to write.")
@click.option("--size", metavar="WIDTHxHEIGHT", help="Another size, in pixels.")
@click.option(
    "--audio",
    type=_FILE,
    help="Put this sound under the video; its pictures are copied, not encoded.",
)
@_config_file
@_json
@_verbose
def encode(
    source: Path,
    output: Path,
    size: str | None,
    audio: Path | None,
    config_file: Path | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Encode a video again, or put other sound under it."""
    config = _encode_options().make(given, config_file)
    width, height = _size(size)
    if size and audio:
        raise click.UsageError("--audio copies the pictures: it cannot go with --size.")
    from .encoders.ffmpeg import FFmpegEncoder
    from .encoders.probe import probe

    with _host() as host, host.progress(probe(source).frame_count, "Encoding") as bar:
        encoder = FFmpegEncoder(on_frame=bar.update)
        if audio is not None:
            result = encoder.add_audio(source, audio, output, config)
        elif size:
            result = encoder.resize(source, output, width, height, config)
        else:
            result = encoder.encode(source, output, config)
    if not result.success:
        raise AvatarVideoError(result.error or "The video was not written.")
    click.echo(_as_json(result) if as_json else _made(result, result.codec))


def _size(text: str | None) -> tuple[int, int]:
    try:
        width, height = (int(part) for part in (text or "0x0").lower().split("x"))
    except ValueError as error:
        raise click.UsageError(f"Expected --size as WIDTHxHEIGHT, got {text!r}.") from error
    return width, height


def _as_json(result: LipSyncResult | EncodingResult) -> str:
    return json.dumps(dataclasses.asdict(result), indent=2, default=str)


def _made(result: LipSyncResult | EncodingResult, how: str) -> str:
    width, height = result.resolution
    return (
        f"{result.output_path}: {how}, {result.frame_count} frames of {width}x{height} at "
        f"{result.fps:g} fps, {result.duration_seconds:.2f} s, "
        f"made in {result.processing_seconds:.1f} s"
    )


@video.command()
@click.argument("file", type=_FILE)
@_json
@click.option(
    "-v",
    "--verbose",
    count=True,
    callback=_start_log,
    help="Also count every frame and measure the loudness, which reads the whole file.",
)
def info(file: Path, as_json: bool, verbose: int) -> None:
    """Show what is in a video FILE."""
    from .encoders.probe import probe, table

    found = probe(file, exact_count=verbose > 0, measure_loudness=verbose > 0)
    click.echo(json.dumps(found.as_dict(), indent=2) if as_json else table(found))
