"""The switches the host was started with."""

from __future__ import annotations

from types import SimpleNamespace

args = SimpleNamespace(disable_metadata=False)
