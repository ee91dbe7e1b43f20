"""The environment variables by which whoever starts the process sets folders and fast paths."""

from __future__ import annotations

import os
from pathlib import Path

MODELS_VARIABLE = "AVATAR_MODELS"  # folders searched first, separated like PATH
FORMATS_VARIABLE = "AVATAR_FORMATS"  # the folder of the user's own formats
CACHE_VARIABLE = "AVATAR_CACHE"  # where prepared avatars are kept between processes
# Folders besides the output folder in which workflows may write, separated like PATH. Only who
# starts the process can set it, unlike whoever sends a workflow.
OUTPUTS_VARIABLE = "AVATAR_OUTPUT_DIRS"
FAST_VARIABLE = "AVATAR_FAST"  # "0" turns every fast path of the networks off


def allowed_output_directories() -> list[Path]:
    """Return the absolute folders besides the output folder in which workflows may write."""
    named = os.environ.get(OUTPUTS_VARIABLE, "").split(os.pathsep)
    folders = [Path(part).expanduser() for part in named if part.strip()]
    return [folder for folder in folders if folder.is_absolute()]


def cache_directory() -> Path | None:
    """Return the absolute folder in which prepared avatars outlive the process, if one is named."""
    named = os.environ.get(CACHE_VARIABLE, "").strip()
    return Path(named).expanduser().resolve() if named else None


def fast_paths_are_on() -> bool:
    """Say whether networks are accelerated and batches recorded as CUDA graphs; so by default."""
    return os.environ.get(FAST_VARIABLE, "").strip() != "0"
