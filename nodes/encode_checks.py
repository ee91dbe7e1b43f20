"""What of FFmpegEncode's values cannot work, told before the graph runs."""

from __future__ import annotations

from pathlib import Path

from ..encoders.interfaces import EncodingConfig
from ..encoders.write.audio_codecs import audio_codec_for
from ..encoders.write.codecs import CONTAINERS, codec_for, default_container
from ..encoders.write.custom_formats import read_format, with_format
from ..encoders.write.output_names import check_name
from ..encoders.write.remux import muxer_for_copies
from ..errors import EncodeError
from ..host.contract import Host
from ..host.environment import allowed_output_directories
from .encode_widgets import NO_FORMAT

COPY = "copy"  # its container is known when the source is
WITHOUT_AUDIO = ("gif", "webp")


def problem_before_running(
    host: Host,
    *,
    codec: object,
    container: object,
    audio_codec: object,
    filename_prefix: object,
    format_name: object,
) -> str | None:
    """Return a sentence on what cannot work, or None. A value of None is linked, thus unknown.

    Each is what a saved workflow says, which may be no text at all.
    """
    values = {
        "codec": codec,
        "container": container,
        "audio_codec": audio_codec,
        "filename_prefix": filename_prefix,
        "format": format_name,
    }
    for name, value in values.items():
        if not isinstance(value, str | None):
            return f"Expected {name} as a text, got {value!r:.60}: choose one."
    try:
        if isinstance(filename_prefix, str):
            check_name(host.output_directory, filename_prefix, allowed_output_directories())
        if isinstance(codec, str) and isinstance(container, str) and isinstance(format_name, str):
            heard = audio_codec if isinstance(audio_codec, str) else "auto"
            config = EncodingConfig(codec=codec, container=container, audio_codec=heard)
            _check_pair(config, format_name, host.formats_directory)
    except (EncodeError, ValueError) as error:
        return str(error)
    return None


def _check_pair(config: EncodingConfig, format_name: str, formats_directory: Path) -> None:
    if config.container not in ("auto", *CONTAINERS):
        raise EncodeError(
            f"Expected a container (auto, {', '.join(CONTAINERS)}), got {config.container!r}: "
            "choose one."
        )
    if format_name != NO_FORMAT:
        config = with_format(config, read_format(formats_directory, format_name))
    holder = config.container
    if config.codec == COPY:
        if holder != "auto":
            muxer_for_copies(holder)
            audio_codec_for(config.audio_codec, holder)
        return
    if holder == "auto":
        holder = default_container(config.codec)
    codec_for(config, holder)
    if holder not in WITHOUT_AUDIO:
        audio_codec_for(config.audio_codec, holder)
