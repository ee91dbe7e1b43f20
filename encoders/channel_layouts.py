"""FFmpeg's usual layout for each number of audio channels."""

from __future__ import annotations

_NAMES = ("mono", "stereo", "3.0", "4.0", "5.0", "5.1", "6.1", "7.1")
LAYOUTS = dict(enumerate(_NAMES, start=1))
