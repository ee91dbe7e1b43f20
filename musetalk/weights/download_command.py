"""The command that gets model files, as it is typed where this runs."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

PACKAGE_FOLDER = Path(__file__).resolve().parents[2]


def download_command(*words: str) -> str:
    """Return ``avatar models download`` and words.

    Where no command ``avatar`` is installed, as inside ComfyUI, its own Python runs this folder.
    """
    return " ".join([_own_command(Path(sys.executable), PACKAGE_FOLDER), "models download", *words])


@cache
def _own_command(python: Path, folder: Path) -> str:
    if any((python.parent / name).exists() for name in ("avatar", "avatar.exe")):
        return "avatar"
    parts = [str(python), str(folder)]
    return subprocess.list2cmdline(parts) if os.name == "nt" else shlex.join(parts)
