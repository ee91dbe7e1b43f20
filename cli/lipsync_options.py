"""The options of lip-sync as the command line writes them, for every command that has them."""

from __future__ import annotations

from ..media import parse_corners
from .config_options import ConfigOptions


def lipsync_options() -> ConfigOptions:
    from ..musetalk.interfaces import LipSyncConfig

    return ConfigOptions(
        LipSyncConfig,
        {"mouth": parse_corners, "fps": number_or_text},
        {"speakers": "written as audio=b.wav,face=1 or channel=2,face=left 1"},
        {"speakers": "--speaker"},
    )


def number_or_text(text: str) -> int | float | str:
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        return text
