"""The user's own ffmpeg: found, checked, and told what to do by argument lists, never a shell."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np

from ...errors import EncodeError
from ..color import is_rgb
from .codecs import CONTAINERS
from .known_options import COMMON
from .output_file import MOV_FAMILY
from .plan import EncodePlan

ENVIRONMENT = "AVATAR_FFMPEG"
CHECK_SECONDS = 20.0  # hardware encoders may wake a driver first
ERROR_CHARACTERS = 600
ACCURATE = "flags=bicubic+accurate_rnd+full_chroma_inp"
# FFmpeg's names of the colour tags we write (ITU-T H.273), as its filters spell them.
_MATRICES = {1: "bt709", 9: "bt2020nc"}
_PRIMARIES = {1: "bt709", 9: "bt2020"}
_TRANSFERS = {1: "bt709", 16: "smpte2084", 18: "arib-std-b67"}
_PACKED = {(3, False): "rgb24", (4, False): "rgba", (3, True): "rgb48le", (4, True): "rgba64le"}
# Windows would flash a console for every start.
NO_WINDOW: int = getattr(subprocess, "CREATE_NO_WINDOW", 0)


def named_ffmpeg(setting: str | None = None) -> Path:
    """Return the setting's ffmpeg, the environment's or the PATH's, not run. Raises EncodeError."""
    named = setting or os.environ.get(ENVIRONMENT)
    found = shutil.which(str(Path(named).expanduser())) if named else shutil.which("ffmpeg")
    if found is None:
        raise EncodeError(
            f"Expected an ffmpeg executable{f' at {named!r}' if named else ' on the PATH'}, found "
            f"none: install one, or set {ENVIRONMENT} to its path."
        )
    return Path(found).absolute()  # links stay: some wrappers go by the name they are called with


def find_ffmpeg(setting: str | None = None) -> Path:
    """Return the same where it answers like an ffmpeg. Raises EncodeError."""
    path = named_ffmpeg(setting)
    try:
        done = _run([str(path), "-version"], b"")
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EncodeError(
            f"Expected {str(path)!r} to be an ffmpeg, but it does not answer: {error}."
        ) from error
    if done.returncode or not done.stdout.startswith(b"ffmpeg version"):
        raise EncodeError(f"Expected {str(path)!r} to be an ffmpeg, but it is another program.")
    return path


def why_not_own(executable: Path, plan: EncodePlan) -> str | None:
    """Encode one black picture; return None when that works, else what ffmpeg says."""
    width, height = plan.size
    try:
        done = _run(
            [*_input(executable, plan, deep=False), *_encoder(plan), "-f", "null", "-"],
            np.zeros((height, width, plan.channels), np.uint8).tobytes(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return said(done.stderr) if done.returncode else None


def options_there(executable: Path, encoder: str) -> set[str]:
    """Return the options that this ffmpeg has for an encoder, those of every encoder included."""
    done = _run([str(executable), "-hide_banner", "-h", f"encoder={encoder}"], b"")
    listed = re.findall(r"^\s+-([\w-]+)\s", done.stdout.decode(errors="replace"), re.MULTILINE)
    return set(listed) | COMMON


def command(executable: Path, plan: EncodePlan, output: Path, *, deep: bool) -> list[str]:
    """Return the arguments that encode pictures from a pipe into a file. deep: they are uint16."""
    muxer = CONTAINERS[plan.container].muxer
    # Our own paths may begin with a dash or hold a colon; behind "file:" they are only names.
    return [*_input(executable, plan, deep=deep), *_encoder(plan), "-f", muxer, f"file:{output}"]


def said(words: bytes) -> str:
    """Return the end of ffmpeg's standard error as one line."""
    text = words.decode(errors="replace").strip()[-ERROR_CHARACTERS:]
    return " ".join(text.split()) or "it ended without a message"


def _run(arguments: list[str], given: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        arguments,
        input=given,
        capture_output=True,
        timeout=CHECK_SECONDS,
        check=False,
        creationflags=NO_WINDOW,
    )


def _input(executable: Path, plan: EncodePlan, *, deep: bool) -> list[str]:
    width, height = plan.size
    rate = f"{plan.frame_rate.numerator}/{plan.frame_rate.denominator}"
    return [
        str(executable),
        *("-hide_banner", "-v", "error", "-y", "-f", "rawvideo"),
        *("-pix_fmt", _PACKED[plan.channels, deep], "-s", f"{width}x{height}", "-r", rate),
        *("-i", "pipe:0", "-an"),
    ]


def _encoder(plan: EncodePlan) -> list[str]:
    filters = [f"format={plan.pixel_format}"]
    if not is_rgb(plan.pixel_format):
        # The scaler's names are those of the tags but for this one.
        matrix = _MATRICES.get(plan.colors.matrix, "bt709").replace("bt2020nc", "bt2020")
        scale = f"scale=out_color_matrix={matrix}:out_range=tv:{ACCURATE}"
        filters = [scale, *filters, _tags(plan)]
    tag = plan.spec.tag if plan.container in MOV_FAMILY else None
    # With its stream named an option is never taken for one of ffmpeg's own.
    options = [part for name, value in plan.options.items() for part in (f"-{name}:v", value)]
    return [
        *("-vf", ",".join(filters), "-c:v", plan.encoder),
        *options,
        *(("-tag:v", tag) if tag else ()),
    ]


def _tags(plan: EncodePlan) -> str:
    colors = plan.colors
    return (
        f"setparams=colorspace={_MATRICES.get(colors.matrix, 'bt709')}"
        f":color_primaries={_PRIMARIES.get(colors.primaries, 'bt709')}"
        f":color_trc={_TRANSFERS.get(colors.transfer, 'bt709')}:range=tv"
    )
