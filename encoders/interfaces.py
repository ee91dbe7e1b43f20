"""The video encoder's interface: files in, one finished file out; its options and results."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args

from ..options import check_options, described, option

Quality = Literal["high", "medium", "low", "fast"]
QUALITIES: tuple[str, ...] = get_args(Quality)
Fit = Literal["contain", "cover", "stretch", "pad"]
Length = Literal["keep", "video", "audio", "shortest", "freeze"]
VariableRate = Literal["constant", "keep"]
Interlaced = Literal["auto", "keep"]
Backend = Literal["built-in", "own ffmpeg"]
MAX_SIDE = 16384  # pixels, the largest of any codec offered


@described
@dataclass(frozen=True, kw_only=True)
class EncodingConfig:
    """Options of one encode. Raises ValueError naming an option that is out of range.

    None leaves the choice to the quality, the codec or the source. An "auto" container takes the
    file's suffix, an "auto" audio_codec copies a file's audio where the container holds it.
    codec takes our names ("h264") and FFmpeg's ("libx264", "h264_nvenc"); with codec_options, even
    an empty set, or a pixel_format it takes any encoder that FFmpeg has. GIF, WebP and PNG stay
    built in whatever the backend.
    """

    quality: Quality = option(
        "medium", help="Sets the codec's preset and crf together.", choices=QUALITIES
    )
    preset: str | None = option(
        None,
        help="The encoder's preset, instead of the one that quality sets: ultrafast to placebo "
        "(h264 and h265), 0 to 13 (av1), 0 to 8 (vp9), proxy to 4444xq (prores).",
    )
    crf: int | None = option(
        None,
        help="The codec's quality number, instead of the one that quality sets: lower means "
        "better quality and a larger file.",
        low=0,
        high=63,  # AV1 and VP9; H.264 and H.265 end at 51, which their preset table checks
    )
    codec: str = option(
        "auto",
        help="The video codec: h264, h265, av1, vp9, prores, ffv1, gif, webp, png or the name of "
        "an FFmpeg encoder; auto takes the container's default, copy keeps a file's pictures as "
        "they are. If a graphics card's encoder does not open, software encodes instead.",
    )
    fps: float | int | str | Fraction | None = option(
        None,
        help="Frames per second of the result; the input's own unless given.",
        low=0,
        high=240,  # MAX_FRAME_RATE of media, which would load NumPy
        step=0.001,
    )
    audio_codec: str = option(
        "auto",
        help="The audio codec: aac, opus, mp3, flac, alac or pcm; auto takes the container's "
        "default.",
    )
    audio_bitrate: int | None = option(
        None, help="Bits per second of the audio.", low=0, high=1_000_000
    )
    container: str = option(
        "auto",
        help="The file type: mp4, mov, mkv, webm, gif, webp, or png for a folder of pictures; "
        "auto goes by the output name, or takes the codec's default.",
    )
    bit_depth: int = option(
        8,
        help="Bits per channel, 8 or 10; 10 keeps HDR, 8 tone-maps it.",
        choices=(8, 10),
        low=8,
        high=10,
        step=2,
    )
    alpha: bool = option(False, help="Keep transparency if codec and container support it.")
    width: int = option(0, help="Pixels; 0 follows the height.", low=0, high=MAX_SIDE)
    height: int = option(0, help="Pixels; 0 follows the width.", low=0, high=MAX_SIDE)
    fit: Fit = option(
        "pad",
        help="How the picture is fitted to another size: contain makes the frame smaller to match "
        "the picture, cover fills the frame and crops the rest, stretch distorts the picture, "
        "pad adds black bars.",
        choices=get_args(Fit),
    )
    length: Length = option(
        "keep",
        help="What to do when pictures and audio differ in length: keep leaves both, video cuts "
        "the audio, audio cuts the pictures or holds the last one, shortest cuts the longer, "
        "freeze holds the last picture until the audio ends.",
        choices=get_args(Length),
    )
    variable_rate: VariableRate = option(
        "constant",
        help="For a variable frame rate (VFR): constant resamples it to the file's nominal rate, "
        "or to fps; keep writes each frame at its own time.",
        choices=get_args(VariableRate),
    )
    channels: int = option(
        0,
        help="Channels of the audio; 0 keeps them, 1 and 2 mix down (5.1 to stereo).",
        low=0,
        high=2,
    )
    loop: int = option(0, help="How often a GIF or WebP plays; 0 is forever.", low=0, high=65535)
    overwrite: bool = option(True, help="Replace an existing file of that name.")
    save_metadata: bool = option(True, help="Keep the tags of the source.")
    backend: Backend = option(
        "built-in",
        help="What encodes: the built-in libraries, or the ffmpeg on this machine (AVATAR_FFMPEG "
        "names another one).",
        choices=get_args(Backend),
    )
    ffmpeg: str | None = option(
        None, help="The path of your own ffmpeg, if it is neither in AVATAR_FFMPEG nor on the PATH."
    )
    pixel_format: str | None = option(
        None, help="FFmpeg's name of a pixel format, such as yuv444p."
    )
    codec_options: Mapping[str, str] | None = option(None, help="The encoder's own options.")
    interlaced: Interlaced = option(
        "auto",
        help="For interlaced video: auto deinterlaces it, one output frame per input frame, "
        "except in copies, ffv1 and prores; keep leaves it interlaced in h264 too.",
        choices=get_args(Interlaced),
    )
    pingpong: bool = option(False, help="Play a GIF or WebP forward, then backward.")

    def __post_init__(self) -> None:
        check_options(self, besides=["fps"])
        if self.fps is not None:
            from ..media import check_fps  # NumPy: not for the command line's help

            check_fps(self.fps)
        if self.ffmpeg is not None and self.backend != "own ffmpeg":
            raise ValueError(
                f"Expected the backend 'own ffmpeg' with ffmpeg {self.ffmpeg!r}, got "
                f"{self.backend!r}: set both or none."
            )


@dataclass(frozen=True, kw_only=True)
class EncodingResult:
    """The result of one encode."""

    success: bool
    output_path: Path | None = None
    error: str | None = None
    """A sentence when ``success`` is False."""
    duration_seconds: float = 0.0
    frame_count: int = 0
    resolution: tuple[int, int] = (0, 0)
    """Width and height."""
    fps: float = 0.0
    file_size_bytes: int = 0
    codec: str = ""
    processing_seconds: float = 0.0
    encoder: str = ""
    """FFmpeg's name of the encoder used, "copy" where pictures were copied."""
    notes: tuple[str, ...] = ()
    """Sentences on what was done differently than asked (a fallback, frames left out)."""


class VideoEncoderInterface(ABC):
    """Turns videos into other videos. Failures come back as ``success=False``."""

    @abstractmethod
    def encode(
        self,
        input_video: str | Path,
        output_path: str | Path,
        config: EncodingConfig | None = None,
    ) -> EncodingResult:
        """Encode a video again, audio included; codec "copy" copies the packets instead."""

    @abstractmethod
    def trim(
        self,
        input_video: str | Path,
        output_path: str | Path,
        start: Fraction = Fraction(0),
        duration: Fraction = Fraction(0),
        config: EncodingConfig | None = None,
    ) -> EncodingResult:
        """Encode a part of a video; seconds, a duration of 0 goes to the end.

        Codec "copy" encodes nothing; the part then begins at the key frame before its start.
        """

    @abstractmethod
    def add_audio(
        self,
        input_video: str | Path,
        audio_file: str | Path,
        output_path: str | Path,
        config: EncodingConfig | None = None,
        mix: bool = False,
    ) -> EncodingResult:
        """Replace the audio, or add to it; the pictures are copied, not encoded again."""

    @abstractmethod
    def resize(
        self,
        input_video: str | Path,
        output_path: str | Path,
        width: int,
        height: int,
        config: EncodingConfig | None = None,
    ) -> EncodingResult:
        """Encode a video at another size in pixels; a side of 0 follows from the other.

        ``config.fit`` says how the picture is fitted. Without a config, a video that already has
        the size is copied.
        """

    @abstractmethod
    def get_video_info(self, path: str | Path) -> dict[str, Any]:  # Any: whatever JSON holds
        """Return what is known of a video file. Raises MediaError when it is none."""
