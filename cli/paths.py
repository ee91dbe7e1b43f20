"""Paths on the command line, as people paste them."""

from __future__ import annotations

from os import PathLike, fsdecode
from pathlib import Path
from typing import Any

import click

from ..errors import MediaError
from ..pasted import existing, unquoted, url_problem, url_to_write


class FileToRead(click.Path):
    """A path that was given: an empty one, as of a variable not set, would be the folder here.

    What was pasted around it is taken off where only the rest is there. ``options`` are click's; a
    URL is refused here where they want something that exists, else by whoever opens the file.
    """

    def __init__(self, **options: bool) -> None:
        super().__init__(path_type=Path, **options)

    def convert(
        self, value: str | PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:  # as click declares it
        text = fsdecode(value)
        if text == "":
            self.fail("expected the name of a file, got an empty one.", param, ctx)
        if self.exists and (problem := url_problem(text)):
            self.fail(problem, param, ctx)
        return super().convert(existing(text), param, ctx)


class FileToWrite(FileToRead):
    """A path to write, without what was pasted around it; a URL is refused."""

    def convert(
        self, value: str | PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:  # as click declares it
        text = fsdecode(value)
        if problem := url_to_write(text):
            self.fail(problem, param, ctx)
        return super().convert(unquoted(text) or text, param, ctx)


class PlaceToWrite(FileToWrite):
    """A folder for results, or an address of an object store as it is written."""

    def convert(
        self, value: str | PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:  # as click declares it
        from ..batch.addresses import place_in

        text = unquoted(fsdecode(value))
        try:
            address = place_in(text)
        except MediaError as error:
            self.fail(str(error), param, ctx)
        return super().convert(value, param, ctx) if address is None else address.text
