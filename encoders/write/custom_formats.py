"""A user's own formats: small JSON files that say how to encode.

``my film.json`` in the formats folder is chosen as ``user/my film``. The prefix is never ours nor
another pack's, so no format can take another one's place.
"""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...errors import EncodeError
from ...json_values import is_object
from ..interfaces import EncodingConfig
from .codec_options import checked_options, option_texts
from .codecs import CONTAINERS, encoder_name

PREFIX = "user/"
MAX_BYTES = 1 << 16
_NAME = re.compile(r"\w[\w .+-]{0,63}")
_KINDS: Mapping[str, tuple[type, str]] = {
    "description": (str, "text"),
    "codec": (str, "text"),
    "container": (str, "text"),
    "pixel_format": (str, "text"),
    "preset": (str, "text"),
    "crf": (int, "a whole number"),
    "options": (dict, "names and values"),
    "audio_codec": (str, "text"),
    "audio_bitrate": (int, "a whole number"),
}


@dataclass(frozen=True, kw_only=True)
class CustomFormat:
    """One format as its file states it.

    codec: ours or FFmpeg's name of an encoder. container: a key of CONTAINERS. pixel_format:
    FFmpeg's. options: the encoder's own. audio_bitrate: bits per second.
    """

    name: str
    codec: str
    container: str
    pixel_format: str | None = None
    preset: str | None = None
    crf: int | None = None
    options: Mapping[str, str] = field(default_factory=dict[str, str])
    audio_codec: str = "auto"
    audio_bitrate: int | None = None


def format_names(folder: Path) -> list[str]:
    """Return the names of the formats in a folder, which need not exist."""
    try:
        stems = [entry.stem for entry in folder.iterdir() if entry.suffix.lower() == ".json"]
    except OSError:
        return []
    return sorted(PREFIX + stem for stem in stems if _NAME.fullmatch(stem))


def format_file(folder: Path, name: str) -> Path:
    """Return the file of a format, ``user/NAME``, which need not be there."""
    return folder / f"{name.removeprefix(PREFIX)}.json"


def read_format(folder: Path, name: str) -> CustomFormat:
    """Return a format by its name. Raises EncodeError that names the file."""
    stem = name.removeprefix(PREFIX)
    path = format_file(folder, name)
    if not name.startswith(PREFIX) or not _NAME.fullmatch(stem) or not path.is_file():
        known = ", ".join(format_names(folder)) or "none"
        raise EncodeError(f"Expected a format of {folder} ({known}), got {name!r}.")
    values = _read(path)
    for key, value in values.items():
        if key not in _KINDS:
            raise EncodeError(
                f"Expected only {', '.join(_KINDS)} in {path.name!r}, got {key!r}: remove it."
            )
        kind, what = _KINDS[key]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise EncodeError(f"Expected {key} as {what} in {path.name!r}, got {value!r}.")
    for key in ("codec", "container"):
        if key not in values:
            raise EncodeError(f"Expected a {key} in {path.name!r}, found none: add it.")
    if values["container"] not in CONTAINERS:
        raise EncodeError(
            f"Expected one of {', '.join(CONTAINERS)} as container in {path.name!r}, got "
            f"{values['container']!r}."
        )
    values.pop("description", None)
    options = option_texts(values.pop("options", {}), where=path.name)
    if values["codec"] != "auto":  # else they are looked at when it is known
        encoder = encoder_name(values["codec"])
        options = checked_options(options, encoder=encoder, where=path.name)
    return CustomFormat(name=name, options=options, **values)


def _read(path: Path) -> dict[str, Any]:  # Any: checked by the caller
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
            raise EncodeError(
                f"Expected a small file of JSON, but {path.name!r} is something else."
            )
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EncodeError(f"Cannot read the format {path.name!r}: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise EncodeError(f"Expected JSON in {path.name!r}, but it is broken: {error}.") from error
    if not is_object(values):
        raise EncodeError(
            f"Expected names and values in {path.name!r}, got a {type(values).__name__}."
        )
    return dict(values)


def with_format(config: EncodingConfig, chosen: CustomFormat) -> EncodingConfig:
    """Return the configuration with a format's choices. Raises EncodeError where they differ."""
    for key in ("codec", "container"):
        asked, own = getattr(config, key), getattr(chosen, key)
        if asked not in ("auto", own):
            raise EncodeError(
                f"Expected {key} auto with the format {chosen.name!r}, which is {own}, got "
                f"{asked!r}: set it to auto."
            )
    try:
        return replace(
            config,
            codec=chosen.codec,
            container=chosen.container,
            pixel_format=chosen.pixel_format,
            preset=config.preset or chosen.preset,
            crf=chosen.crf if config.crf is None else config.crf,
            codec_options=dict(chosen.options),
            audio_codec=chosen.audio_codec if config.audio_codec == "auto" else config.audio_codec,
            audio_bitrate=config.audio_bitrate or chosen.audio_bitrate,
        )
    except ValueError as error:
        raise EncodeError(f"The format {chosen.name!r} cannot be used: {error}") from error
