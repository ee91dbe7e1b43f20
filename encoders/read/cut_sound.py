"""Tell from a sound file's own statement of its length that its end is missing."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, Literal

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError

from ...media import SoundLack
from .cut_frames import ends_inside_frame
from .cut_short import is_cut_short
from .open import open_media

_ROUNDING = 64  # bytes by which careless writers are wrong
_LEAST = Fraction(1, 100)  # seconds of sound; less is rounding
_COUNTED = ("flac", "tta", "wv", "ape")  # whose headers state the number of samples
_TELLING = (*_COUNTED, "mp3", "mp4", "matroska", "flv")  # whose headers state seconds
_WAVE64_DATA = b"data" + bytes.fromhex("f3acd3118cd100c04f8edb8a")
_MP3_HEAD = 4096  # bytes from the first frame on, in which its index lies

Sizes = tuple[int, int]  # bytes: of the sound by its header, and those that are there


class SoundEnd:
    """The end of a sound that is being read.

    may_lack: its file states more than it holds. lack: what is missing of the part that was
    asked for, known only when that was read.
    """

    def __init__(self, may_lack: bool = False) -> None:
        self.may_lack = may_lack
        self.lack: SoundLack | None = None


class FileEnd(SoundEnd):
    """The end of a sound that is read from an open file."""

    def __init__(self, container: InputContainer, stream: AudioStream) -> None:
        self._name = Path(container.name).name
        self._share = Fraction(0)  # how many times what is there is stated
        self._stated = _stated_seconds(container, stream)
        super().__init__(self._looked_at(container, stream))

    def ran_out(self, there: Fraction) -> None:
        """Say that all was read, ``there`` seconds, and more was wanted."""
        if self.may_lack:
            stated = max(self._stated, there * self._share)
            self.lack = SoundLack(self._name, there, stated if stated > there + _LEAST else None)

    def _looked_at(self, container: InputContainer, stream: AudioStream) -> bool:
        kind, path = container.format.name, Path(container.name)
        if kind in _COUNTED and _lacks_samples(path, self._stated):
            return True
        sizes_of = _SIZES.get(kind)
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            sizes = None if sizes_of is None else sizes_of(file, size)
            if sizes is None:
                file.seek(0)
                breaks = ends_inside_frame(kind, file, size)
                return breaks or (sizes_of is None and is_cut_short(container, stream))
        if sizes[0] <= sizes[1] + _ROUNDING:
            return False
        self._share = Fraction(sizes[0], sizes[1]) if sizes[1] > 0 else Fraction(0)
        return True


def _stated_seconds(container: InputContainer, stream: AudioStream) -> Fraction:
    kind = container.format.name
    if not any(each in kind for each in _TELLING) or ("mp4" in kind and not stream.frames):
        return Fraction(0)  # what FFmpeg says then, for fragments too, is of what is there
    if stream.duration and stream.time_base:
        return stream.duration * stream.time_base
    return Fraction(container.duration or 0, av.time_base)


def _lacks_samples(path: Path, stated: Fraction) -> bool:
    """Tell whether the packets of a file end before its header says."""
    end = Fraction(0)
    try:
        with open_media(path) as container:
            for packet in container.demux(audio=0):
                if packet.pts is not None and packet.time_base:
                    end = (packet.pts + (packet.duration or 0)) * packet.time_base
    except (FFmpegError, OSError):
        return True
    return end + _LEAST < stated


@dataclass(frozen=True)
class _Chunks:
    """How a file is made of chunks: where the first begins, and their heads.

    name: how long the names are; data: that of the sound's chunk. length: how long a chunk's
    length is, which may count its head. step: chunks begin at its multiples.
    """

    data: bytes
    first: int
    name: int
    length: int
    order: Literal["little", "big"]
    step: int
    counts_head: bool = False

    def __call__(self, file: BinaryIO, size: int) -> Sizes | None:
        at, long = self.first, 0
        head_size = self.name + self.length
        while at + head_size <= size:
            file.seek(at)
            head = file.read(head_size + 16)
            length = int.from_bytes(head[self.name : head_size], self.order)
            if self.counts_head:
                length -= head_size
            if head[: self.name] == b"ds64":  # lengths of a WAV above 4 GiB
                long = int.from_bytes(head[head_size + 8 : head_size + 16], "little")
            if head[: self.name] == self.data:
                length = long or length
                there = size - at - head_size
                return None if _is_open(length, self.length) else (length, there)
            if length < 0:
                return None
            at += head_size + length
            at += -at % self.step
        return None


def _is_open(length: int, width: int) -> bool:
    """Tell whether a length stands for an unknown one, as in what is written into a pipe."""
    if width == 8:
        return not 0 < length < 1 << 62
    return length == 0 or length >= 0xFFFF0000 or 0x7FFE0000 <= length <= 0x7FFFFFFF


def _au_sizes(file: BinaryIO, size: int) -> Sizes | None:
    head = file.read(12)
    length = int.from_bytes(head[8:12], "big")
    there = size - int.from_bytes(head[4:8], "big")
    return None if _is_open(length, 4) else (length, there)


def _mp3_sizes(file: BinaryIO, size: int) -> Sizes | None:
    """Return what the index in the first frame of an MP3 (Xing, LAME or Fraunhofer) says."""
    head, at = file.read(10), 0
    if head[:3] == b"ID3":
        more = 10 if head[5] & 0x10 else 0
        length = sum(byte << 7 * place for place, byte in enumerate(reversed(head[6:10])))
        at = 10 + length + more
    file.seek(at)
    first = file.read(_MP3_HEAD)
    found = [(first.find(name), name) for name in (b"Xing", b"Info", b"VBRI")]
    place, name = min(((p, n) for p, n in found if p >= 0), default=(-1, b""))
    if place < 0:
        return None
    begin = first.rfind(b"\xff", 0, place)
    while begin >= 0 and (begin + 1 >= len(first) or first[begin + 1] < 0xE0):
        begin = first.rfind(b"\xff", 0, begin)
    if begin < 0:
        return None
    if name == b"VBRI":
        length = int.from_bytes(first[place + 10 : place + 14], "big")
    else:
        flags = int.from_bytes(first[place + 4 : place + 8], "big")
        where = place + 8 + 4 * (flags & 1)
        length = int.from_bytes(first[where : where + 4], "big") if flags & 2 else 0
    return length, size - at - begin


_SIZES: dict[str, Callable[[BinaryIO, int], Sizes | None]] = {
    "wav": _Chunks(b"data", 12, 4, 4, "little", 2),
    "w64": _Chunks(_WAVE64_DATA, 40, 16, 8, "little", 8, counts_head=True),
    "aiff": _Chunks(b"SSND", 12, 4, 4, "big", 2),
    "caf": _Chunks(b"data", 8, 4, 8, "big", 1),
    "au": _au_sizes,
    "mp3": _mp3_sizes,
}
