"""What of FFmpegEncode's values cannot work, told before the graph runs."""

from __future__ import annotations

from pathlib import Path

from ..encoders.interfaces import EncodingConfig
from ..encoders.write.audio_codecs import audio_codec_for
from ..encoders.write.codecs import CONTAINERS, default_container
from ..encoders.write.custom_formats import read_format
from ..encoders.write.make_plan import check_choices
from ..encoders.write.operations import check_length_of_copies
from ..encoders.write.output_names import check_name
from ..encoders.write.remux import muxer_for_copies
from ..errors import EncodeError, MediaError
from ..host.contract import Host
from ..host.environment import allowed_output_directories
from .encode_video import COPY, ONE_SOURCE, SILENT, no_pictures_to_copy
from .encode_widgets import NO_FORMAT, default_values, encoding_config
from .widgets import Values, find_file, is_filled

LINKED = None  # what the host says of an input whose value comes by a link
_TEXTS = ("codec", "container", "audio_codec", "backend", "length", "filename_prefix", "format")
_DECIDING = ("codec", "container", "backend", "format")  # where one is linked nothing is known


def problem_before_running(host: Host, values: Values, sources: Values) -> str | None:
    """Return a sentence on what cannot work, or None.

    values: of widgets as a saved workflow says them, which may be no text at all.
    sources: what is given of images, video and path.
    """
    for name in _TEXTS:
        if not isinstance(values[name], str | None):
            return f"Expected {name} as text, got {values[name]!r:.60}: choose one."
    try:
        if values["filename_prefix"] is not LINKED:
            allowed = allowed_output_directories()
            check_name(host.output_directory, values["filename_prefix"], allowed)
        if all(values[name] is not LINKED for name in _DECIDING):
            _check_together(values, host.formats_directory)
        _check_sources(host, values, sources)
    except (EncodeError, MediaError, ValueError) as error:
        return str(error)
    return None


def _check_sources(host: Host, values: Values, sources: Values) -> None:
    linked, path = sources.keys() - {"path"}, sources.get("path", "")
    if len(linked) == 2 or not (linked or path is LINKED or is_filled(path)):
        raise MediaError(ONE_SOURCE)
    if not linked and path is not LINKED:
        find_file(host, path)
    if values["codec"] == COPY and values["format"] == NO_FORMAT and "images" in linked:
        raise no_pictures_to_copy()


def _check_together(values: Values, formats_directory: Path) -> None:
    known = {name: value for name, value in values.items() if value is not LINKED}
    if known["format"] != NO_FORMAT:
        read_format(formats_directory, known["format"])
    if known["container"] not in ("auto", *CONTAINERS):
        raise EncodeError(
            f"Expected a container (auto, {', '.join(CONTAINERS)}), got {known['container']!r}: "
            "choose one."
        )
    config = encoding_config(default_values() | known, formats_directory)
    holder = config.container
    if config.codec == COPY:
        check_length_of_copies(config)
        if holder != "auto":  # else it is known when the source is
            muxer_for_copies(holder)
            audio_codec_for(config.audio_codec, holder)
        return
    _check_encode(config, default_container(config.codec) if holder == "auto" else holder)


def _check_encode(config: EncodingConfig, holder: str) -> None:
    check_choices(config, holder)
    if holder not in SILENT:
        audio_codec_for(config.audio_codec, holder)
