"""The environment variables by which whoever starts the process sets folders and fast paths."""

from __future__ import annotations

import functools
import logging
import os
from pathlib import Path

logger = logging.getLogger("avatarvideo.host.environment")

MODELS_VARIABLE = "AVATAR_MODELS"  # folders searched first, separated like PATH
FORMATS_VARIABLE = "AVATAR_FORMATS"  # the folder of the user's own formats
CACHE_VARIABLE = "AVATAR_CACHE"  # where prepared avatars are kept between processes
# Folders besides the output folder in which workflows may write, separated like PATH. Only who
# starts the process can set it, unlike whoever sends a workflow.
OUTPUTS_VARIABLE = "AVATAR_OUTPUT_DIRS"
FAST_VARIABLE = "AVATAR_FAST"  # a word of OFF turns every fast path of the networks off
ON, OFF = ("1", "on", "yes", "true"), ("0", "off", "no", "false")


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
    word = os.environ.get(FAST_VARIABLE, "").strip().lower()
    if word and word not in ON + OFF:
        _warn_of(word)
    return word not in OFF


@functools.cache  # once for each word, however often it is asked
def _warn_of(word: str) -> None:
    known = ", ".join(ON + OFF)
    logger.warning(
        "Expected %s as one of %s, got %r: fast paths stay on.", FAST_VARIABLE, known, word
    )
