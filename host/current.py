"""Holds the active host: the only mutable setting of the package; other state is caches."""

from __future__ import annotations

import sys

from .contract import Host
from .standalone import StandaloneHost

_current: Host | None = None


def set_host(host: Host | None) -> None:
    """Choose who answers from now on; None goes back to the default."""
    global _current
    _current = host


def current_host() -> Host:
    """Return the host that runs us: ComfyUI when we were loaded by it, else a standalone one."""
    global _current
    if _current is None:
        _current = _comfy_host() or StandaloneHost()
    return _current


def _comfy_host() -> Host | None:
    # Inside ComfyUI its modules are already loaded; outside, a module of the same name may exist.
    if "folder_paths" not in sys.modules or "comfy.model_management" not in sys.modules:
        return None
    from .comfy import ComfyHost

    return ComfyHost()
