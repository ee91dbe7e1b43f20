"""Lip-sync: MuseTalk itself, and what stands in for it without its files."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .engine import MuseTalkLipSync
    from .interfaces import LipSyncConfig, LipSyncEngineInterface, LipSyncResult, LipSyncRun
    from .pipeline.memory import VRAMManager

__all__ = [
    "LipSyncConfig",
    "LipSyncEngineInterface",
    "LipSyncResult",
    "LipSyncRun",
    "MuseTalkLipSync",
    "VRAMManager",
]

_HOMES = {
    "LipSyncConfig": "interfaces",
    "LipSyncEngineInterface": "interfaces",
    "LipSyncResult": "interfaces",
    "LipSyncRun": "interfaces",
    "MuseTalkLipSync": "engine",
    "VRAMManager": "pipeline.memory",
}


def __getattr__(name: str) -> Any:
    # Looked up when asked for: a node that only needs an option's name must not load torch.
    if name in _HOMES:
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
