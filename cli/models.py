"""``avatar models``: list, get, check and convert MuseTalk's files."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import CheckpointError
from .paths import FileToRead, FileToWrite
from .session import json_option, session, talk, verbose_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..host.standalone import StandaloneHost
    from ..musetalk.interfaces import Model
    from ..musetalk.weights.catalogue import Precision, PublishedFile
    from ..musetalk.weights.search import FileStatus

MEBIBYTE = 1 << 20
_model = click.option(
    "--model",
    type=click.Choice(["v1.5", "v1.0"]),
    default="v1.5",
    show_default=True,
    help="The MuseTalk version.",
)
_to = click.option(
    "--to",
    "folder",
    type=FileToWrite(file_okay=False),
    help="The models folder to write to; by default the first one that exists.",
)


@click.group()
def models() -> None:
    """Find, download, check and convert model files."""


@models.command("list")
@json_option
@verbose_option
def list_models(as_json: bool) -> None:
    """Show which files are there, which are missing, and their licences."""
    from ..musetalk.weights.download_command import download_command
    from ..musetalk.weights.search import list_files

    with session() as host:
        rows = list_files(host.model_directories)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(row) for row in rows], indent=2, default=str))
        return
    for row in rows:
        click.echo(_row(row))
    if any(row.state != "present" and not row.is_extra for row in rows):
        talk(f"Get what is missing with `{download_command()}`.")


def _row(row: FileStatus) -> str:
    from ..musetalk.weights.catalogue import CATALOGUE, readable_size

    file = row.published or row.wanted
    what = f"{CATALOGUE[row.role].title}{f' ({row.model})' if row.model else ''}"
    size = row.found_size if row.found_size is not None else file.size
    where = str(row.path) if row.path is not None else file.name
    problem = f" - {row.problem}" if row.problem else ""
    shown = readable_size(size) if size else "size unknown"
    state = "optional" if row.is_extra and row.state == "missing" else row.state
    return f"{state:<8} {what:<22} {shown:>9}  {where}{problem}  [{file.licence}]"


@models.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@_model
@_to
@verbose_option
def download(names: tuple[str, ...], model: Model, folder: Path | None) -> None:
    """Download the files that are missing; an interrupted download is resumed.

    With NAMEs, only those files, such as face-mesh (4 MB), which finds faces in every mode.
    """
    from ..musetalk.weights.catalogue import readable_size
    from ..musetalk.weights.download import download as download_file

    with session() as host:
        root = folder or _folder_to_write(host)
        wanted = _files_to_get(names, model, [root, *host.model_directories])
        for file in wanted:
            size = readable_size(file.size) if file.size else "size unknown"
            talk(f"Getting {file.name} ({size}; licence: {file.licence})")
            with host.progress((file.size or 0) // MEBIBYTE, file.name) as bar:
                path = download_file(
                    file,
                    root,
                    report=lambda done, _total, bar=bar: bar.update(done // MEBIBYTE),
                    check_cancelled=host.check_cancelled,
                )
            talk(f"{file.name} is complete.")
            click.echo(path)
    if not wanted:
        what = ", ".join(names) or f"Every file of MuseTalk {model}"
        talk(f"{what} is already there.")


def _files_to_get(
    names: tuple[str, ...], model: Model, roots: Sequence[Path]
) -> list[PublishedFile]:
    """Return the files that are missing or wrong: of the names given, else of a whole version."""
    from ..headless.prompt import suggestion
    from ..musetalk.weights.catalogue import CATALOGUE
    from ..musetalk.weights.mesh_file import find_mesh
    from ..musetalk.weights.search import files_to_download, list_files

    if not names:
        return files_to_download(model, roots)
    known = {role.replace(" ", "-"): role for role in CATALOGUE}
    for name in names:
        if name not in known:
            raise click.UsageError(
                f"There is no model file {name!r}{suggestion(name, list(known))}: the names are "
                f"{', '.join(known)}."
            )
    roles = {known[name] for name in names}
    rows = [row for row in list_files(roots, models=[model]) if row.role in roles]
    is_there = {row.role: row.state == "present" for row in rows}
    if "face mesh" in roles:  # its hash is checked at once, for a wrong one is of no use
        is_there["face mesh"] = find_mesh(roots) is not None
    return [row.wanted for row in rows if not is_there[row.role]]


def _folder_to_write(host: StandaloneHost) -> Path:
    """Return the first folder of models that exists, else one the user named, else our own."""
    from ..host.environment import MODELS_VARIABLE

    folders = host.model_directories
    otherwise = folders[0] if os.environ.get(MODELS_VARIABLE) else folders[-1]
    return next((folder for folder in folders if folder.is_dir()), otherwise)


@models.command()
@click.argument("files", nargs=-1, type=FileToRead())
@verbose_option
def verify(files: tuple[Path, ...]) -> None:
    """Check FILES, or every file that is found: its hash, and whether it fits its network."""
    from ..musetalk.weights.verify import verify as verify_file

    bad = 0
    with session() as host:
        for path, published in _files_to_verify(host, files):
            found = verify_file(path, published=published, check_cancelled=host.check_cancelled)
            bad += not found.ok
            what = found.recognised.name if found.recognised else found.role or "unknown"
            verdict = "ok" if found.ok else "BAD"
            remark = found.problem or found.note
            click.echo(f"{verdict:<4} {path} ({what})" + (f": {remark}" if remark else ""))
    if bad:
        raise CheckpointError(f"{bad} model file{'s are' if bad > 1 else ' is'} not usable.")


def _files_to_verify(
    host: StandaloneHost, named: tuple[Path, ...]
) -> Iterator[tuple[Path, PublishedFile | None]]:
    from ..musetalk.weights.download_command import download_command
    from ..musetalk.weights.search import list_files

    if named:
        yield from ((path, None) for path in named)
        return
    rows = list_files(host.model_directories)
    found = [(row.path, row.published) for row in rows if row.path is not None]
    if not found:
        raise CheckpointError(
            f"Expected model files to verify, found none: run `{download_command()}` first."
        )
    yield from found


@models.command()
@_model
@click.option(
    "--precision",
    type=click.Choice(["half", "full"]),
    default="half",
    show_default=True,
    help="half takes half the disk space, and GPUs compute in it.",
)
@_to
@verbose_option
def convert(model: Model, precision: Precision, folder: Path | None) -> None:
    """Convert the files to safetensors, which load faster and hold only what is used."""
    from ..musetalk.weights.catalogue import readable_size
    from ..musetalk.weights.convert import convert_all
    from ..musetalk.weights.search import MissingFiles, find

    with session() as host:
        found = find(model, host.model_directories, precision="full")
        if isinstance(found, MissingFiles):
            raise CheckpointError(found.message)
        root = folder or _folder_to_write(host)
        written = 0
        with host.progress(0, "Converting") as bar:
            for made in convert_all(
                found.files,
                model,
                root,
                precision,
                report=lambda done, _total: bar.update(done // MEBIBYTE),
                check_cancelled=host.check_cancelled,
            ):
                written += 1
                click.echo(f"{made.path} ({made.precision}, {readable_size(made.size)})")
    if not written:
        talk("Every file is converted already.")
