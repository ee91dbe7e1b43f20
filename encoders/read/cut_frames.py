"""Tell that a file's last frame is shorter than its own header says: bytes of it are missing.

For kinds that state no length of the whole. A file that ends between two frames cannot be told from
a whole one: Ogg's mark of the last page is not set by every phone. MP3 and MPEG-TS are left out:
writers that never flush their encoder, and captures, end within a frame and are all there is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, NamedTuple

_TAIL = 1 << 16  # bytes at the end, in which there are frames enough
_ALIKE = 4  # frames in a row that are no accident
_OGG_PAGE = 27 + 255 + 255 * 255  # bytes of the longest
_WALKED = 1 << 26  # bytes of a file whose frames are counted from the first on
_SHORTEST = 4  # bytes that a head has at least
_HEAD = 12  # bytes that tell a frame's length, in any kind
_AC3_RATES = (*range(32, 65, 8), *range(80, 129, 16), *range(160, 257, 32), *range(320, 641, 64))
# Bytes of a frame behind its first one, by the type that it states.
_AMR_LENGTHS = (12, 13, 15, 17, 19, 20, 26, 31, 5)
_AMR_WIDE_LENGTHS = (17, 23, 32, 36, 40, 46, 50, 58, 60, 5)


class _Frame(NamedTuple):
    length: int  # bytes
    kind: object = None  # the same in all frames of a stream


_Reader = Callable[[bytes], _Frame | None]  # of a frame's head; None where it is none


def ends_inside_frame(kind: str, file: BinaryIO, size: int) -> bool:
    """Tell whether bytes of the last frame are missing. kind: FFmpeg's name of the format."""
    if kind == "ogg":
        return _ogg_breaks(file, size)
    if kind == "amr":
        return _amr_breaks(file, size)
    if kind == "wv":
        return _breaks_from(file, 0, size, _wavpack_frame)
    read_frame = _FRAMES.get(kind)
    return read_frame is not None and _tail_breaks(file, size, read_frame)


def _tail_breaks(file: BinaryIO, size: int, read_frame: _Reader) -> bool:
    """Find frames in a row near the end and follow them."""
    file.seek(max(0, size - _TAIL))
    tail = file.read()
    for start in range(len(tail)):
        at, first, count = start, read_frame(tail[start : start + _HEAD]), 0
        frame = first
        while frame is not None and first is not None and frame.kind == first.kind:
            if at + frame.length > len(tail):
                return count >= _ALIKE
            at, count = at + frame.length, count + 1
            frame = read_frame(tail[at : at + _HEAD])
        if count >= _ALIKE:  # what follows is a part of a head, a tag, or the end
            return 0 < len(tail) - at < _SHORTEST and tail[at] == tail[start]
    return False


def _breaks_from(file: BinaryIO, at: int, size: int, read_frame: _Reader) -> bool:
    """Follow frames from a place on."""
    while at < size:
        file.seek(at)
        frame = read_frame(file.read(_HEAD))
        if frame is None:
            return False
        at += frame.length
    return at > size


def _wavpack_frame(head: bytes) -> _Frame | None:
    is_block = head[:4] == b"wvpk" and len(head) >= 8
    return _Frame(8 + int.from_bytes(head[4:8], "little")) if is_block else None


def _adts_frame(head: bytes) -> _Frame | None:
    """Read the head of raw AAC (ISO/IEC 13818-7, ADTS)."""
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return None
    length = int.from_bytes(head[3:6], "big") >> 5 & 0x1FFF
    kind = (head[1], head[2] & 0xFD, head[3] & 0xC0)
    return _Frame(length, kind) if length > 7 else None


def _ac3_frame(head: bytes) -> _Frame | None:
    """Read the head of AC-3 or E-AC-3 (ETSI TS 102 366)."""
    if len(head) < 6 or head[:2] != b"\x0b\x77":
        return None
    if head[5] >> 3 > 10:
        return _Frame(2 * ((int.from_bytes(head[2:4], "big") & 0x7FF) + 1), "eac3")
    sampling, code = head[4] >> 6, head[4] & 0x3F
    if sampling == 3 or code >= 2 * len(_AC3_RATES):
        return None
    rate = _AC3_RATES[code // 2]
    words = (rate * 2, rate * 320 // 147 + code % 2, rate * 3)[sampling]
    return _Frame(2 * words, sampling)


def _amr_breaks(file: BinaryIO, size: int) -> bool:
    """Count the frames of an AMR (RFC 4867) from the first on: they have no mark to find."""
    head = file.read(9)
    wide = head == b"#!AMR-WB\n"
    lengths = _AMR_WIDE_LENGTHS if wide else _AMR_LENGTHS
    if size > _WALKED or not (wide or head[:6] == b"#!AMR\n"):
        return False

    def read_frame(first: bytes) -> _Frame | None:
        kind = first[0] >> 3 & 15
        if first[0] & 0x83 or not first[0] & 4 or kind in range(len(lengths), 14):
            return None
        return _Frame(1 + (lengths[kind] if kind < len(lengths) else 0))

    return _breaks_from(file, 9 if wide else 6, size, read_frame)


def _ogg_breaks(file: BinaryIO, size: int) -> bool:
    """Tell whether the last page of an Ogg (RFC 3533), or the last packet in it, goes on."""
    file.seek(max(0, size - _OGG_PAGE))
    tail = file.read()
    at = tail.rfind(b"OggS\0")
    if at < 0:
        return False
    count = tail[at + 26] if at + 26 < len(tail) else 1
    segments = tail[at + 27 : at + 27 + count]
    return at + 27 + count + sum(segments) > len(tail) or segments[-1:] == b"\xff"


_FRAMES: dict[str, _Reader] = {
    "aac": _adts_frame,
    "ac3": _ac3_frame,
    "eac3": _ac3_frame,
}
