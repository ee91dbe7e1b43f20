"""One encode, decided."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from ..color import Colors
from ..interfaces import EncodingConfig
from .codecs import CodecSpec
from .fitting import Placement


@dataclass(frozen=True)
class EncodePlan:
    """One encode, decided.

    path: absolute. container: a key of CONTAINERS. encoder, options, pixel_format: FFmpeg's.
    channels: of the pictures, 3 or 4. placement: how they get to the size written.
    time_base: seconds a tick of the time stamps. notes: what is done otherwise than asked.
    colors: what YUV pictures are tagged with. sources: files the result may not replace.
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

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the pictures written."""
        return self.placement.canvas
