"""What FFmpegEncode's widgets are, and the configuration their values make."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..encoders.interfaces import (
    BACKENDS,
    FITS,
    LENGTHS,
    MAX_SIDE,
    QUALITIES,
    VARIABLE_RATES,
    EncodingConfig,
)
from ..encoders.write.audio_codecs import AUDIO_CODECS
from ..encoders.write.codecs import CODECS, CONTAINERS, HARDWARE_ENCODERS
from ..encoders.write.custom_formats import format_names, read_format, with_format
from ..errors import EncodeError
from ..media import parse_frame_rate

ENCODE_WIDGETS: dict[str, Any] = {
    "fps": (
        "FLOAT",
        {
            "default": 0.0,
            "min": 0.0,
            "max": 240.0,
            "step": 0.001,
            "tooltip": "Frames per second; 0 takes the video's own, or 25 for images.",
        },
    ),
    "quality": (
        list(QUALITIES),
        {"default": "medium", "tooltip": "Sets the codec's preset and crf together."},
    ),
    "crf": (
        "INT",
        {"default": -1, "min": -1, "max": 63, "tooltip": "Lower is better; -1 is the quality's."},
    ),
    "codec": (
        ["auto", *CODECS, "copy", *HARDWARE_ENCODERS],
        {
            "default": "auto",
            "tooltip": "The video codec; auto takes the container's usual one, copy keeps a file's "
            "pictures as they are. Graphics cards' encoders that do not open give way to software.",
        },
    ),
    "container": (
        ["auto", *CONTAINERS],
        {"default": "auto", "tooltip": "The file type; png is a folder of pictures."},
    ),
    "bit_depth": (
        "INT",
        {"default": 8, "min": 8, "max": 10, "step": 2, "tooltip": "Bits a colour, 8 or 10."},
    ),
    "audio_codec": (
        ["auto", *AUDIO_CODECS],
        {"default": "auto", "tooltip": "The audio codec; auto takes the container's usual one."},
    ),
    "audio_bitrate": (
        "INT",
        {"default": 0, "min": 0, "max": 640, "tooltip": "Kilobits per second; 0 is the codec's."},
    ),
    "width": (
        "INT",
        {"default": 0, "min": 0, "max": MAX_SIDE, "tooltip": "Pixels; 0 follows the height."},
    ),
    "height": (
        "INT",
        {"default": 0, "min": 0, "max": MAX_SIDE, "tooltip": "Pixels; 0 follows the width."},
    ),
    "fit": (
        list(FITS),
        {
            "default": "contain",
            "tooltip": "How the picture meets another size: contain shrinks the frame to it, cover "
            "cuts what is over, stretch distorts, pad adds black bars.",
        },
    ),
    "length": (
        list(LENGTHS),
        {
            "default": "keep",
            "tooltip": "When pictures and sound differ: keep both; cut the sound (video); cut or "
            "hold the pictures (audio); cut the longer (shortest); hold the last picture (freeze).",
        },
    ),
    "variable_rate": (
        list(VARIABLE_RATES),
        {"default": "constant", "tooltip": "What becomes of a file whose frame rate varies."},
    ),
    "backend": (
        list(BACKENDS),
        {
            "default": "built-in",
            "tooltip": "Who encodes: the built-in libraries, or the ffmpeg on this machine "
            "(AVATAR_FFMPEG names another one).",
        },
    ),
    "filename_prefix": (
        "STRING",
        {
            "default": "avatar",
            "tooltip": "Folder and name inside the output folder; %date:yyyy-MM-dd%, %name%, "
            "%width%, %height% and %counter% are filled in. Absolute names need the "
            "administrator's AVATAR_OUTPUT_DIRS.",
        },
    ),
    "overwrite": (
        "BOOLEAN",
        {"default": False, "tooltip": "Use the plain name instead of the next number."},
    ),
    "save_metadata": (
        "BOOLEAN",
        {"default": True, "tooltip": "Keep the workflow in the file."},
    ),
    "mark_generated": (
        "BOOLEAN",
        {"default": True, "tooltip": "Note in the file that it is AI-generated."},
    ),
    "path": (
        "STRING",
        {
            "default": "",
            "tooltip": "A video file of the input folder, or an absolute path; of a folder, every "
            "video. Used when neither images nor a video is linked.",
        },
    ),
    "mix_audio": (
        "BOOLEAN",
        {"default": False, "tooltip": "Add the linked sound to the video's own."},
    ),
    "channels": (
        "INT",
        {
            "default": 0,
            "min": 0,
            "max": 2,
            "tooltip": "Channels of the sound; 0 keeps them, 1 and 2 mix down (5.1 to stereo).",
        },
    ),
}
NO_FORMAT = "none"


def encode_widgets(formats_directory: Path) -> dict[str, Any]:
    """Return the widgets in their order, which saved workflows rely on."""
    formats = {
        "format": (
            [NO_FORMAT, *format_names(formats_directory)],
            {
                "default": NO_FORMAT,
                "tooltip": "A format of your own, a JSON file in user/avatarvideo/formats: it sets "
                "codec, container and more.",
            },
        )
    }
    return ENCODE_WIDGETS | formats


def encoding_config(options: Mapping[str, Any], formats_directory: Path) -> EncodingConfig:
    """Return the configuration that widget values make. Raises EncodeError."""
    same = (
        "quality",
        "codec",
        "container",
        "bit_depth",
        "audio_codec",
        "width",
        "height",
        "fit",
        "length",
        "variable_rate",
        "overwrite",
        "save_metadata",
        "backend",
        "channels",
    )
    try:
        config = EncodingConfig(
            **{name: options[name] for name in same},
            fps=parse_frame_rate(options["fps"]) if options["fps"] else None,
            crf=options["crf"] if options["crf"] >= 0 else None,
            audio_bitrate=options["audio_bitrate"] * 1000 or None,
        )
    except ValueError as error:
        raise EncodeError(str(error)) from error
    if options["format"] == NO_FORMAT:
        return config
    return with_format(config, read_format(formats_directory, options["format"]))
