"""An encoder's own options, given by a user: named plainly, and never the name of a file.

Encoders can write statistics and read tables by options; a format file that somebody shares must
not be able to do that, nor add an input or output to a command line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..errors import EncodeError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_VALUE = re.compile(r"[^/\\\x00-\x1f]{0,1000}")
# Of x264, x265, SVT-AV1, libaom and libvpx, also inside their own lists ("x265-params").
_FILE_OPTIONS = frozenset((
    "analysis-load", "analysis-load-reuse-level", "analysis-reuse-file", "analysis-save", "cqm",
    "cqmfile", "csv", "dhdr10-info", "dolby-vision-rpu", "dump-yuv", "fgs-table",
    "film-grain-table", "input-stat-file", "lambda-file", "log-file", "multi-pass-opt-analysis",
    "nalu-file", "output", "pass", "passlogfile", "psnr-file", "qpfile", "recon",
    "recon-y4m-exec", "refine-analysis-type", "scaling-list", "stat-report", "stats",
    "tcfile-in", "tcfile-out", "two-pass-stats", "vmaf_model_path", "zonefile", "zones",
))  # fmt: skip
# Options that every encoder of FFmpeg's has, which its own help does not repeat.
GENERIC = frozenset((
    "b", "bf", "bufsize", "compression_level", "flags", "g", "global_quality", "keyint_min",
    "level", "maxrate", "minrate", "profile", "qdiff", "qmax", "qmin", "refs", "sc_threshold",
    "slices", "threads", "trellis",
))  # fmt: skip


def checked_options(options: Mapping[str, Any], *, where: str) -> dict[str, str]:
    """Return options as texts. Raises EncodeError naming ``where`` they were found."""
    checked: dict[str, str] = {}
    for name, value in options.items():
        if not _NAME.fullmatch(name):
            raise EncodeError(f"Expected names of encoder options in {where!r}, got {name!r}.")
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise EncodeError(
                f"Expected a text or number for the option {name} in {where!r}, got {value!r}."
            )
        text = str(value)
        names = {part.split("=")[0].strip().lower() for part in re.split("[:,]", text)}
        if not _VALUE.fullmatch(text) or (names | {name.lower()}) & _FILE_OPTIONS:
            raise EncodeError(
                f"Expected options that name no files in {where!r}, got {name} = {text!r}: "
                "remove it."
            )
        checked[name] = text
    return checked


def parse_options(text: str) -> dict[str, str]:
    """Read ``name=value,name=value``. Raises EncodeError."""
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if not all(equals for _, equals, _ in pairs):
        raise EncodeError(f"Expected encoder options as name=value,name=value, got {text!r}.")
    return checked_options({n.strip(): v.strip() for n, _, v in pairs}, where="the options")
