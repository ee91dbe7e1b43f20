"""JSON that others wrote: read within bounds, and told so that type checkers know it afterwards."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypeGuard

from .texts import shown

JSON: TypeAlias = Any  # what json.loads gives: each member is checked where it is read

MOST_BYTES = 64 << 20
MOST_VALUES = 4_000_000  # a large ComfyUI's definitions have some hundred thousand
DEEPEST = 100  # lists and objects within each other


def parse_json(text: bytes | str, *, names_once: bool = False) -> JSON:
    """Return what a JSON text says. Raises ValueError, also for more of it than can be meant.

    names_once: refuse an object that has a name twice, of which else the last one counts.
    """
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(data) > MOST_BYTES:
        raise ValueError(f"more than {MOST_BYTES >> 20} MiB of JSON")
    # Each value but the first has one of these before it; counted before they take memory.
    if sum(map(data.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise ValueError(f"JSON of more than {MOST_VALUES:,} values")
    try:
        value = json.loads(data, object_pairs_hook=_named_once if names_once else None)
    except RecursionError:
        raise ValueError(f"JSON nested more than {DEEPEST} deep") from None
    except json.JSONDecodeError:
        raise
    except ValueError as error:  # Python's word on how to read longer numbers is no advice here
        if "int_max_str_digits" not in str(error):
            raise
        raise ValueError("JSON with a number of thousands of digits") from None
    _check_depth(value)
    return value


def _named_once(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{shown(twice)} twice")
    return found


def _check_depth(value: JSON) -> None:
    level: list[JSON] = [[value]]
    for _ in range(DEEPEST + 1):
        inside = (one.values() if is_object(one) else one for one in level)
        level = [inner for values in inside for inner in values if isinstance(inner, (dict, list))]
        if not level:
            return
    raise ValueError(f"JSON nested more than {DEEPEST} deep")


def is_object(value: object) -> TypeGuard[Mapping[str, JSON]]:
    """Say whether a value is what JSON calls an object."""
    return isinstance(value, Mapping)


def is_list(value: object) -> TypeGuard[list[JSON]]:
    """Say whether a value is what JSON calls a list."""
    return isinstance(value, list)


def object_in(value: JSON, name: str) -> Mapping[str, JSON]:
    """Return the object that an object holds under a name, an empty one where it holds none."""
    found = value.get(name) if is_object(value) else None
    return found if is_object(found) else {}


def list_in(value: JSON, name: str) -> Sequence[JSON]:
    """Return the list that an object holds under a name, an empty one where it holds none."""
    found = value.get(name) if is_object(value) else None
    return found if is_list(found) else ()


def text_in(value: JSON, name: str) -> str:
    """Return the text that an object holds under a name, an empty one where it holds none."""
    found = value.get(name) if is_object(value) else None
    return found if isinstance(found, str) else ""
