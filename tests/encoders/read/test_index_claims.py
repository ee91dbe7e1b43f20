from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from avatarvideo.encoders.read.audio import read_audio
from avatarvideo.encoders.read.index_claims import MAX_CLAIMED, check_claims
from avatarvideo.encoders.read.video import VideoReader
from avatarvideo.errors import MediaError
from avatarvideo.media import AudioClip


def _box(kind: bytes, body: bytes, *, long: bool = False) -> bytes:
    if long:
        return struct.pack(">I4sQ", 1, kind, 16 + len(body)) + body
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _sizes(size: int, count: int) -> bytes:
    table = _box(b"stsz", struct.pack(">III", 0, size, count))
    for kind in (b"stbl", b"minf", b"mdia", b"trak", b"moov"):
        table = _box(kind, table)
    return table


def _run(flags: int, count: int) -> bytes:
    return _box(b"moof", _box(b"traf", _box(b"trun", struct.pack(">II", flags, count))))


def _written(folder: Path, data: bytes) -> Path:
    path = folder / "a.mp4"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "data",
    [
        _sizes(1, MAX_CLAIMED + 1),
        _box(b"mdat", bytes(99), long=True) + _sizes(7, 2**32 - 1),
        _run(0, MAX_CLAIMED + 1),
        _run(1, MAX_CLAIMED // 2 + 1) * 2,
    ],
    ids=["one size", "behind a long box", "fragment", "fragments together"],
)
def test_more_frames_than_bytes_are_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(MediaError, match="claims"):
        check_claims(_written(tmp_path, data))


def test_a_compressed_index_is_refused(tmp_path: Path) -> None:
    path = _written(tmp_path, _box(b"moov", _box(b"cmov", bytes(20))))

    with pytest.raises(MediaError, match="is compressed"):
        check_claims(path)


@pytest.mark.parametrize(
    "data",
    [
        _sizes(0, 2**32 - 1),  # a table would have to follow, and ends with the file
        _run(0x200, 2**32 - 1),  # the same for a fragment
        _sizes(1, 500) + _box(b"mdat", bytes(1000)),
        _box(b"moov", b"") * 50 + bytes(50),
        struct.pack(">I4s", 0, b"moov"),
        struct.pack(">I4sQ", 1, b"moov", 3),
        struct.pack(">I4s", 2**32 - 1, b"trak") * 9,
        b"RIFF....WAVEfmt ",
        b"x",
    ],
)
def test_everything_else_passes(tmp_path: Path, data: bytes) -> None:
    check_claims(_written(tmp_path, data))


def test_an_mp4_without_its_index_is_called_cut(
    tmp_path: Path, make_video: Callable[..., Path], tone: Callable[..., AudioClip]
) -> None:
    content = make_video(tmp_path / "in.mp4", audio=tone(16000)).read_bytes()
    at, boxes = 0, dict[bytes, bytes]()
    while at < len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        boxes[content[at + 4 : at + 8]] = content[at : at + length]
        at += length
    path = tmp_path / "a.mp4"
    path.write_bytes(boxes[b"ftyp"] + boxes[b"mdat"][:-99])

    for read in (VideoReader, read_audio):
        with pytest.raises(MediaError) as caught:
            read(path)
        assert str(caught.value) == (
            "Expected the whole of 'a.mp4', but its end is missing and with it its index, without "
            "which nothing can be read: copy or download it again."
        )
    path.write_bytes(boxes[b"ftyp"] + b"\0\0\0\7rubbish" * 9)
    with pytest.raises(MediaError, match="damaged or in a format that is not supported"):
        VideoReader(path)
