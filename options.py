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

from .option_types import UNFIT, as_own_type, types_of, words_for
from .texts import shown

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
        try:
            allowed = not self.choices or value in self.choices
            if allowed and self.low is not None and self.high is not None:
                allowed = self.low <= value <= self.high
        except TypeError:
            allowed = False
        if not allowed:
            raise ValueError(f"Expected {name} {self.range}, got {shown(value)}.")

    @property
    def range(self) -> str:
        """Say what is allowed; empty where that is anything."""
        if self.choices:
            return f"to be one of {', '.join(map(str, self.choices))}"
        if self.low is None or self.high is None:
            return ""
        return f"between {_number(self.low)} and {_number(self.high)}"


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
    """Raise ValueError naming the first option with a value not allowed; besides: not checked.

    What is nearly of its field's type becomes that, such as a number of NumPy.
    """
    kinds = types_of(type(config))
    for name, one in options_of(type(config)).items():
        if name in besides:
            continue
        given = getattr(config, name)
        value = as_own_type(given, kinds[name])
        if value is UNFIT:
            wanted = _wanted(one, given, kinds[name])
            raise ValueError(f"Expected {name} {wanted}, got {shown(given)}.")
        if value is not None:
            one.check(name, value)
        object.__setattr__(config, name, value)  # frozen for everybody else


def _wanted(one: Option, given: object, kinds: tuple[type, ...]) -> str:
    # A range says enough to whoever gave no number, but not that 5.5 is no whole one.
    says_enough = one.range and not (int in kinds and isinstance(given, float))
    return one.range if says_enough else f"as {words_for(kinds)} {one.range}".strip()


def described(config: type[Config]) -> type[Config]:
    """Add the fields' descriptions to the docstring of a configuration class, for ``help()``."""
    lines = [f"{name}: {one.help}" for name, one in options_of(config).items()]
    config.__doc__ = "\n".join([inspect.getdoc(config) or "", "", *lines])
    return config
