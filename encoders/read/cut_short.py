"""Tell from a file's own statement of its size that its end is missing."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream

from .cut_frames import ends_inside_frame
from .index_claims import MAX_BOXES, box_head

# What holds pictures and sound; other boxes, and bytes behind the last one, are nothing to miss.
_CONTENT = (b"mdat", b"moof", b"moov")
_SEGMENT = b"\x18\x53\x80\x67"
_TAIL = 64  # bytes of a GIF in which its trailer lies, whatever somebody put behind it
_ASF_HEADER = 1 << 16  # bytes in which its properties lie, by their own identity
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_IVF_HEAD = 12  # bytes before each picture
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MXF_RUN_IN = 1 << 16  # bytes in which the header's partition lies
_MXF_PARTITION = bytes.fromhex("060e2b34020501010d01020101 02")
_ROUNDING = 1024  # bytes by which careless writers of AVI are wrong


def is_cut_short(container: InputContainer, stream: VideoStream | AudioStream) -> bool:
    """Tell whether an open file ends before its header says.

    stream: pictures, which count with all beside them, or the sound that alone is wanted.
    """
    promises = next((p for kind, p in _PROMISES.items() if kind in container.format.name), None)
    path = Path(container.name)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if promises is None or not promises(file, size):
            return False
    if promises is not _boxes_promise or not stream.frames:
        return True
    wanted = container.streams if isinstance(stream, VideoStream) else [stream]
    indexes = [getattr(each, "index_entries", ()) for each in wanted]
    return any(entry.pos + entry.size > size for index in indexes for entry in index)


def _boxes_promise(file: BinaryIO, size: int) -> bool:
    """Tell whether a box of an MP4 or MOV (ISO/IEC 14496-12) reaches behind the end."""
    at = 0
    for _ in range(MAX_BOXES):
        file.seek(at)
        head = file.read(16)
        kind, length, _ = box_head(head)
        if len(head) < 8 or length < 8:
            return False
        if at + length > size:
            return kind in _CONTENT
        at += length
    return False


def _segment_promises(file: BinaryIO, size: int) -> bool:
    """Tell whether the segment of a Matroska file (RFC 9559) reaches behind the end."""
    file.read(4)
    header = _number(file)
    file.seek(header or 0, os.SEEK_CUR)
    if file.read(4) != _SEGMENT:
        return False
    length = _number(file)
    return length is not None and file.tell() + length > size


def _number(file: BinaryIO) -> int | None:
    """Read a number of variable length; None where it stands for an unknown one."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    more = 8 - first[0].bit_length()
    value = int.from_bytes(bytes([first[0] & (0x7F >> more)]) + file.read(more), "big")
    return None if value == (1 << 7 * (more + 1)) - 1 else value


def _riff_promises(file: BinaryIO, size: int) -> bool:
    """Tell whether the first list of an AVI reaches behind the end."""
    head = file.read(8)
    return 8 + int.from_bytes(head[4:8], "little") > size + _ROUNDING


def _gif_promises(file: BinaryIO, size: int) -> bool:
    """Tell whether the last block of a GIF and the trailer behind it are missing."""
    file.seek(max(0, size - _TAIL))
    return b"\0;" not in file.read(_TAIL)


def _flv_promises(file: BinaryIO, size: int) -> bool:
    """Tell whether the last tag of an FLV lacks the length that each has behind it."""
    start = int.from_bytes(file.read(9)[5:9], "big") + 4
    first = _tag_length(file, start)
    file.seek(start + first)
    if int.from_bytes(file.read(4), "big") != first:
        return False  # a writer that does not keep to it
    file.seek(max(0, size - 4))
    last = int.from_bytes(file.read(4), "big")
    return _tag_length(file, size - 4 - last) != last


def _tag_length(file: BinaryIO, at: int) -> int:
    file.seek(max(0, at))
    return 11 + int.from_bytes(file.read(4)[1:4], "big")


def _asf_promises(file: BinaryIO, size: int) -> bool:
    """Tell whether an ASF (WMV) is shorter than its file properties say."""
    _, found, properties = file.read(_ASF_HEADER).partition(_ASF_PROPERTIES)
    return bool(found) and int.from_bytes(properties[24:32], "little") > size


def _pictures_promise(file: BinaryIO, size: int) -> bool:
    """Tell whether the last picture of an IVF reaches behind the end."""
    at = int.from_bytes(file.read(8)[6:8], "little")
    while at + _IVF_HEAD <= size:
        file.seek(at)
        at += _IVF_HEAD + int.from_bytes(file.read(4), "little")
    return at != size


def _chunks_promise(file: BinaryIO, size: int) -> bool:
    """Tell whether a PNG (ISO/IEC 15948) ends before its last chunk."""
    at, kind = len(_PNG_SIGNATURE), b""
    while kind != b"IEND" and at < size:
        file.seek(at)
        head = file.read(8)
        kind = head[4:]
        at += 12 + int.from_bytes(head[:4], "big")
    return kind != b"IEND" or at > size


def _partitions_promise(file: BinaryIO, size: int) -> bool:
    """Tell whether an MXF (SMPTE ST 377-1) ends before its footer begins."""
    _, found, pack = file.read(_MXF_RUN_IN).partition(_MXF_PARTITION)
    if not found or len(pack) < 3:
        return False
    more = pack[2] & 0x7F if pack[2] & 0x80 else 0  # bytes of the length, behind the kind
    footer = pack[3 + more :][24:32]  # behind the version, the grid and two other places
    return int.from_bytes(footer, "big") > size


_PROMISES: dict[str, Callable[[BinaryIO, int], bool]] = {
    "mp4": _boxes_promise,
    "matroska": _segment_promises,
    "avi": _riff_promises,
    "gif": _gif_promises,
    "flv": _flv_promises,
    "asf": _asf_promises,
    "ivf": _pictures_promise,
    "apng": _chunks_promise,
    "mxf": _partitions_promise,
    "ogg": partial(ends_inside_frame, "ogg"),
}
