"""Read animated WebP (FFmpeg's demuxers know none) through Pillow, one picture at a time."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageOps

from ...errors import MediaError
from ..metadata import picture_tags
from .open import check_frame_size
from .picture import DAMAGED
from .still_colors import in_srgb
from .still_kinds import head_of, is_webp

logger = logging.getLogger("avatarvideo.encoders.read.animated_webp")

TICK = Fraction(1, 1000)
STILL_TICKS = 100  # how long a picture stays that does not say so
UNSTATED_TICKS = 10  # up to here browsers and FFmpeg's GIF reader take it for unsaid too
MAX_PICTURES = 100_000
OPAQUE = 255
_ANIMATION_FRAME_BYTES = 24  # a chunk's name and size, x, y, width, height, duration, flags


def is_animated_webp(path: Path) -> bool:
    """Tell by its first bytes whether a file is a WebP; a still one is a video of one picture."""
    return is_webp(head_of(path))


class AnimatedPicture:
    """An animated WebP. Raises MediaError.

    size: (width, height) in pixels, upright. note: a sentence where the colours are not sRGB's.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with self._opened() as picture:
                self.size = ImageOps.exif_transpose(picture).size
                self.frame_count = getattr(picture, "n_frames", 1)
                self.metadata = picture_tags(picture)
                least = (
                    picture.getchannel("A").getextrema()[0] if picture.mode == "RGBA" else OPAQUE
                )
                self.has_alpha = least != OPAQUE
                self.note = in_srgb(picture, b"")[1]
        except DAMAGED as error:
            raise self._damaged(error) from error
        if not 1 <= self.frame_count <= MAX_PICTURES:
            raise self._damaged(f"{self.frame_count} pictures")
        known = _stated_durations(path)[: self.frame_count]
        self.durations = known + [STILL_TICKS] * (self.frame_count - len(known))

    @property
    def duration(self) -> Fraction:
        """Length in seconds."""
        return sum(self.durations) * TICK

    @property
    def starts(self) -> list[int]:
        """When each picture begins, in milliseconds."""
        return list(itertools.accumulate(self.durations[:-1], initial=0))

    def pictures(self, start: int = 0) -> Iterator[av.VideoFrame]:
        """Yield frames, rgb24 or rgba, with time stamps in milliseconds."""
        mode, form = ("RGBA", "rgba") if self.has_alpha else ("RGB", "rgb24")
        starts = self.starts
        with self._opened() as picture:
            for index in range(start, self.frame_count):
                try:
                    picture.seek(index)
                    shown = in_srgb(picture.convert(mode), b"")[0]
                    array = np.array(ImageOps.exif_transpose(shown))
                except DAMAGED as error:
                    if index == 0:
                        raise self._damaged(error) from error
                    # What is before the damage is shown, as for every other video.
                    logger.warning(
                        "%s: %d pictures are damaged and were left out",
                        self.path.name,
                        self.frame_count - index,
                    )
                    return
                frame = av.VideoFrame.from_ndarray(array, format=form)
                frame.pts, frame.time_base = starts[index], TICK
                yield frame

    def _opened(self) -> Image.Image:
        try:
            picture = Image.open(self.path, formats=["WEBP"])
        except DAMAGED as error:
            raise self._damaged(error) from error
        check_frame_size(picture.width, picture.height, repr(self.path.name))
        return picture

    def _damaged(self, reason: object) -> MediaError:
        return MediaError(
            f"Expected an animated picture, but {self.path.name!r} is damaged or cut short "
            f"({reason}): make it again."
        )


def _stated_durations(path: Path) -> list[int]:
    """Return how long each picture of a WebP stays, in milliseconds, without decoding any."""
    durations: list[int] = []
    with path.open("rb") as file:
        at = 12  # after the signature
        while len(durations) < MAX_PICTURES:
            file.seek(at)
            head = file.read(_ANIMATION_FRAME_BYTES)
            if len(head) < _ANIMATION_FRAME_BYTES:
                return durations
            if head[:4] == b"ANMF":
                stated = int.from_bytes(head[20:23], "little")
                durations.append(stated if stated > UNSTATED_TICKS else STILL_TICKS)
            size = int.from_bytes(head[4:8], "little")
            at += 8 + size + size % 2
    return durations
