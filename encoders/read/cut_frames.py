"""Tell that a file's last frame is shorter than its own header says: bytes of it are missing.

For kinds that state no length of the whole. A file that ends between two frames cannot be told from
a whole one: Ogg's mark of the last page is not set by every phone.
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
_TS_STEPS = ((188, 0), (192, 4), (204, 0))  # bytes from packet to packet, and before its first one
_TS_SYNC = 0x47
# kbit/s by the header's number, of MPEG 1 layers I, II and III, then of MPEG 2 layers I and others
_MP3_RATES = (
    (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)
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
    if kind == "mpegts":
        return _ts_breaks(file, size)
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


def _mpeg_frame(head: bytes) -> _Frame | None:
    """Read the head of MPEG audio (ISO/IEC 11172-3 and 13818-3)."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    rate, sampling = head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer == 4 or not 0 < rate < 15 or sampling == 3:
        return None
    is_first = version == 3
    table = layer - 1 if is_first else 3 if layer == 1 else 4
    hertz = (44100, 48000, 32000)[sampling] >> {3: 0, 2: 1, 0: 2}[version]
    bits = 1000 * _MP3_RATES[table][rate - 1]
    padding = head[2] >> 1 & 1
    if layer == 1:
        length = 4 * (12 * bits // hertz + padding)
    else:
        length = (72 if layer == 3 and not is_first else 144) * bits // hertz + padding
    return _Frame(length, (version, layer, sampling))


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


def _ts_breaks(file: BinaryIO, size: int) -> bool:
    """Tell whether the last packet of an MPEG-TS (ISO/IEC 13818-1) is a part of one."""
    head = file.read(_ALIKE * max(step for step, _ in _TS_STEPS))
    for step, first in _TS_STEPS:
        if set(head[first::step]) == {_TS_SYNC} and len(head) > step:
            there = size % step
            file.seek(size - there - step)
            tail = file.read()
            begins = tail[first] == _TS_SYNC and tail[first + step : first + step + 1] in (
                b"",
                bytes([_TS_SYNC]),
            )
            return there > 0 and begins
    return False


_FRAMES: dict[str, _Reader] = {
    "aac": _adts_frame,
    "mp3": _mpeg_frame,
    "ac3": _ac3_frame,
    "eac3": _ac3_frame,
}
