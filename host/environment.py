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
# Folders besides the host's own from which workflows may read; once it is set, from no others.
INPUTS_VARIABLE = "AVATAR_INPUT_DIRS"
FAST_VARIABLE = "AVATAR_FAST"  # a word of OFF turns every fast path of the networks off
ON, OFF = ("1", "on", "yes", "true"), ("0", "off", "no", "false")


def allowed_output_directories() -> list[Path]:
    """Return the absolute folders besides the output folder in which workflows may write."""
    return _folders_of(OUTPUTS_VARIABLE) or []


def allowed_input_directories() -> list[Path] | None:
    """Return the absolute folders besides the host's own from which workflows may read.

    None where the variable is not set: then only the host decides.
    """
    return _folders_of(INPUTS_VARIABLE)


def _folders_of(variable: str) -> list[Path] | None:
    named = os.environ.get(variable, "").strip()
    if not named:
        return None
    # Unlike Path's, this function takes a user who does not exist.
    folders = [Path(os.path.expanduser(part.strip())) for part in named.split(os.pathsep)]  # noqa: PTH111
    return [folder for folder in folders if folder.is_absolute()]


def cache_directory() -> Path | None:
    """Return the absolute folder in which prepared avatars outlive the process, if one is named."""
    named = os.environ.get(CACHE_VARIABLE, "").strip()
    return Path(os.path.expanduser(named)).resolve() if named else None  # noqa: PTH111 - as above


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
