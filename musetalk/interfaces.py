"""What a lip-sync engine is: one call in, one result out. Options are checked when made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args

from ..media import DEFAULT_FRAME_RATE, LipCorners, parse_frame_rate

Mode = Literal["auto", "musetalk", "puppet", "static"]
Quality = Literal["high", "medium", "low"]
Model = Literal["v1.5", "v1.0"]
ParsingMode = Literal["jaw", "neck", "raw"]
LandmarksOn = Literal["whole frame", "detected box"]
Loop = Literal["pingpong", "loop", "hold"]
Residency = Literal["unload", "keep", "auto"]
ImagesOutput = Literal["auto", "always", "never"]
Posterior = Literal["mode", "sample"]

DEFAULT_MAX_SECONDS = 120.0
CHEEK_WIDTHS = (20, 160)  # in the 512 pixel parsing picture; upstream's app offers this range


@dataclass(frozen=True, kw_only=True)
class LipSyncConfig:
    """Options of one lip-sync run. ValueError names the option that is out of range.

    fps: frames per second of the result; 0 takes the avatar's own rate.
    max_duration: seconds of speech accepted.
    bbox_shift, extra_margin: pixels of the source picture.
    left_cheek_width, right_cheek_width: pixels of the 512 pixel parsing picture.
    mouth: lip corners in pixels of the source; None finds them.
    start, duration: the part of the audio to use, seconds; duration 0 goes to the end.
    """

    mode: Mode = "auto"
    quality: Quality = "medium"
    model: Model = "v1.5"
    fps: float | int | str | Fraction = 25
    max_duration: float = DEFAULT_MAX_SECONDS
    bbox_shift: int = 0
    extra_margin: int = 10
    parsing_mode: ParsingMode = "jaw"
    left_cheek_width: int = 90
    right_cheek_width: int = 90
    landmarks_on: LandmarksOn = "whole frame"
    loop: Loop = "pingpong"
    residency: Residency = "auto"
    images_output: ImagesOutput = "auto"
    posterior: Posterior = "mode"
    sample_seed: int = 0
    mouth: LipCorners | None = None
    face_index: int = 0
    start: float = 0.0
    duration: float = 0.0

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise ValueError(
                    f"Expected {name} to be one of {', '.join(choices)}, got {value!r}."
                )
        if self.fps != 0:
            parse_frame_rate(self.fps)
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"Expected {name} between {low:g} and {high:g}, got {value!r}.")

    def frame_rate(self, source_rate: Fraction = DEFAULT_FRAME_RATE) -> Fraction:
        """Return the exact frame rate of the result for an avatar of ``source_rate``."""
        return source_rate if self.fps == 0 else parse_frame_rate(self.fps)


CHOICES: dict[str, tuple[str, ...]] = {
    "mode": get_args(Mode),
    "quality": get_args(Quality),
    "model": get_args(Model),
    "parsing_mode": get_args(ParsingMode),
    "landmarks_on": get_args(LandmarksOn),
    "loop": get_args(Loop),
    "residency": get_args(Residency),
    "images_output": get_args(ImagesOutput),
    "posterior": get_args(Posterior),
}
RANGES: dict[str, tuple[float, float]] = {
    "max_duration": (0.04, 36000.0),
    "bbox_shift": (-200, 200),
    "extra_margin": (0, 200),
    "left_cheek_width": CHEEK_WIDTHS,
    "right_cheek_width": CHEEK_WIDTHS,
    "sample_seed": (0, 2**63 - 1),
    "face_index": (0, 99),
    "start": (0.0, 36000.0),
    "duration": (0.0, 36000.0),
}


@dataclass(frozen=True, kw_only=True)
class LipSyncResult:
    """What one run gave. ``error`` is a sentence when ``success`` is False.

    fps: exact frame rate as a float; duration_seconds: of the video; resolution: (width, height).
    mode: the mode that made the video ("musetalk", "puppet" or "static").
    report: everything worth knowing, ready for JSON.
    """

    success: bool
    output_path: Path | None = None
    error: str | None = None
    duration_seconds: float = 0.0
    frame_count: int = 0
    resolution: tuple[int, int] = (0, 0)
    fps: float = 0.0
    mode: str = ""
    processing_seconds: float = 0.0
    report: dict[str, Any] = field(default_factory=dict)


class LipSyncEngineInterface(ABC):
    """Makes a person in a picture or video speak."""

    @abstractmethod
    def generate(
        self,
        avatar_image: str | Path,
        audio_file: str | Path,
        output_path: str | Path,
        config: LipSyncConfig | None = None,
    ) -> LipSyncResult:
        """Write a lip-synced video file. Operational failures come back as ``success=False``."""

    @abstractmethod
    def get_supported_formats(self) -> dict[str, list[str]]:
        """Return the file extensions accepted: keys "image", "video", "audio" and "output"."""
