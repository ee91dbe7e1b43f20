"""What of FFmpegEncode's values cannot work, told before the graph runs."""

from __future__ import annotations

from pathlib import Path

from ..encoders.interfaces import EncodingConfig
from ..encoders.write.codecs import CONTAINERS, codec_for, default_container
from ..encoders.write.custom_formats import read_format, with_format
from ..encoders.write.output_names import check_name
from ..errors import EncodeError
from ..host.contract import Host
from ..host.environment import allowed_output_directories
from .encode_widgets import NO_FORMAT

COPY = "copy"  # its container is known when the source is


def problem_before_running(
    host: Host,
    *,
    codec: object,
    container: object,
    filename_prefix: object,
    format_name: object,
) -> str | None:
    """Return a sentence on what cannot work, or None. A value of None is linked, thus unknown.

    Each is what a saved workflow says, which may be no text at all.
    """
    values = {
        "codec": codec,
        "container": container,
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
            _check_pair(codec, container, format_name, host.formats_directory)
    except (EncodeError, ValueError) as error:
        return str(error)
    return None


def _check_pair(codec: str, container: str, format_name: str, formats_directory: Path) -> None:
    if container not in ("auto", *CONTAINERS):
        raise EncodeError(
            f"Expected a container (auto, {', '.join(CONTAINERS)}), got {container!r}: choose one."
        )
    config = EncodingConfig(codec=codec, container=container)
    if format_name != NO_FORMAT:
        config = with_format(config, read_format(formats_directory, format_name))
    if config.codec == COPY:
        return
    is_open = config.container == "auto"
    codec_for(config, default_container(config.codec) if is_open else config.container)
