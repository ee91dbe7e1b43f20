"""A HEIC picture made of tiles, as phones store it; boxes of ISO/IEC 23008-12."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", len(body) + 8, kind) + body


def _full(kind: bytes, *parts: bytes, version: int = 0, flags: int = 0) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags), *parts)


def _coded(tile: np.ndarray) -> tuple[bytes, bytes]:
    """Return the decoder's configuration (hvcC) and the coded picture."""
    held = io.BytesIO()
    with av.open(held, "w", format="mp4") as container:
        stream = container.add_stream("libx265", rate=1)
        stream.height, stream.width = tile.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"x265-params": "log-level=error:keyint=1:lossless=0", "crf": "4"}
        stream.codec_context.codec_tag = "hvc1"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(tile)))
        container.mux(stream.encode(None))
    data = held.getvalue()
    at = data.index(b"hvcC") - 4
    configuration = data[at : at + struct.unpack_from(">I", data, at)[0]]
    held.seek(0)
    with av.open(held, "r") as source:
        packet = next(source.demux(video=0))
        return configuration, bytes(packet)


def write(
    path: Path,
    picture: np.ndarray,
    tile: int,
    brands: Sequence[bytes] = (b"heic", b"mif1"),
    *,
    turns: int = 0,
    mirrored: bool = False,
) -> Path:
    """Write uint8 RGB (H, W, 3) as a grid of square tiles that may reach beyond it.

    turns, mirrored: the picture is shown turned to the left by so many quarters, then mirrored.
    """
    height, width = picture.shape[:2]
    rows, columns = -(-height // tile), -(-width // tile)
    edges = ((0, rows * tile - height), (0, columns * tile - width), (0, 0))
    whole = np.pad(picture, edges, mode="edge")
    parts = [
        np.ascontiguousarray(whole[y : y + tile, x : x + tile])
        for y in range(0, rows * tile, tile)
        for x in range(0, columns * tile, tile)
    ]
    coded = [_coded(part) for part in parts]
    grid = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height)
    datas = [grid, *(data for _configuration, data in coded)]
    tiles = range(2, len(datas) + 1)
    items = [(1, b"grid"), *((number, b"hvc1") for number in tiles)]
    colours = _box(b"colr", b"nclx", struct.pack(">HHHB", 1, 13, 6, 0))
    sizes = [_full(b"ispe", struct.pack(">II", *size)) for size in ((width, height), (tile, tile))]
    shown = [_box(b"irot", bytes([turns]))] * bool(turns)
    shown += [_box(b"imir", b"\1")] * mirrored  # left and right
    ways = range(0x85, 0x85 + len(shown))  # essential, in the order they are applied
    associations = [struct.pack(">HBBB", 1, 2 + len(shown), 1, 4) + bytes(ways)]
    associations += [struct.pack(">HBBBB", number, 3, 2, 0x83, 4) for number in tiles]

    def meta(offset: int) -> bytes:
        places, at = b"", offset
        for number, data in enumerate(datas, 1):
            places += struct.pack(">HHHII", number, 0, 1, at, len(data))
            at += len(data)
        infos = [
            _full(b"infe", struct.pack(">HH4sB", number, 0, kind, 0), version=2)
            for number, kind in items
        ]
        return _full(
            b"meta",
            _full(b"hdlr", bytes(4), b"pict", bytes(13)),
            _full(b"pitm", struct.pack(">H", 1)),
            _full(b"iinf", struct.pack(">H", len(infos)), *infos),
            _full(
                b"iref",
                _box(b"dimg", struct.pack(f">HH{len(tiles)}H", 1, len(tiles), *tiles)),
            ),
            _box(
                b"iprp",
                _box(b"ipco", *sizes, coded[0][0], colours, *shown),
                _full(b"ipma", struct.pack(">I", len(items)), *associations),
            ),
            _full(b"iloc", b"\x44\x00", struct.pack(">H", len(datas)), places),
        )

    head = _box(b"ftyp", brands[0], bytes(4), *brands)
    start = len(head) + len(meta(0)) + 8
    path.write_bytes(head + meta(start) + _box(b"mdat", *datas))
    return path
