"""``avatar run``: workflows without ComfyUI, or on servers of it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .cli_session import json_option, session, verbose_option
from .errors import GraphError

if TYPE_CHECKING:
    from .headless import Setting, Workflow, WorkflowResult
    from .host import StandaloneHost

_FILE = click.Path(path_type=Path)
_EXISTING_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
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
@json_option
@verbose_option
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
    with session(input_directory=input_dir, output_directory=output_dir) as host:
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
