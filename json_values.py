"""What a value read from JSON is, told so that type checkers know it afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias, TypeGuard

JSON: TypeAlias = Any  # what json.loads gives: each member is checked where it is read


def is_object(value: object) -> TypeGuard[Mapping[str, JSON]]:
    """Say whether a value is what JSON calls an object."""
    return isinstance(value, Mapping)


def is_list(value: object) -> TypeGuard[list[JSON]]:
    """Say whether a value is what JSON calls a list."""
    return isinstance(value, list)
