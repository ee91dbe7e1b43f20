"""``avatar run``: workflows without ComfyUI, or on servers of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import GraphError
from .own_process import leave_busy_cpus
from .paths import FileToRead, FileToWrite
from .session import session, talk, verbose_option

if TYPE_CHECKING:
    from ..headless.run import Setting
    from ..host.machine import WorkOfOthers
    from ..host.standalone import StandaloneHost


@click.command()
@click.argument("workflows", nargs=-1, required=True, type=FileToRead(), metavar="WORKFLOW...")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NODE.INPUT=VALUE",
    help="Change an input; NODE is an id, a title or a class. May be repeated.",
)
@click.option(
    "--input-dir",
    type=FileToRead(exists=True, file_okay=False),
    help="Where input files are looked for [default: .]",
)
@click.option("--output-dir", type=FileToWrite(), help="Where results go [default: output]")
@click.option(
    "--server",
    "servers",
    multiple=True,
    metavar="URL",
    help="Run on this ComfyUI server instead; if repeated, the servers share the workflows.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON for each workflow.")
@verbose_option
@click.pass_obj
def run(
    others: WorkOfOthers | None,
    workflows: tuple[Path, ...],
    settings: tuple[str, ...],
    input_dir: Path | None,
    output_dir: Path | None,
    servers: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run ComfyUI workflows without ComfyUI.

    A WORKFLOW is a JSON file in the normal or the API format, or a picture, video or audio file in
    which ComfyUI or this pack saved one.
    """
    from ..headless.run import parse_setting

    try:
        changes = [parse_setting(text) for text in settings]
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    with session(input_directory=input_dir, output_directory=output_dir) as host:
        if servers:
            _run_on_servers(host, workflows, changes, servers, as_json)
        else:
            _run_here(host, workflows, changes, as_json, others)


def _run_here(
    host: StandaloneHost,
    paths: Sequence[Path],
    changes: Sequence[Setting],
    as_json: bool,
    others: WorkOfOthers | None,
) -> None:
    from ..headless.execute import NodeEvent, ResultCache
    from ..headless.prompt import definitions, describe
    from ..headless.run import load_workflow, node_table, run_workflow

    nodes, display_names = node_table()
    leave_busy_cpus(others)
    declared = definitions(nodes, display_names)

    def announce(event: NodeEvent) -> None:
        if event.kind != "start" and not declared[event.class_type].is_output:
            for text in event.ui.get("text", ()):
                talk(f"{declared[event.class_type].display_name}: {text}")

    cache = ResultCache() if len(paths) > 1 else None
    for path in paths:
        workflow = load_workflow(path, declared, changes, host.check_cancelled)
        result = run_workflow(workflow, host, nodes, on_event=announce, cache=cache)
        _print_result(path, result.files, result.texts, as_json)
        if result.blocked:
            names = {n: describe(workflow.prompt, n) for n in result.blocked}
            raise GraphError("; ".join(f"{names[n]}: {why}" for n, why in result.blocked.items()))


def _run_on_servers(
    host: StandaloneHost,
    paths: Sequence[Path],
    changes: Sequence[Setting],
    servers: Sequence[str],
    as_json: bool,
) -> None:
    from ..headless.run import check_output_folder, load_workflow
    from ..headless.servers import Job, run_jobs
    from ..headless.workflow_file import read_workflow

    for path in paths:
        read_workflow(path)  # a broken file is told before any server is asked
    check_output_folder(host.output_directory)
    with host.progress(100, f"On {len(servers)} servers" if servers[1:] else servers[0]) as bar:
        results = run_jobs(
            [Job(str(path), partial(load_workflow, path, settings=changes)) for path in paths],
            servers,
            input_directory=host.input_directory,
            output_directory=host.output_directory,
            check_cancelled=host.check_cancelled,
            on_progress=lambda fraction: bar.update(round(100 * fraction)),
        )
    for path, result in zip(paths, results, strict=True):
        for remark in result.remarks:
            talk(remark)
        _print_result(path, result.files, result.texts, as_json)
    errors = [(result.job.name, result.error) for result in results if result.error is not None]
    if errors and len(paths) == 1:
        raise errors[0][1]
    for name, error in errors:
        talk(f"{name}: {error}")
    if errors:
        raise GraphError(f"{len(errors)} of {len(paths)} workflows failed.")


def _print_result(
    path: Path, files: Sequence[Path], texts: Mapping[str, Sequence[str]], as_json: bool
) -> None:
    if as_json:
        found = {"workflow": str(path), "files": [str(file) for file in files], "texts": texts}
        click.echo(json.dumps(found))
        return
    for line in (*chain.from_iterable(texts.values()), *files):
        click.echo(line)
