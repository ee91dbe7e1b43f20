"""Values that callers gave, as the types that the fields of a configuration are annotated with."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from functools import cache
from numbers import Integral, Real
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

UNFIT = object()  # what ``as_own_type`` returns for a value of no type of the field's


@cache
def types_of(config: type) -> dict[str, tuple[type, ...]]:
    """Return the types of each field of a configuration class, without what they hold."""
    return {name: tuple(_plain_types(hint)) for name, hint in get_type_hints(config).items()}


def _plain_types(hint: Any) -> list[type]:  # Any: whatever an annotation may be
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return [kind for part in get_args(hint) for kind in _plain_types(part)]
    if origin is Literal:
        choices: tuple[object, ...] = get_args(hint)
        return list(dict.fromkeys(map(type, choices)))
    return [origin or hint]


def as_own_type(value: Any, kinds: tuple[type, ...]) -> Any:  # Any: whatever a caller gave
    """Return a value as one of the types, UNFIT where it is of none.

    Scalars of NumPy and torch become Python's own, a whole 5.0 becomes 5, a path its text.
    """
    if getattr(value, "shape", None) == () and callable(getattr(value, "item", None)):
        value = value.item()
    made = (_as(kind, value) for kind in kinds)
    return next((each for each in made if each is not UNFIT), UNFIT)


def words_for(kinds: tuple[type, ...]) -> str:
    """Say what the first of the types is."""
    return _WORDS.get(kinds[0]) or f"{len(_parts(kinds[0]))} numbers"


_WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Mapping: "names and values",
}


def _as(kind: type, value: Any) -> Any:  # Any: as above
    if kind is bool:
        return bool(value) if _is(value, int) and value in (0, 1) else UNFIT
    if kind is int:
        return _whole(value)
    if kind is float:
        return value if _is_number(value) else UNFIT
    if kind is str and _is(value, os.PathLike):
        value = value.__fspath__()
    if kind is Mapping:
        is_named = _is(value, Mapping) and all(_is(name, str) for name in value)
        return value if is_named else UNFIT
    if parts := _parts(kind):
        are_numbers = _is(value, (tuple, list)) and all(map(_is_finite, value))
        return kind(*value) if are_numbers and len(value) == len(parts) else UNFIT
    return value if _is(value, kind) else UNFIT


def _is(value: object, kind: Any) -> bool:  # Any: a type or several; it narrows nothing to unknown
    return isinstance(value, kind)


def _parts(kind: type) -> tuple[str, ...]:
    """Return the names within a NamedTuple."""
    return getattr(kind, "_fields", ())


def _whole(value: Any) -> Any:  # Any: as above
    if not _is_number(value):
        return UNFIT
    if _is(value, Integral):
        return int(value)
    return int(value) if _is_finite(value) and value == int(value) else UNFIT


def _is_number(value: object) -> bool:
    return _is(value, Real) and not _is(value, bool)


def _is_finite(value: Any) -> bool:  # Any: as above
    try:
        return _is_number(value) and math.isfinite(value)
    except OverflowError:  # more than a float can be
        return False
