"""The tags in a file: the workflow that made it, the model, and that it is AI-generated.

Keys are ComfyUI's: ``workflow`` and ``prompt`` hold JSON, so its editor opens our files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from PIL import Image
from PIL.ExifTags import Base

from ..json_values import is_object

GENERATED_NOTE = "AI-generated video"
# What the container writes about itself, which would be wrong in another file.
_STRUCTURAL = {
    *("major_brand", "minor_version", "compatible_brands", "encoder", "creation_time", "duration"),
}
MAX_TAG_CHARACTERS = 16_000_000


def tags_for(*, mode: str, model: str | None = None, **kept: object) -> dict[str, str]:
    """Return the tags for a file we make. mode, model: what made the pictures; kept: others."""
    made_by = {"avatar_mode": mode, "avatar_model": model or None}
    return {"comment": GENERATED_NOTE} | as_tags(kept | made_by)


def as_tags(values: Mapping[str, object]) -> dict[str, str]:
    """Return values as tags: a text as it is, others as JSON; None is left out."""
    return {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in values.items()
        if value is not None
    }


def kept_tags(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return a file's tags for another file, keys in lower case (Matroska's are in capitals)."""
    return {
        key.lower(): value
        for key, value in metadata.items()
        if key.lower() not in _STRUCTURAL and len(value) <= MAX_TAG_CHARACTERS
    }


def read_tags(metadata: Mapping[str, str], container: str) -> dict[str, str]:
    """Return the tags of an open file; our GIFs have them in the comment."""
    # Bytes other than UTF-8 arrive as lone surrogates, which no writer accepts.
    tags = {
        key: value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        for key, value in metadata.items()
    }
    comment = tags.get("comment", "")
    if container == "gif" and comment.startswith("{"):
        del tags["comment"]
        tags |= from_comment(comment.encode())
    return tags


def exif_of(metadata: Mapping[str, str]) -> bytes:
    """Return EXIF bytes that hold the tags as ComfyUI writes them, empty for none."""
    if not metadata:
        return b""
    exif = Image.Exif()
    # ComfyUI's places for WebP: the prompt in Model, the others in the fields before it.
    ordered = sorted(metadata.items(), key=lambda item: item[0] != "prompt")
    for number, (key, value) in enumerate(ordered):
        exif[int(Base.Model) - number] = f"{key}:{value}"
    return exif.tobytes().removeprefix(b"Exif\x00\x00")


def picture_tags(picture: Image.Image) -> dict[str, str]:
    """Return the tags of an animation or a PNG as we write them."""
    comment = picture.info.get("comment")
    tags = from_comment(comment) if isinstance(comment, bytes) else {}
    for key, value in picture.info.items():
        if picture.format == "PNG" and isinstance(key, str) and isinstance(value, str):
            tags[key] = value
    try:
        fields = picture.getexif()
    except (OSError, ValueError, SyntaxError):
        return tags
    for value in fields.values():
        if isinstance(value, str) and ":" in value:
            key, _, text = value.partition(":")
            tags[key] = text
    return tags


def from_comment(comment: bytes) -> dict[str, str]:
    """Return the tags in a GIF's comment: ours are JSON, any other comment stays one."""
    try:
        decoded: object = json.loads(comment)
    except ValueError:
        return {"comment": comment.decode(errors="replace")}
    if not is_object(decoded):
        return {"comment": str(decoded)}
    return {key: str(value) for key, value in decoded.items()}
