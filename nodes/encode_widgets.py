"""FFmpegEncode's widgets, and the configuration their values make."""

from __future__ import annotations

from pathlib import Path

from ..encoders.interfaces import EncodingConfig
from ..encoders.write.audio_codecs import AUDIO_CODECS
from ..encoders.write.codecs import CODECS, CONTAINERS, HARDWARE_ENCODERS
from ..encoders.write.custom_formats import format_names, read_format, with_format
from ..errors import EncodeError
from ..media import parse_frame_rate
from ..options import Option, options_of
from .widgets import Values, own_widget, rate_widget, widget

_OF = options_of(EncodingConfig)
ENCODE_WIDGETS: Values = {
    "fps": rate_widget(
        _OF["fps"],
        default=0,
        tooltip="Frames per second; 0 takes the video's own, or 25 for images.",
    ),
    "quality": widget(_OF["quality"]),
    "crf": widget(
        _OF["crf"],
        default=-1,
        min=-1,
        tooltip="Lower means better quality and a larger file; -1 leaves it to quality.",
    ),
    "codec": widget(_OF["codec"], choices=["auto", *CODECS, "copy", *HARDWARE_ENCODERS]),
    "container": widget(_OF["container"], choices=["auto", *CONTAINERS]),
    "bit_depth": widget(_OF["bit_depth"]),
    "audio_codec": widget(_OF["audio_codec"], choices=["auto", *AUDIO_CODECS]),
    "audio_bitrate": widget(
        _OF["audio_bitrate"],
        default=0,
        max=640,
        tooltip="Kilobits per second; 0 leaves it to the codec.",
    ),
    "width": widget(_OF["width"]),
    "height": widget(_OF["height"]),
    "fit": widget(_OF["fit"], default="contain"),
    "length": widget(_OF["length"]),
    "variable_rate": widget(_OF["variable_rate"]),
    "backend": widget(_OF["backend"]),
    "filename_prefix": own_widget(
        "avatar",
        "Folder and name inside the output folder; %date:yyyy-MM-dd%, %name%, %width%, %height% "
        "and %counter% are filled in. An absolute path works only in folders that the "
        "administrator lists in AVATAR_OUTPUT_DIRS.",
    ),
    "overwrite": widget(
        _OF["overwrite"],
        default=False,
        tooltip="Use the name without a number, and replace an existing file.",
    ),
    "save_metadata": widget(_OF["save_metadata"], tooltip="Save the workflow in the file."),
    "mark_generated": own_widget(
        True,
        "Note in the file that it is AI-generated; turn it off when you only re-encode a real "
        "recording.",
    ),
    "path": own_widget(
        "",
        "A video file in the input folder, or an absolute path; for a folder, every video in it. "
        "Used when neither images nor a video is linked.",
    ),
    "mix_audio": own_widget(False, "Add the linked audio to the video's own."),
    "channels": widget(_OF["channels"]),
}
# Prompts that were saved before do not hold these: they are optional inputs.
LATER_WIDGETS: Values = {
    "interlaced": widget(_OF["interlaced"]),
    "save_output": own_widget(
        True,
        "Off writes to the temp folder, which ComfyUI empties when it starts: for previews.",
    ),
    "loop_count": widget(_OF["loop"]),
    "pingpong": widget(_OF["pingpong"]),
}
_LATER_OPTIONS = {"interlaced": "interlaced", "loop_count": "loop", "pingpong": "pingpong"}
NO_FORMAT = "none"


def encode_widgets(formats_directory: Path) -> Values:
    """Return the widgets in their order, which saved workflows rely on."""
    about = {
        "default": NO_FORMAT,
        "tooltip": "Your own format, a JSON file in user/avatarvideo/formats: it sets codec, "
        "container and more.",
    }
    return ENCODE_WIDGETS | {"format": ([NO_FORMAT, *format_names(formats_directory)], about)}


def default_values() -> Values:
    """Return what the widgets of options say at first."""
    return {
        name: about["default"] for name, (_, about) in {**ENCODE_WIDGETS, **LATER_WIDGETS}.items()
    }


def _check_limits(options: Values) -> None:
    """Raise EncodeError where a number is out of its widget's range, which a link may ignore.

    The widgets' names and units are not always those of the configuration.
    """
    for name, (_, about) in {**ENCODE_WIDGETS, **LATER_WIDGETS}.items():
        if name not in options or "max" not in about or name == "fps":  # which may be a fraction
            continue
        limits = Option(default=about["default"], help="", low=about["min"], high=about["max"])
        try:
            limits.check(name, options[name])
        except ValueError as error:
            raise EncodeError(str(error)) from error


def encoding_config(options: Values, formats_directory: Path) -> EncodingConfig:
    """Return the configuration that widget values make. Raises EncodeError."""
    same = _OF.keys() & ENCODE_WIDGETS.keys() - {"fps", "crf", "audio_bitrate"}
    _check_limits(options)
    later = {_LATER_OPTIONS[name]: options[name] for name in _LATER_OPTIONS if name in options}
    try:
        config = EncodingConfig(
            **{name: options[name] for name in same},
            **later,
            fps=parse_frame_rate(options["fps"]) if options["fps"] else None,
            crf=options["crf"] if options["crf"] != -1 else None,
            audio_bitrate=options["audio_bitrate"] * 1000 or None,
        )
    except ValueError as error:
        raise EncodeError(str(error)) from error
    if options["format"] == NO_FORMAT:
        return config
    return with_format(config, read_format(formats_directory, options["format"]))
