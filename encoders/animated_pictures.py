"""Read animated WebP (FFmpeg's demuxers know none) through Pillow, one picture at a time."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from ..errors import MediaError
from .metadata import picture_tags
from .pictures import DAMAGED, laid_on_white
from .sources import check_frame_size

TICK = Fraction(1, 1000)
MAX_PICTURES = 100_000
_SIGNATURE_BYTES = 12


def is_animated_webp(path: Path) -> bool:
    """Tell by its first bytes whether a file is a WebP; a still one is a video of one picture."""
    with path.open("rb") as file:
        head = file.read(_SIGNATURE_BYTES)
    return head[:4] == b"RIFF" and head[8:] == b"WEBP"


class AnimatedPicture:
    """An animated WebP. size: (width, height) in pixels. Raises MediaError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._opened() as picture:
            self.size = picture.size
            self.frame_count = getattr(picture, "n_frames", 1)
            self.metadata = picture_tags(picture)
            self.has_alpha = picture.mode == "RGBA"
            if not 1 <= self.frame_count <= MAX_PICTURES:
                raise self._damaged(f"{self.frame_count} pictures")
            self.durations = self._durations(picture)

    @property
    def duration(self) -> Fraction:
        """Length in seconds."""
        return sum(self.durations) * TICK

    @property
    def starts(self) -> list[int]:
        """When each picture begins, in milliseconds."""
        starts, now = [], 0
        for duration in self.durations:
            starts.append(now)
            now += duration
        return starts

    def pictures(self, start: int = 0) -> Iterator[av.VideoFrame]:
        """Yield rgb24 frames with time stamps in milliseconds, transparency over white."""
        starts = self.starts
        with self._opened() as picture:
            for index in range(start, self.frame_count):
                try:
                    picture.seek(index)
                    array = np.ascontiguousarray(np.asarray(laid_on_white(picture)))
                except DAMAGED as error:
                    if index == 0:
                        raise self._damaged(error) from error
                    return  # what is before the damage is shown, as for every other video
                frame = av.VideoFrame.from_ndarray(array, format="rgb24")
                frame.pts, frame.time_base = starts[index], TICK
                yield frame

    def _durations(self, picture: Image.Image) -> list[int]:
        durations: list[int] = []
        try:
            for index in range(self.frame_count):
                picture.seek(index)
                picture.load()
                durations.append(max(1, int(picture.info.get("duration", 100))))
        except DAMAGED as error:
            if not durations:
                raise self._damaged(error) from error
            self.frame_count = len(durations)
        return durations

    def _opened(self) -> Image.Image:
        try:
            picture = Image.open(self.path, formats=["WEBP"])
            check_frame_size(picture.width, picture.height, repr(self.path.name))
        except MediaError:
            raise
        except (*DAMAGED, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise self._damaged(error) from error
        return picture

    def _damaged(self, reason: object) -> MediaError:
        return MediaError(
            f"Expected an animated picture, {self.path.name!r} is damaged or cut short ({reason}): "
            "make it again."
        )
