"""Options of a configuration, each described once: in the field of its dataclass.

The nodes' widgets and tooltips, the command line's options and help, the checks and the English
locale are made of these descriptions.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, TypeVar

Value = TypeVar("Value")
Config = TypeVar("Config")


@dataclass(frozen=True, kw_only=True)
class Option:
    """A field's description. Its value is one of choices, or from low to high, or free."""

    default: object
    help: str
    choices: tuple[object, ...] = ()
    low: float | None = None
    high: float | None = None
    step: float | None = None

    def check(self, name: str, value: Any) -> None:  # Any: whatever a caller gave
        """Raise ValueError, naming the option, unless the value is allowed."""
        if self.choices and value not in self.choices:
            known = ", ".join(map(str, self.choices))
            raise ValueError(f"Expected {name} to be one of {known}, got {value!r}.")
        if self.low is None or self.high is None:
            return
        try:
            allowed = self.low <= value <= self.high
        except TypeError:
            allowed = False
        if not allowed:
            bounds = f"between {_number(self.low)} and {_number(self.high)}"
            raise ValueError(f"Expected {name} {bounds}, got {value!r}.")


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def option(
    default: Value,
    *,
    help: str,
    choices: tuple[object, ...] = (),
    low: float | None = None,
    high: float | None = None,
    step: float | None = None,
) -> Value:
    """Return a dataclass field with its description: ``fps: int = option(25, help="...")``.

    help: one or two sentences for the tooltip and the command line. step: of the editor's widget;
    a fraction makes it one of decimals.
    """
    about = Option(default=default, help=help, choices=choices, low=low, high=high, step=step)
    return field(default=default, metadata={"option": about})


def options_of(config: type) -> dict[str, Option]:
    """Return the options of a configuration class by name, in the order of its fields."""
    return {one.name: one.metadata["option"] for one in dataclasses.fields(config)}


def check_options(config: object, *, besides: Collection[str] = ()) -> None:
    """Raise ValueError naming the first option with a value not allowed; besides: not checked."""
    for name, one in options_of(type(config)).items():
        value = getattr(config, name)
        unset = value is None and one.default is None
        if name not in besides and not unset:
            one.check(name, value)


def described(config: type[Config]) -> type[Config]:
    """Add the fields' descriptions to the docstring of a configuration class, for ``help()``."""
    lines = [f"{name}: {one.help}" for name, one in options_of(config).items()]
    config.__doc__ = "\n".join([inspect.getdoc(config) or "", "", *lines])
    return config
