"""``avatar batch``: many jobs of one list, on several processes, each finished once."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from ..errors import AvatarVideoError
from ..json_values import JSON
from ..texts import plain
from .config_options import ConfigCommand
from .lipsync_options import lipsync_options
from .own_process import leave_busy_cpus
from .paths import FileToRead, PlaceToWrite
from .session import VERBOSITY, session, talk, verbose_option

if TYPE_CHECKING:
    from ..batch.watch import Output
    from ..host.machine import WorkOfOthers

MOST_WORKERS = 256
_FOLDER = FileToRead(exists=True, file_okay=False)


def _workers(_context: click.Context, _option: click.Parameter, text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) > MOST_WORKERS:
        raise click.UsageError(
            f"Expected --workers as auto or a number up to {MOST_WORKERS}, got {text[:60]!r}."
        )
    return int(text)


def _ray(_context: click.Context, _option: click.Parameter, text: str) -> str:
    if text and text != "auto" and not re.fullmatch(r"[\w.\[\]:-]{1,250}:\d{1,5}", text):
        raise click.UsageError(f"Expected --ray as auto or HOST:PORT, got {text[:60]!r}.")
    return text


def _limits(_context: click.Context, _option: click.Parameter, text: str | None) -> str:
    from ..musetalk.score.numbers import parse_limits

    try:
        return "" if text is None or not parse_limits(text) else text
    except AvatarVideoError as error:
        raise click.UsageError(str(error)) from error


@click.command(cls=ConfigCommand, configuration=lipsync_options)
@click.argument("jobs", nargs=-1, required=True, type=FileToRead(exists=True))
@click.option(
    "--output-dir",
    type=PlaceToWrite(),
    required=True,
    help="Where results go: a folder, or an address such as s3://bucket/folder.",
)
@click.option(
    "--input-dir",
    type=_FOLDER,
    help="Where input files are looked for [default: the list's folder]",
)
@click.option(
    "--workers",
    default="auto",
    callback=_workers,
    metavar="N",
    help="Worker processes, which share the CPUs: auto starts one for each GPU, or a single "
    "one if there is no GPU; 0 works in this process.",
)
@click.option(
    "--ray",
    default="",
    callback=_ray,
    metavar="auto|HOST:PORT",
    help="Run the jobs on this Ray cluster; auto uses the one on this machine, or starts one. "
    "--workers auto then starts one for each GPU of the cluster or, without GPUs, one for "
    "each machine.",
)
@click.option(
    "--server",
    "servers",
    multiple=True,
    metavar="URL",
    help="Make the videos on this ComfyUI server, which must have this pack; if repeated, the "
    "servers share the jobs.",
)
@click.option(
    "--threads",
    type=click.IntRange(0, 1024),
    default=0,
    help="CPU threads for each job whose row does not set them; 0 is a fair share. Results are "
    "bit-identical only with the same number of threads.",
)
@click.option(
    "--retries",
    type=click.IntRange(0, 20),
    default=2,
    show_default=True,
    help="How often to retry a job that ran out of memory, with smaller batches each time.",
)
@click.option(
    "--min-score",
    "limits",
    callback=_limits,
    metavar="NAME=VALUE,...",
    help="Fail a job whose video scores worse (see `avatar video score`); the video is kept "
    "in the folder failed.",
)
@click.option(
    "--keep-going", is_flag=True, help="Make the valid rows of a list that also has invalid ones."
)
@click.option(
    "--config",
    "config_file",
    type=FileToRead(exists=True, dir_okay=False),
    help="A TOML or JSON file with these options; options given here win.",
)
@click.option("--json", "as_json", is_flag=True, help="Print events as JSON, one a line.")
@verbose_option
@click.pass_obj
def batch(
    others: WorkOfOthers | None,
    jobs: tuple[Path, ...],
    output_dir: Path | str,
    input_dir: Path | None,
    config_file: Path | None,
    as_json: bool,
    **given: Any,  # the options above, and one for each of LipSyncConfig
) -> None:
    """Make many videos; finished ones are not made again.

    JOBS is a list, or a folder of avatars and a folder of speech clips. A list is a .jsonl file
    with an object on each line, or a .csv file with column names in its first line: avatar, audio
    and output, and any option below by its name; or workflow, output and set (in CSV a column for
    each NODE.INPUT). File names are relative to the list, output to --output-dir. Options given
    here apply to rows that do not set them.

    If it was stopped for any reason, start it again and it continues: it makes every row whose
    video and report do not exist yet for the same contents, options and version.
    """
    own = {name: given.pop(name) for name in _OWN}
    if own["ray"] and own["workers"] == 0:
        raise click.UsageError("Expected --ray or --workers 0, got both: leave one out.")
    if own["servers"] and (own["ray"] or own["workers"] is not None):
        raise click.UsageError(
            "Expected --server without --ray and --workers: each server runs one job at a time."
        )
    options = lipsync_options()
    base = options.base(given, config_file)
    options.of(base)  # told before any row

    def read_options(row: Mapping[str, JSON], as_text: bool) -> Any:  # a LipSyncConfig
        return options.of_row(row, base, as_text=as_text)

    with session(
        show_progress=False,
        input_directory=input_dir or (jobs[0].absolute().parent if len(jobs) == 1 else Path.cwd()),
        output_directory=output_dir if isinstance(output_dir, Path) else None,
    ) as host:
        from ..batch.run import Batch, Wishes

        place = "" if isinstance(output_dir, Path) else output_dir
        made = Batch(host, Wishes(**own), _output(as_json, sys.stdout), _worker_command(), place)
        with contextlib.redirect_stdout(sys.stderr):  # what libraries print is no output
            made.run(jobs, read_options, partial(leave_busy_cpus, others))


_OWN = ("workers", "ray", "servers", "threads", "retries", "limits", "keep_going")


def _worker_command() -> list[str]:
    verbosity: int = click.get_current_context().meta.get(VERBOSITY, 0)
    return ["batch-worker", *["-v"] * verbosity]


def _output(as_json: bool, out: TextIO) -> Output:
    from ..batch.watch import Output

    def tell(text: str) -> None:
        click.echo(text, file=out)

    def tell_event(event: Mapping[str, JSON]) -> None:
        tell(json.dumps(event))

    if as_json:
        return Output(result=_nothing, talk=_nothing, event=tell_event, error=talk)
    return Output(result=lambda line: tell(plain(line)), talk=talk, event=_nothing, error=talk)


def _nothing(_what: object) -> None:
    pass


@click.command(hidden=True)
@click.argument("inputs", type=_FOLDER)
@click.argument("outputs")
@click.argument("name")
@click.option("--server", default="")
@verbose_option
@click.pass_obj
def batch_worker(
    others: WorkOfOthers | None, inputs: Path, outputs: str, name: str, server: str
) -> None:
    """Make the jobs that ``avatar batch`` writes to the standard input; nobody else calls this."""
    from ..batch.maker import Maker
    from ..batch.results import results_in
    from ..batch.worker import work

    with os.fdopen(os.dup(1), "w", encoding="utf-8") as outcomes:
        os.dup2(2, 1)  # what libraries print is no outcome
        with session(show_progress=False, input_directory=inputs) as host:
            if not server:
                leave_busy_cpus(others)
            maker = Maker(host, results_in(host, outputs), name, server=server)
            try:
                work(host, maker, sys.stdin, outcomes)
            finally:
                maker.close()
