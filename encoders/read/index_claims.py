"""What the index of an MP4 or MOV claims, read before FFmpeg sets memory aside for it.

FFmpeg makes an entry of 24 bytes or more for every frame that is claimed, so a file of a
kilobyte could take gigabytes. Boxes: ISO/IEC 14496-12.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ...errors import MediaError

MAX_CLAIMED = 5_000_000  # a day of 60 frames a second; FFmpeg takes about 300 MB for it
MAX_BOXES = 1_000_000
_FOLDERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf"}
_SIZES_FOLLOW = 0xF00  # flags of a fragment's run: each frame has bytes of its own there
_WORDS = 3  # of a box's body, that are looked at


def check_claims(path: Path) -> None:
    """Raise MediaError for an index that claims more frames than a file of its size can hold."""
    tables = runs = 0
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        for kind, words in _boxes(file, size):
            # Without one size for all frames a table follows, which is no longer than the file.
            if kind == b"stsz" and words[1] * words[2] > size:
                tables += words[2]
            elif kind == b"trun" and not words[0] & _SIZES_FOLLOW:
                runs += words[1]
            elif kind == b"cmov":  # QuickTime of the nineties; it could hold anything
                raise MediaError(
                    f"Expected an uncompressed index, but that of {path.name!r} is compressed: "
                    "convert it again."
                )
    # What runs may also be plain audio, a byte each.
    claimed = tables + (runs if runs > size else 0)
    if claimed > MAX_CLAIMED:
        raise MediaError(
            f"Expected at most {MAX_CLAIMED:,} frames, but {path.name!r} claims {claimed:,} in "
            f"{size:,} bytes: it is damaged, convert it again."
        )


def lacks_index(path: Path) -> bool:
    """Tell whether an MP4 or MOV was cut before its index, which lies behind what it holds."""
    with path.open("rb") as file:
        size, at, kinds = os.fstat(file.fileno()).st_size, 0, list[bytes]()
        while at + 8 <= size and len(kinds) < MAX_BOXES:
            file.seek(at)
            kind, length, least = box_head(file.read(16))
            kinds.append(kind)
            at += length if length >= least else size
    begins = bool(kinds) and kinds[0] in (b"ftyp", b"wide", b"mdat", b"free", b"skip")
    return begins and b"mdat" in kinds and not {b"moov", b"moof"} & set(kinds)


def box_head(head: bytes) -> tuple[bytes, int, int]:
    """Return a box's kind, its length in bytes, 0 for up to the end, and that of its head.

    head: its first 16 bytes, or what there is of them.
    """
    length = int.from_bytes(head[:4], "big")
    if length == 1:
        return head[4:8], int.from_bytes(head[8:16], "big"), 16
    return head[4:8], length, 8


def _boxes(file: BinaryIO, size: int) -> Iterator[tuple[bytes, list[int]]]:
    """Yield the kind of every box and the first words of its body, as far as they make sense."""
    pending = [(0, size)]
    for _ in range(MAX_BOXES):
        if not pending:
            return
        at, end = pending.pop()
        file.seek(at)
        head = file.read(16 + 4 * _WORDS)
        kind, length, body = box_head(head)
        if length == 0 and body == 8:
            length = end - at
        if at + 8 > end or length < body:
            continue
        box_end = min(end, at + length)
        pending.append((box_end, end))
        if kind in _FOLDERS:
            pending.append((at + body, box_end))
        starts = range(body, body + 4 * _WORDS, 4)
        yield kind, [int.from_bytes(head[start : start + 4], "big") for start in starts]
