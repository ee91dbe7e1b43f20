"""What a lip-sync engine is: one call in, one result out. Options are checked when made."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from ..media import DEFAULT_FRAME_RATE, AudioClip, Avatar, LipCorners, Mel, parse_frame_rate
from .modes import MODES

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
REPORT_TAG = "avatarvideo"  # the tag of a video file that says which mode made it


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

    mode: str = "auto"
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
    "mode": ("auto", *MODES),
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
    mode: the mode that made the video.
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


@dataclass(frozen=True, eq=False)
class LipSyncRun:
    """A run whose frames are made when they are read.

    open_frames: returns a new iterator over exactly ``frame_count`` uint8 RGB (H, W, 3) frames.
    clip: the original sound, untouched.
    mask: float32 (H, W), where the first frame may differ from the source.
    report: everything worth knowing, ready for JSON.
    sources: files it is made from; no result may replace them.
    """

    open_frames: Callable[[], Iterator[np.ndarray]] = field(repr=False)
    frame_count: int
    frame_rate: Fraction
    width: int
    height: int
    mode: str
    clip: AudioClip
    mask: np.ndarray = field(repr=False)
    report: dict[str, Any] = field(repr=False)
    release: Callable[[], None] | None = field(default=None, repr=False)
    sources: tuple[Path, ...] = ()

    def metadata(self) -> dict[str, str]:
        """Return the tags that a file made of this run carries."""
        from ..encoders.metadata import tags_for  # Pillow: not at ComfyUI's start

        kept = ("mode", "requested_mode", "reason", "frames", "frames_synced")
        report = {REPORT_TAG: json.dumps({key: self.report[key] for key in kept})}
        return report | tags_for(mode=self.mode, model=self.report.get("model"))


class LipSyncEngineInterface(ABC):
    """Makes a person in a picture or video speak."""

    @abstractmethod
    def run(
        self,
        avatar: Avatar,
        mel: Mel,
        config: LipSyncConfig | None = None,
        *,
        mask: np.ndarray | None = None,
    ) -> LipSyncRun:
        """Do all work that needs a network or the whole sound; frames are made when read.

        mask: float32 (H, W), 0..1, where the user lets the picture change; None finds it.
        Raises MediaError, NoFaceError, CheckpointError, or what the host raises on cancel.
        """

    @abstractmethod
    def length(self, avatar: Avatar, mel: Mel, config: LipSyncConfig) -> tuple[int, Fraction]:
        """Return the number of frames of the result and its exact rate.

        Raises MediaError when the speech is shorter than 20 ms or longer than the limit.
        """

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
