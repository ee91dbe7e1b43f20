"""One encode, decided."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from ..color import Colors
from ..interfaces import EncodingConfig
from .codecs import CodecSpec
from .fitting import Placement

ANIMATIONS = ("gif", "webp")
OnFrame = Callable[[int], None]
MakePicture = Callable[[], np.ndarray]


@dataclass(frozen=True)
class PictureFacts:
    """The pictures that a writer gets.

    size: (width, height) in pixels. frame_rate: 1/s.
    time_base: what their times are rounded to, seconds; None for a constant rate.
    colors: of a file that is encoded again; HDR is kept where there are 10 bits for it.
    """

    size: tuple[int, int]
    frame_rate: Fraction
    time_base: Fraction | None = None
    colors: Colors | None = None
    field_order: int = 0  # FFmpeg's number, of interlaced pictures that could be kept as they are


@dataclass(frozen=True)
class Extras:
    """What goes with a result besides its pictures and audio.

    metadata: tags. sources: more files it may not replace.
    on_frame: called with the count after each frame, and again and again while an encoder
        finishes; an exception in it ends the work and leaves no file.
    on_picture: called before it with what makes a small uint8 RGB (H, W, 3) picture of the frame,
        which has to be made before the next one is written.
    """

    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    sources: tuple[Path, ...] = ()
    on_frame: OnFrame | None = None
    on_picture: Callable[[MakePicture], None] | None = None


@dataclass(frozen=True)
class EncodePlan:
    """One encode, decided.

    path: absolute. container: a key of CONTAINERS. encoder, options, pixel_format: FFmpeg's.
    channels: of the pictures, 3 or 4. placement: how they are scaled to the size written.
    time_base: seconds per tick of the time stamps. notes: what is done differently than asked.
    colors: the tags of YUV pictures. sources: files the result may not replace.
    """

    path: Path
    container: str
    spec: CodecSpec
    encoder: str
    options: dict[str, str]
    pixel_format: str
    channels: int
    placement: Placement
    frame_rate: Fraction
    time_base: Fraction
    config: EncodingConfig
    metadata: dict[str, str]
    notes: tuple[str, ...] = ()
    colors: Colors = field(default_factory=Colors)
    sources: tuple[Path, ...] = ()
    field_order: int = 0  # FFmpeg's number, where the pictures stay interlaced

    @property
    def plays_back(self) -> bool:
        """Whether the pictures are shown a second time, from the last to the first."""
        return self.config.pingpong and self.container in ANIMATIONS

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the pictures written."""
        return self.placement.canvas
