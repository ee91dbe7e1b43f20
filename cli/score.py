"""``avatar video score``: numbers for any talking video, and limits on them as a gate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import AvatarVideoError, MediaError
from ..musetalk.score.numbers import CERTAINTY, NUMBERS, Limit, failures, needs_source, parse_limits
from ..musetalk.weights.download_command import download_command
from .paths import FileToRead, FileToWrite
from .session import json_option, session, verbose_option

if TYPE_CHECKING:
    from ..musetalk.score.score import Score

_FILE, _PICTURE = FileToRead(), FileToWrite()


def _help() -> str:
    """Return the command's help: each number with its range, meaning and weakness."""
    parts = [
        "Measure how well mouth and sound match in a talking video FILE, whichever tool made it.",
        f"The mouth is read by the face mesh (get it with `{download_command('face-mesh')}`), so "
        "exactly one face must be visible. No number says how good a video is; each has its "
        "weakness:",
    ]
    for one in NUMBERS:
        unit = f", in {one.unit}" if one.unit else ""
        parts.append(f"{one.name} ({one.range}{unit}): {one.meaning} Weakness: {one.weakness}")
    parts.append(CERTAINTY)
    parts.append(
        "A number that cannot be determined is left out, with the reason: a still picture with "
        "sound, a video without sound, without a face or with two, sound that does not belong to "
        "the mouth."
    )
    return "\n\n".join(parts)


def _limits(
    _context: click.Context, _option: click.Parameter, text: str | None
) -> tuple[Limit, ...]:
    if text is None:
        return ()
    try:
        return parse_limits(text)
    except MediaError as error:
        raise click.UsageError(str(error)) from error


@click.command(help=_help())
@click.argument("file", type=_FILE)
@click.option("--audio", type=_FILE, help="The sound, if it is in another file.")
@click.option("--source", type=_FILE, help="The picture or video it was made from, for change.")
@click.option(
    "--plot", type=_PICTURE, metavar="PNG", help="Draw the mouth opening and the speech over time."
)
@click.option(
    "--min-score",
    "limits",
    callback=_limits,
    metavar="NAME=VALUE,...",
    help="Exit with 1 and a sentence for each number that is worse or cannot be determined: "
    "offset, jitter and change must not be above their limits (offset=1: at most one frame "
    "either way), the others not below (closure=0.9).",
)
@json_option
@verbose_option
def score(
    file: Path,
    audio: Path | None,
    source: Path | None,
    plot: Path | None,
    limits: tuple[Limit, ...],
    as_json: bool,
) -> None:
    if plot is not None and plot.suffix.lower() != ".png":
        raise click.UsageError(f"Expected a name that ends in .png for --plot, got {plot.name!r}.")
    if source is None and needs_source(limits):
        raise click.UsageError("Expected --source beside a limit on change, got none.")
    with session() as host:
        from ..musetalk.score.plot import check_plot, write_plot
        from ..musetalk.score.score import score_video
        from ..musetalk.score.table import table

        sources = tuple(each for each in (file, audio, source) if each is not None)
        if plot is not None:
            check_plot(plot, sources)
        found = score_video(file, audio=audio, source=source, host=host)
        if plot is not None:
            write_plot(found, plot, sources)
    click.echo(json.dumps(found.as_dict(), indent=2) if as_json else table(found))
    _gate(found, limits)


def _gate(found: Score, limits: tuple[Limit, ...]) -> None:
    failed = failures(limits, found.numbers, found.reasons)
    if failed:
        raise AvatarVideoError(" ".join(failed))
