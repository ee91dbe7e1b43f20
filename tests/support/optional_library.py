"""Libraries that our extras or the tests' own bring: in CI they must be there."""

from __future__ import annotations

import importlib
import os
from typing import Any

import pytest


def library(name: str) -> Any:
    """Import a module of a library: a skip where it is absent, a failure in CI."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if os.environ.get("CI"):
            pytest.fail(f"the library {name} is needed in CI: {error}")
        pytest.skip(f"the library {name} is not installed: {error}")
