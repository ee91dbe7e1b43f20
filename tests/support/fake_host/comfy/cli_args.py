"""The switches the host was started with."""

from __future__ import annotations

from types import SimpleNamespace

args = SimpleNamespace(disable_metadata=False, listen="127.0.0.1", multi_user=False)
