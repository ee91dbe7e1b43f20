"""Stand-ins for core's nodes that hold one value, which people link into ``fps`` and the like."""

from __future__ import annotations

import sys
from typing import ClassVar

from .prompt import Value

_NUMBERS = {"min": -sys.maxsize, "max": sys.maxsize}


class _OneValue:
    """Gives out what its widget holds."""

    FUNCTION = "give"
    OPTIONS: ClassVar[dict[str, Value]] = {}
    RETURN_TYPES: tuple[str, ...]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Value]:
        return {"required": {"value": (cls.RETURN_TYPES[0], dict(cls.OPTIONS))}}

    def give(self, value: Value) -> tuple[Value]:
        return (value,)


class PrimitiveInt(_OneValue):
    """A whole number."""

    RETURN_TYPES = ("INT",)
    OPTIONS: ClassVar[dict[str, Value]] = {**_NUMBERS, "control_after_generate": True}


class PrimitiveFloat(_OneValue):
    """A number."""

    RETURN_TYPES = ("FLOAT",)
    OPTIONS: ClassVar[dict[str, Value]] = dict(_NUMBERS)


class PrimitiveBoolean(_OneValue):
    """Yes or no."""

    RETURN_TYPES = ("BOOLEAN",)


class PrimitiveString(_OneValue):
    """A text."""

    RETURN_TYPES = ("STRING",)


class PrimitiveStringMultiline(PrimitiveString):
    """A text of several lines."""

    OPTIONS: ClassVar[dict[str, Value]] = {"multiline": True}
