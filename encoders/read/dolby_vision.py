"""Dolby Vision: its profile by a file's head, and the one that only its own players show."""

from __future__ import annotations

import re
from pathlib import Path
from typing import BinaryIO

from ...errors import MediaError

# Its configuration: version, then seven bits of profile. In an MP4's sample entry, or added to a
# Matroska track.
_IN_MP4 = re.compile(rb"\x00\x00\x00\x20dv[cvw]C..(.)", re.DOTALL)
_IN_MATROSKA = re.compile(rb"\x41\xe7\x84dv[cvw]C.{0,64}?\x41\xed\x98..(.)", re.DOTALL)
# In a transport stream: its name, then within the same 188 bytes the descriptor of the same bits.
_IN_TS = re.compile(rb"\x05\x04DOVI.{0,150}?\xb0[\x05-\x10]..(.)", re.DOTALL)
_TS_SYNC, _TS_PACKET = 0x47, 188
_MATROSKA = b"\x1a\x45\xdf\xa3"
_HEAD_BYTES = 4 << 20  # of what describes the tracks
_MOST_BOXES = 1000
OWN_COLOURS = 5  # the profile whose pictures are in colours of its own


def refuse_own_colours(path: Path) -> None:
    """Raise MediaError for HEVC whose colours only a Dolby Vision player can show."""
    if dolby_vision_profile(path) == OWN_COLOURS:
        raise MediaError(
            f"Expected colours that are openly specified, but {path.name!r} is Dolby Vision "
            "profile 5, which only its own players can show: export it as HDR10, HLG or SDR."
        )


def dolby_vision_profile(path: Path) -> int | None:
    """Return the profile that an MP4, MOV, MKV or TS states, None for other video."""
    with path.open("rb") as file:
        head = file.read(4)
        if head == _MATROSKA:
            found = _IN_MATROSKA.search(file.read(_HEAD_BYTES))
        elif _is_transport_stream(head + file.read(2 * _TS_PACKET)):
            found = _IN_TS.search(file.read(_HEAD_BYTES))
        else:
            found = _IN_MP4.search(_movie_box(file))
    return found[1][0] >> 1 if found else None


def _is_transport_stream(head: bytes) -> bool:
    return {*head[: 2 * _TS_PACKET : _TS_PACKET]} == {_TS_SYNC}


def _movie_box(file: BinaryIO) -> bytes:
    """Return the box that describes the tracks, as far as it is looked at."""
    at = 0
    for _ in range(_MOST_BOXES):
        file.seek(at)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if head[4:8] == b"moov":
            return head + file.read(min(max(0, length - 16), _HEAD_BYTES))
        if length < 8:
            break
        at += length
    return b""
