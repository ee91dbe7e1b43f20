"""Lip-sync: MuseTalk itself, and what stands in for it without its files."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .engine import MuseTalkLipSync
    from .interfaces import LipSyncConfig, LipSyncEngineInterface, LipSyncResult, LipSyncRun
    from .pipeline.memory import VRAMManager
    from .score.score import Score, score_video
    from .speaker import Speaker

__all__ = [
    "LipSyncConfig",
    "LipSyncEngineInterface",
    "LipSyncResult",
    "LipSyncRun",
    "MuseTalkLipSync",
    "Score",
    "Speaker",
    "VRAMManager",
    "score_video",
]

_ELSEWHERE = {
    "MuseTalkLipSync": "engine",
    "Score": "score.score",
    "Speaker": "speaker",
    "VRAMManager": "pipeline.memory",
    "score_video": "score.score",
}


def __getattr__(name: str) -> Any:  # Any: one of several classes
    # Looked up when asked for: a node that only needs an option's name must not load torch.
    if name in __all__:
        home = _ELSEWHERE.get(name, "interfaces")
        return getattr(importlib.import_module(f".{home}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
