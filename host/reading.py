"""Where a graph may read files: anywhere, or in a few folders where others send the graphs.

``readable`` decides for every path that a widget, a link or a workflow file names. Paths given on
the command line and in Python are their caller's own and are not asked about.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import MediaError
from .contract import Host
from .environment import INPUTS_VARIABLE, allowed_input_directories

SAMPLES_DIRECTORY = Path(__file__).parent.parent / "web" / "samples"


def readable(host: Host, named: str | Path) -> Path:
    """Return a path made absolute by its name alone: links in it stay. Raises MediaError.

    Nothing on the disk is looked at before the answer, which therefore says nothing about it.
    """
    path = Path(os.path.abspath(named))  # noqa: PTH100 - Path has no such function
    allowed = allowed_input_directories()
    if host.reads_anywhere and allowed is None:
        return path
    if not any(path.is_relative_to(each) for each in _spellings(host, allowed or [])):
        raise MediaError(
            "Expected a file in the input, output or temp folder, the samples or a folder of "
            f"{INPUTS_VARIABLE}, got {str(named)[:200]!r}: no other files are read here."
        )
    return path


def _spellings(host: Host, allowed: list[Path]) -> Iterator[Path]:
    """Yield each folder as it is named and as it is without links."""
    own = (host.input_directory, host.output_directory, host.temp_directory)
    for folder in (*own, SAMPLES_DIRECTORY, *allowed):
        yield Path(os.path.abspath(folder))  # noqa: PTH100 - as above
        yield folder.resolve()
