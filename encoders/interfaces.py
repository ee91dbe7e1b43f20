"""What a video encoder is: files in, one finished file out. Options are checked when made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args

Quality = Literal["high", "medium", "low", "fast"]
QUALITIES: tuple[str, ...] = get_args(Quality)
MAX_CRF = 63  # AV1 and VP9; H.264 and H.265 end at 51, which their preset table checks


@dataclass(frozen=True, kw_only=True)
class EncodingConfig:
    """Options of one encode. ValueError names the option that is out of range.

    quality: our preset name; sets the codec's preset and crf.
    preset, crf: the codec's own, each overriding what the quality sets.
    codec: "auto", our names ("h264") or FFmpeg's ("libx264").
    fps: frame rate of the result; None keeps the source's.
    audio_bitrate: bits per second; None leaves it to the codec.
    """

    quality: Quality = "medium"
    preset: str | None = None
    crf: int | None = None
    codec: str = "auto"
    fps: float | int | str | Fraction | None = None
    audio_codec: str = "auto"
    audio_bitrate: int | None = None

    def __post_init__(self) -> None:
        if self.quality not in QUALITIES:
            raise ValueError(
                f"Expected quality to be one of {', '.join(QUALITIES)}, got {self.quality!r}."
            )
        if self.crf is not None and not 0 <= self.crf <= MAX_CRF:
            raise ValueError(f"Expected crf between 0 and {MAX_CRF}, got {self.crf}.")


@dataclass(frozen=True, kw_only=True)
class EncodingResult:
    """What one encode gave. ``error`` is a sentence when ``success`` is False."""

    success: bool
    output_path: Path | None = None
    error: str | None = None
    duration_seconds: float = 0.0
    frame_count: int = 0
    resolution: tuple[int, int] = (0, 0)
    fps: float = 0.0
    file_size_bytes: int = 0
    codec: str = ""
    processing_seconds: float = 0.0


class VideoEncoderInterface(ABC):
    """Turns videos into other videos. Operational failures come back as ``success=False``."""

    @abstractmethod
    def encode(
        self,
        input_video: str | Path,
        output_path: str | Path,
        config: EncodingConfig | None = None,
    ) -> EncodingResult:
        """Encode a video again, sound included."""

    @abstractmethod
    def add_audio(
        self,
        input_video: str | Path,
        audio_file: str | Path,
        output_path: str | Path,
        config: EncodingConfig | None = None,
    ) -> EncodingResult:
        """Replace the sound; the pictures are copied, not encoded again."""

    @abstractmethod
    def resize(
        self,
        input_video: str | Path,
        output_path: str | Path,
        width: int,
        height: int,
        config: EncodingConfig | None = None,
    ) -> EncodingResult:
        """Encode a video at another size in pixels."""

    @abstractmethod
    def get_video_info(self, path: str | Path) -> dict[str, Any]:
        """Return what is known of a video file. Raises MediaError when it is none."""
