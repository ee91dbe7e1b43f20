"""GIF and animated WebP, written picture by picture: exact times, flat memory, only what changed.

Pillow's own writers keep every picture until the end, and FFmpeg's WebP encoder loses the last
picture's duration; so Pillow encodes each picture as a still, and the file around it is ours
(GIF89a specification; WebP container specification, chunks VP8X, ANIM and ANMF).
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

import numpy as np
from PIL import GifImagePlugin, Image

from ..metadata import exif_of
from .audio_feed import AudioWriter
from .output_file import PendingFile
from .plan import EncodePlan

logger = logging.getLogger("avatarvideo.encoders.write.animation_target")

MAX_WEBP_QUALITY = 100
WEBP_CRF_SCALE = 63
HALF_OPAQUE = 128  # a GIF's pixels are opaque or clear
CLEAR_INDEX = 255  # of the palette, in pictures with transparency


@dataclass
class _Held:
    """A coded picture; the next one's time gives its duration."""

    box: tuple[int, int, int, int]  # x, y, width, height
    data: bytes
    tick: int


class AnimationTarget(ABC):
    """Writes an animation. Raises EncodeError."""

    unit: Fraction  # seconds
    shortest = 1  # units a picture is shown at least
    grid = 1  # boxes begin at multiples of so many pixels

    def __init__(self, plan: EncodePlan) -> None:
        self._plan = plan
        self.audio: AudioWriter | None = None
        self._pending = PendingFile(
            plan.path, overwrite=plan.config.overwrite, sources=plan.sources
        )
        self._before: np.ndarray | None = None
        self._held: _Held | None = None
        self._end = 0
        self._left_out = 0
        with self._pending.explaining(self._pending.remove):
            self._file = self._pending.temporary.open("wb")
        with self._pending.explaining(self.abort):
            self._begin(self._file)

    def add(self, picture: np.ndarray, tick: int) -> None:
        time = tick * self._plan.time_base
        start = round(time / self.unit)
        self._end = round((time + 1 / self._plan.frame_rate) / self.unit)
        if self._held is not None and start < self._held.tick + self.shortest:
            self._left_out += 1
            return
        with self._pending.explaining(self.abort):
            box = changed_box(self._base(), picture, self.grid)
            x, y, width, height = box
            coded = self._coded(picture[y : y + height, x : x + width], (x, y))
            self._flush(start)
            self._held = _Held(box, coded, start)
            self._before = picture.copy()

    def finish(self, audio_end: Fraction | None, check: Callable[[], None]) -> None:
        if self._left_out:
            logger.warning(
                "%s: %d pictures were left out, because a %s cannot show so many per second",
                self._plan.path.name,
                self._left_out,
                self._plan.container,
            )
        with self._pending.explaining(self.abort):
            self._flush(max(self._end, self._held.tick + self.shortest if self._held else 0))
            self._complete(self._file)
            self._file.close()
            self._pending.place()

    def abort(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
        self._pending.remove()

    def _base(self) -> np.ndarray | None:
        """Return the picture that the next one is drawn over."""
        return self._before

    def _flush(self, now: int) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._write(self._file, held, now - held.tick)

    @abstractmethod
    def _begin(self, file: BinaryIO) -> None: ...

    @abstractmethod
    def _coded(self, part: np.ndarray, offset: tuple[int, int]) -> bytes: ...

    @abstractmethod
    def _write(self, file: BinaryIO, held: _Held, units: int) -> None: ...

    @abstractmethod
    def _complete(self, file: BinaryIO) -> None: ...


def changed_box(
    before: np.ndarray | None, picture: np.ndarray, grid: int
) -> tuple[int, int, int, int]:
    """Return x, y, width, height of what differs, at least one cell; all of it at first."""
    height, width = picture.shape[:2]
    if before is None:
        return 0, 0, width, height
    differs = (before != picture).any(axis=2)
    rows, columns = np.flatnonzero(differs.any(axis=1)), np.flatnonzero(differs.any(axis=0))
    if not rows.size:
        return 0, 0, min(grid, width), min(grid, height)
    x, y = columns[0] // grid * grid, rows[0] // grid * grid
    return int(x), int(y), int(columns[-1] + 1 - x), int(rows[-1] + 1 - y)


class GifTarget(AnimationTarget):
    """A GIF with a palette for each picture; above 50 pictures a second some are left out."""

    unit = Fraction(1, 100)
    shortest = 2  # browsers show anything shorter for a tenth of a second

    def _begin(self, file: BinaryIO) -> None:
        width, height = self._plan.size
        file.write(b"GIF89a" + struct.pack("<HHBBB", width, height, 0x70, 0, 0))
        loop = self._plan.config.loop
        if loop != 1:  # the number in the file is how often it is repeated after the first time
            again = struct.pack("<HB", max(0, loop - 1), 0)
            file.write(b"\x21\xff\x0bNETSCAPE2.0\x03\x01" + again)
        if self._plan.metadata:
            text = json.dumps(self._plan.metadata).encode()
            blocks = (text[start : start + 255] for start in range(0, len(text), 255))
            file.write(b"\x21\xfe" + b"".join(bytes([len(b)]) + b for b in blocks) + b"\x00")

    def _base(self) -> np.ndarray | None:
        # A clear pixel does not clear what lies under it: each picture starts from nothing.
        return None if self._plan.channels == 4 else super()._base()

    def _coded(self, part: np.ndarray, offset: tuple[int, int]) -> bytes:
        picture = Image.fromarray(np.ascontiguousarray(part[..., :3]))
        transparent = self._plan.channels == 4
        colors = 256 - transparent
        # Median cut drops small areas of their own colour, such as lips.
        indexed = picture.quantize(colors, method=Image.Quantize.FASTOCTREE)
        if self._plan.options["preset"] == "dithered":
            indexed = picture.quantize(palette=indexed, dither=Image.Dither.FLOYDSTEINBERG)
        if transparent:
            clear = part[..., 3] < HALF_OPAQUE
            numbers = np.where(clear, CLEAR_INDEX, np.asarray(indexed)).astype(np.uint8)
            palette = (indexed.getpalette() or [])[: 3 * colors]
            indexed = Image.fromarray(numbers, "P")
            indexed.putpalette([*palette, *[0] * (768 - len(palette))])
        return b"".join(GifImagePlugin.getdata(indexed, offset, include_color_table=True))

    def _write(self, file: BinaryIO, held: _Held, units: int) -> None:
        # Kept for the next picture to draw over; cleared where it is transparent.
        flags, clear = (2 << 2 | 1, CLEAR_INDEX) if self._plan.channels == 4 else (1 << 2, 0)
        times = struct.pack("<BHBB", flags, min(units, 65535), clear, 0)
        file.write(b"\x21\xf9\x04" + times + held.data)

    def _complete(self, file: BinaryIO) -> None:
        file.write(b"\x3b")


class WebpTarget(AnimationTarget):
    """An animated WebP, lossy, with transparency where asked; at most 90 pictures a second."""

    unit = Fraction(1, 1000)
    shortest = 11  # as for a GIF
    grid = 2  # offsets are stored halved

    def _begin(self, file: BinaryIO) -> None:
        self._exif = exif_of(self._plan.metadata)
        flags = 0x02 | (0x10 if self._plan.channels == 4 else 0) | (0x08 if self._exif else 0)
        width, height = self._plan.size
        file.write(b"RIFF\0\0\0\0WEBP")
        file.write(_chunk(b"VP8X", bytes([flags, 0, 0, 0]) + _int24(width - 1, height - 1)))
        file.write(_chunk(b"ANIM", struct.pack("<IH", 0, self._plan.config.loop)))

    def _coded(self, part: np.ndarray, offset: tuple[int, int]) -> bytes:
        crf = int(self._plan.options["crf"])
        quality = round(MAX_WEBP_QUALITY * (1 - crf / WEBP_CRF_SCALE))
        buffer = io.BytesIO()
        method = int(self._plan.options["method"])
        Image.fromarray(part).save(buffer, "WEBP", quality=quality, method=method)
        return b"".join(
            _chunk(name, body)
            for name, body in _chunks(buffer.getvalue())
            if name in (b"ALPH", b"VP8 ", b"VP8L")
        )

    def _write(self, file: BinaryIO, held: _Held, units: int) -> None:
        x, y, width, height = held.box
        replace_not_blend = 0x02
        header = _int24(x // 2, y // 2, width - 1, height - 1, min(units, 0xFFFFFF))
        file.write(_chunk(b"ANMF", header + bytes([replace_not_blend]) + held.data))

    def _complete(self, file: BinaryIO) -> None:
        if self._exif:
            file.write(_chunk(b"EXIF", self._exif))
        size = file.tell() - 8
        if size >= 1 << 32:
            raise ValueError("a WebP holds at most 4 GiB")
        file.seek(4)
        file.write(struct.pack("<I", size))


def _int24(*values: int) -> bytes:
    return b"".join(struct.pack("<I", value)[:3] for value in values)


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 12
    while position + 8 <= len(data):
        size = struct.unpack("<I", data[position + 4 : position + 8])[0]
        yield data[position : position + 4], data[position + 8 : position + 8 + size]
        position += 8 + size + size % 2
