"""Command-line options made from a configuration dataclass, and configuration files for it.

Names, defaults, choices and explanations come from the dataclass, as the nodes' widgets do, so that
the editor, the command line and Python say the same.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from ..errors import AvatarVideoError
from ..headless.prompt import suggestion
from ..json_values import JSON, is_object
from ..options import Option, options_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class ConfigOptions:
    """What turns a dataclass into options.

    readers: field -> what makes its value from a text; others follow their default's type.
    notation: field -> how that text is written, added to the field's explanation.
    repeated: field -> the name of its option, which may be given again and again.
    """

    config: type
    readers: Mapping[str, Callable[[str], object]]
    notation: Mapping[str, str] = field(default_factory=dict[str, str])
    repeated: Mapping[str, str] = field(default_factory=dict[str, str])

    def options(self) -> list[click.Option]:
        """Return one option for each field; all are None unless given."""
        return [self._option(name, one) for name, one in options_of(self.config).items()]

    def _option(self, name: str, one: Option) -> click.Option:
        kind: type | click.Choice[str] | None = str
        default = one.default
        if isinstance(default, str) and one.choices:
            kind = click.Choice([str(choice) for choice in one.choices])
        elif name not in self.readers and isinstance(default, (int, float)):
            kind = type(default)
        flag = "--" + name.replace("_", "-")
        if kind is bool:
            flag, kind = f"{flag}/--no-{flag[2:]}", None
            default = "yes" if default else "no"
        text = one.help
        if name in self.notation:
            text = f"{text.removesuffix('.')}, {self.notation[name]}."
        if name in self.repeated:
            names = [self.repeated[name], name]
            return click.Option(names, multiple=True, help=f"{text} May be repeated.")
        shown = "" if default in (None, "") else f" [default: {default}]"
        return click.Option([flag], type=kind, default=None, help=text + shown)

    def make(self, given: Mapping[str, object], file: Path | None) -> Any:  # a config
        """Return the configuration: options, then the file, then the defaults.

        given: option values by field, None where not given. Raises click.UsageError for a value
        that is out of range, AvatarVideoError for a file that cannot be read.
        """
        values = self.base(given, file)
        return self.of(values)

    def base(self, given: Mapping[str, object], file: Path | None) -> dict[str, object]:
        """Return the values by field that are not defaults: options win over the file."""
        values: dict[str, object] = {}
        values |= read_config(file, self.config) if file is not None else {}
        self._check_types(values)
        return values | {name: value for name, value in given.items() if value not in (None, ())}

    def of(self, values: Mapping[str, object]) -> Any:  # a config
        """Return the configuration of values by field. Raises click.UsageError."""
        values = dict(values)
        try:
            for name, reader in self.readers.items():
                if isinstance(text := values.get(name), str):
                    values[name] = reader(text)
            return self.config(**values)
        except (ValueError, TypeError, AvatarVideoError) as error:
            raise click.UsageError(str(error)) from error

    def of_row(
        self, row: Mapping[str, object], base: Mapping[str, object], *, as_text: bool
    ) -> Any:  # a config
        """Return the configuration of a row of a list, over ``base``; dashes are underscores.

        as_text: the values are texts, as in CSV, and read as those of the command line.
        Raises AvatarVideoError, also for a name that is none.
        """
        values = {name.replace("-", "_"): value for name, value in row.items()}
        known = options_of(self.config)
        for name in values.keys() - known.keys():
            raise AvatarVideoError(
                f"There is no option {name[:100]!r}{suggestion(name, known)}: the options are "
                f"{', '.join(known)}."
            )
        try:
            if as_text:
                values = {name: self._read(name, known[name], values[name]) for name in values}
            self._check_types(values)
            return self.of({**base, **values})
        except click.UsageError as error:
            raise AvatarVideoError(error.format_message()) from error

    def _read(self, name: str, one: Option, text: object) -> object:
        option = self._option(name, one)
        try:
            return option.type.convert(text, option, None)
        except click.BadParameter as error:
            wanted = _KINDS.get(type(one.default), "")
            if one.choices:
                wanted = f"one of {', '.join(map(str, one.choices))}"
            comma = type(one.default) is float and "," in str(text)
            instead = ": write it with a decimal point" if comma else ""
            raise AvatarVideoError(
                f"Expected {name} as {wanted}, got {text!r}{instead}."
            ) from error

    def _check_types(self, values: Mapping[str, object]) -> None:
        for name, one in options_of(self.config).items():
            if name not in values or name in self.readers:
                continue
            value, kind = values[name], type(one.default)
            fits = isinstance(value, (int, float) if kind is float else kind)
            if kind in _KINDS and (not fits or isinstance(value, bool) != (kind is bool)):
                raise click.UsageError(f"Expected {name} as {_KINDS[kind]}, got {value!r}.")


MOST_BYTES = 1 << 20  # of a configuration file
_KINDS: Mapping[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
}


def read_config(path: Path, config: type) -> dict[str, JSON]:
    """Return the values of a TOML or JSON file by field; dashes count as underscores."""
    try:
        if not path.is_file() or path.stat().st_size > MOST_BYTES:
            raise AvatarVideoError(
                f"Expected a small file of TOML or JSON as configuration, but {path} is something "
                "else."
            )
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text) if path.suffix.lower() == ".toml" else json.loads(text)
    except OSError as error:
        raise AvatarVideoError(
            f"Cannot read the configuration {path}: {error.strerror}."
        ) from error
    except (ValueError, RecursionError) as error:
        kind = "TOML" if path.suffix.lower() == ".toml" else "JSON"
        why = "values nested too deep" if isinstance(error, RecursionError) else error
        raise AvatarVideoError(f"Expected {kind} in {path}, but it is broken: {why}.") from error
    if not is_object(values):
        raise AvatarVideoError(
            f"Expected names and values in {path}, got a {type(values).__name__}."
        )
    found = {name.replace("-", "_"): value for name, value in values.items()}
    known = list(options_of(config))
    for name in found:
        if name not in known:
            raise AvatarVideoError(
                f"There is no option {name!r} in {path}{suggestion(name, known)}: the options are "
                f"{', '.join(known)}."
            )
    return found


class ConfigCommand(click.Command):
    """A command whose options are made from a dataclass when it is used, not at import."""

    def __init__(self, configuration: Callable[[], ConfigOptions], **more: Any) -> None:  # click's
        super().__init__(**more)
        self._configuration = configuration
        self._is_complete = False

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        if not self._is_complete:
            self.params += self._configuration().options()
            self._is_complete = True
        return super().get_params(ctx)
