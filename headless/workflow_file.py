"""Reads the workflow in a file: JSON, or what ComfyUI and we keep in pictures, videos and sound."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from pathlib import Path

from ..encoders.metadata import (
    MAX_TAG_CHARACTERS,
    from_comment,
    kept_tags,
    picture_tags,
    read_tags,
)
from ..errors import GraphError, MediaError
from ..json_values import JSON, MOST_BYTES, is_object, parse_json
from ..pasted import existing, url_problem

_KEPT = ("workflow", "prompt")  # the editor's format, and the API's
_PNG = b"\x89PNG\r\n\x1a\n"
_TEXT_CHUNKS = (b"tEXt", b"comf")  # the second is ComfyUI's own, in animations


def read_workflow(path: str | Path) -> dict[str, JSON]:
    """Return the workflow in a file, as JSON or embedded. Raises GraphError when there is none."""
    path = existing(path)
    try:
        with path.open("rb") as file:
            is_text = file.read(16).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[", b"")
        tags = None if is_text else _embedded(path)
        document = parse_json(_text_of(path)) if tags is None else _in(tags)
    except OSError as error:
        raise GraphError(
            url_problem(str(path))
            or f"Expected a workflow file, but cannot read {path}: {error.strerror}."
        ) from error
    except UnicodeDecodeError as error:
        raise GraphError(f"Expected a workflow in JSON, but {path} is not a text file.") from error
    except ValueError as error:
        raise GraphError(f"Expected a workflow in JSON, but {path} is broken: {error}.") from error
    if document is None:
        raise GraphError(
            f"Expected a workflow, but {path} contains none: use a file that ComfyUI saved with "
            "its metadata, or the workflow's JSON."
        )
    if not is_object(document):
        raise GraphError(
            f"Expected a workflow, but {path} holds {type(document).__name__}: save it from "
            "ComfyUI."
        )
    return dict(document)


def _text_of(path: Path) -> str:
    with path.open("rb") as file:  # a device or a pipe has no end
        return file.read(MOST_BYTES + 1).decode("utf-8-sig")


def _in(tags: Mapping[str, str]) -> JSON:
    """Return the first workflow among a file's tags, None without any."""
    for name in _KEPT:
        if name in tags and is_object(found := parse_json(tags[name])):
            return found
    return None


def _embedded(path: Path) -> dict[str, str] | None:
    """Return the tags of a picture, a video or a sound; None for any other file."""
    from PIL import Image

    from ..encoders.read.open import open_media

    try:
        with Image.open(path) as picture:
            tags = _chunks(path) | picture_tags(picture)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        try:
            with open_media(path) as container:
                kept = dict(container.metadata)
                for stream in container.streams:  # Ogg keeps them there
                    kept = dict(stream.metadata) | kept
                tags = read_tags(kept, container.format.name)
        except MediaError:
            return None
    tags = kept_tags(tags)
    if tags.get("comment", "").startswith("{"):
        tags = from_comment(tags["comment"].encode()) | tags
    return tags


def _chunks(path: Path) -> dict[str, str]:
    """Return the texts in a PNG's chunks, also those behind its pictures."""
    found: dict[str, str] = {}
    with path.open("rb") as file:
        if file.read(len(_PNG)) != _PNG:
            return found
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind not in _TEXT_CHUNKS or length > MAX_TAG_CHARACTERS:
                file.seek(length, os.SEEK_CUR)
            else:
                name, _, text = file.read(length).decode("latin-1").partition("\0")
                found[name] = text
            file.seek(4, os.SEEK_CUR)  # the checksum
    return found
