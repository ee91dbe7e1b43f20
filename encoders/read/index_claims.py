"""What the index of an MP4 or MOV claims, read before FFmpeg sets memory aside for it.

FFmpeg makes an entry of 24 bytes or more for every frame that is claimed, so a file of a
kilobyte could take gigabytes. Boxes: ISO/IEC 14496-12.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ...errors import MediaError

MAX_CLAIMED = 5_000_000  # a day of 60 frames a second; FFmpeg takes about 300 MB for it
MAX_BOXES = 1_000_000
_FOLDERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf"}
_SIZES_FOLLOW = 0xF00  # flags of a fragment's run: each frame has bytes of its own there
_HEAD = 20  # bytes of a box's body that are looked at


@dataclass(frozen=True)
class _Box:
    kind: bytes
    begin: int  # of the body
    end: int
    head: bytes  # the first bytes of the body


def check_claims(path: Path) -> None:
    """Refuse an index that claims more frames than any file of its size can hold.

    Files of other kinds pass. Raises MediaError.
    """
    tables = runs = 0
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        for box in _boxes(file, size):
            words = [int.from_bytes(box.head[at : at + 4], "big") for at in range(0, 12, 4)]
            # Without one size for all frames a table follows, which is no longer than the file.
            if box.kind == b"stsz" and words[1] * words[2] > size:
                tables += words[2]
            elif box.kind == b"trun" and not words[0] & _SIZES_FOLLOW:
                runs += words[1]
            elif box.kind == b"cmov":  # QuickTime of the nineties; it could hold anything
                raise MediaError(
                    f"Expected an index as it is, that of {path.name!r} is compressed: convert it "
                    "again."
                )
    # What runs may also be plain sound, a byte each.
    claimed = tables + (runs if runs > size else 0)
    if claimed > MAX_CLAIMED:
        raise MediaError(
            f"Expected at most {MAX_CLAIMED:,} frames, {path.name!r} claims {claimed:,} in "
            f"{size:,} bytes: it is damaged, convert it again."
        )


def _boxes(file: BinaryIO, size: int) -> Iterator[_Box]:
    """Yield the boxes that hold others, and those inside of them, as far as they make sense."""
    pending = [(0, size)]
    for _ in range(MAX_BOXES):
        if not pending:
            return
        at, end = pending.pop()
        box = _box_at(file, at, end)
        if box is None:
            continue
        pending.append((box.end, end))
        if box.kind in _FOLDERS:
            pending.append((box.begin, box.end))
        yield box


def _box_at(file: BinaryIO, at: int, end: int) -> _Box | None:
    if at + 8 > end:
        return None
    file.seek(at)
    head = file.read(16 + _HEAD)
    length, begin = int.from_bytes(head[:4], "big"), at + 8
    if length == 1:
        length, begin = int.from_bytes(head[8:16], "big"), at + 16
    elif length == 0:
        length = end - at
    if length < begin - at:
        return None
    return _Box(head[4:8], begin, min(end, at + length), head[begin - at :][:_HEAD])
