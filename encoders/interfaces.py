"""What a video encoder is: files in, one finished file out. Options are checked when made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args

Quality = Literal["high", "medium", "low", "fast"]
QUALITIES: tuple[str, ...] = get_args(Quality)
Fit = Literal["contain", "cover", "stretch", "pad"]
FITS: tuple[str, ...] = get_args(Fit)
Length = Literal["keep", "video", "audio", "shortest", "freeze"]
LENGTHS: tuple[str, ...] = get_args(Length)
VariableRate = Literal["constant", "keep"]
VARIABLE_RATES: tuple[str, ...] = get_args(VariableRate)
Backend = Literal["built-in", "own ffmpeg"]
BACKENDS: tuple[str, ...] = get_args(Backend)
CHOICES: Mapping[str, tuple[str, ...]] = {
    "quality": QUALITIES,
    "fit": FITS,
    "length": LENGTHS,
    "variable_rate": VARIABLE_RATES,
    "backend": BACKENDS,
}
BIT_DEPTHS = (8, 10)
MAX_SIDE = 16384  # pixels, the largest of any codec offered
MAX_AUDIO_BITRATE = 1_000_000
MAX_CRF = 63  # AV1 and VP9; H.264 and H.265 end at 51, which their preset table checks


@dataclass(frozen=True, kw_only=True)
class EncodingConfig:
    """Options of one encode. ValueError names the option that is out of range.

    quality: our preset name; sets the codec's preset and crf.
    preset, crf: the codec's own, each overriding what the quality sets.
    codec: "auto", our names ("h264"), FFmpeg's ("libx264", "h264_nvenc", which falls back to
        software where it does not open), or "copy" to keep the packets of a file as they are.
    fps: frame rate of the result; None keeps the source's.
    audio_codec: "auto" keeps a file's sound as it is where the container holds it.
    audio_bitrate: bits per second; None leaves it to the codec.
    container: "auto" takes the file's suffix.
    bit_depth: at least so many bits a colour. alpha: keep transparency.
    pixel_format: FFmpeg's name of one, instead of what bit_depth and alpha choose.
    codec_options: the encoder's own, by name; they win over everything else. With them, even an
        empty set, or a pixel_format, any encoder that FFmpeg has can be named as codec.
    width, height: pixels of the result; 0 follows from the other, both 0 keep the source's.
    fit: how the picture meets another size: "pad" adds black bars, "contain" leaves them out (the
        result is as large as fits, a side smaller than asked), "cover" fills the size and cuts
        what is over, "stretch" distorts.
    length: when pictures and sound differ by a frame or more. "keep" leaves both; "video" cuts
        longer sound; "audio" cuts the pictures or holds the last one until the sound ends;
        "shortest" cuts the longer; "freeze" holds the last picture and never cuts.
    variable_rate: a file whose frame rate varies becomes "constant" or may "keep" its timing.
    channels: of the sound; 0 keeps them, 1 and 2 mix down (5.1 to stereo).
    loop: how often a GIF or WebP plays; 0 is for ever.
    overwrite: False refuses a name that is taken.
    save_metadata: keep the tags of the source in the result.
    backend: who encodes; "own ffmpeg" is the executable named by ``ffmpeg``, else by the
        environment's AVATAR_FFMPEG, else the one on the PATH. GIF, WebP and PNG stay built in.
    """

    quality: Quality = "medium"
    preset: str | None = None
    crf: int | None = None
    codec: str = "auto"
    fps: float | int | str | Fraction | None = None
    audio_codec: str = "auto"
    audio_bitrate: int | None = None
    container: str = "auto"
    bit_depth: int = 8
    alpha: bool = False
    width: int = 0
    height: int = 0
    fit: Fit = "pad"
    length: Length = "keep"
    variable_rate: VariableRate = "constant"
    channels: int = 0
    loop: int = 0
    overwrite: bool = True
    save_metadata: bool = True
    backend: Backend = "built-in"
    ffmpeg: str | None = None
    pixel_format: str | None = None
    codec_options: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        for name, allowed in (*CHOICES.items(), ("bit_depth", BIT_DEPTHS)):
            value = getattr(self, name)
            if value not in allowed:
                known = ", ".join(map(str, allowed))
                raise ValueError(f"Expected {name} to be one of {known}, got {value!r}.")
        if self.ffmpeg is not None and self.backend != "own ffmpeg":
            raise ValueError(
                f"Expected the backend 'own ffmpeg' with ffmpeg {self.ffmpeg!r}, got "
                f"{self.backend!r}: set both or none."
            )
        ranges = (
            ("crf", self.crf, MAX_CRF),
            ("width", self.width, MAX_SIDE),
            ("height", self.height, MAX_SIDE),
            ("audio_bitrate", self.audio_bitrate, MAX_AUDIO_BITRATE),
            ("channels", self.channels, 2),
            ("loop", self.loop, 65535),
        )
        for name, value, largest in ranges:
            if value is not None and not 0 <= value <= largest:
                raise ValueError(f"Expected {name} between 0 and {largest}, got {value}.")


@dataclass(frozen=True, kw_only=True)
class EncodingResult:
    """What one encode gave. ``error`` is a sentence when ``success`` is False.

    encoder: FFmpeg's name of the one that worked, "copy" where packets were kept.
    notes: sentences on what was done otherwise than asked (a fallback, frames left out).
    """

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
    encoder: str = ""
    notes: tuple[str, ...] = ()


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
    def trim(
        self,
        input_video: str | Path,
        output_path: str | Path,
        start: Fraction = Fraction(0),
        duration: Fraction = Fraction(0),
        config: EncodingConfig | None = None,
    ) -> EncodingResult:
        """Encode a part of a video; seconds, a duration of 0 goes to the end."""

    @abstractmethod
    def add_audio(
        self,
        input_video: str | Path,
        audio_file: str | Path,
        output_path: str | Path,
        config: EncodingConfig | None = None,
        mix: bool = False,
    ) -> EncodingResult:
        """Replace the sound, or add to it; the pictures are copied, not encoded again."""

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
