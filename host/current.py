"""Holds the active host: the only mutable setting of the package; other state is caches."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .contract import Host

_current: Host | None = None


def set_host(host: Host | None) -> None:
    """Choose who answers from now on; None goes back to the default."""
    global _current
    _current = host


def current_host() -> Host:
    """Return the host that runs us: ComfyUI when we were loaded by it, else a standalone one."""
    global _current
    if _current is None:
        _current = _new_host()
    return _current


def _new_host() -> Host:
    # Inside ComfyUI its modules are already loaded; outside, a module of the same name may exist.
    if sys.modules.keys() >= {"folder_paths", "comfy.model_management"}:
        from .comfy import ComfyHost

        return ComfyHost()
    from .standalone import StandaloneHost

    return StandaloneHost()
