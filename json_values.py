"""What a value read from JSON is, told so that type checkers know it afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard


def is_object(value: object) -> TypeGuard[Mapping[str, Any]]:  # Any: each member is checked later
    """Say whether a value is what JSON calls an object."""
    return isinstance(value, Mapping)


def is_list(value: object) -> TypeGuard[list[Any]]:  # Any: each member is checked later
    """Say whether a value is what JSON calls a list."""
    return isinstance(value, list)
