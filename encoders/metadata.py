"""The tags in a file: the workflow that made it, what made it, and that a machine did.

Keys are ComfyUI's: ``workflow`` and ``prompt`` hold JSON, so its editor opens our files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import Base

GENERATED_NOTE = "AI-generated video"
WORKFLOW_KEYS = ("workflow", "prompt")
# What the container writes about itself; copied into another file it would be a lie.
_STRUCTURAL = {
    "major_brand",
    "minor_version",
    "compatible_brands",
    "encoder",
    "creation_time",
    "duration",
}
MAX_TAG_CHARACTERS = 16_000_000


def tags_for(
    *,
    workflow: Any = None,
    prompt: Any = None,
    mode: str | None = None,
    model: str | None = None,
    generated: bool = True,
    save: bool = True,
) -> dict[str, str]:
    """Return the tags for a file we make.

    workflow, prompt: what the host knows of the graph, anything JSON holds. mode, model: what made
    the pictures. generated: note that a machine made them. save: False leaves only that note.
    """
    tags = {"comment": GENERATED_NOTE} if generated else {}
    if not save:
        return tags
    for key, value in (("workflow", workflow), ("prompt", prompt)):
        if value is not None:
            tags[key] = value if isinstance(value, str) else json.dumps(value)
    for key, text in (("avatar_mode", mode), ("avatar_model", model)):
        if text:
            tags[key] = text
    return tags


def kept_tags(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return a file's tags as another file should carry them on, keys in small letters.

    Matroska stores keys in capitals, and players do not tell them apart.
    """
    return {
        key.lower(): value
        for key, value in metadata.items()
        if key.lower() not in _STRUCTURAL and len(value) <= MAX_TAG_CHARACTERS
    }


def read_tags(metadata: Mapping[str, str], container: str) -> dict[str, str]:
    """Return the tags of an open file; those of a GIF of ours lie in its comment."""
    # Bytes that are no UTF-8 arrive as lone surrogates, which nothing could write again.
    tags = {
        key: value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        for key, value in metadata.items()
    }
    comment = tags.get("comment", "")
    if container == "gif" and comment.startswith("{"):
        del tags["comment"]
        tags |= from_comment(comment.encode())
    return tags


def embedded(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return the workflow and prompt in a file's tags, decoded; what is no JSON is left out."""
    found: dict[str, Any] = {}
    for key, value in kept_tags(metadata).items():
        if key in WORKFLOW_KEYS:
            try:
                found[key] = json.loads(value)
            except ValueError:
                continue
    return found


# ComfyUI's places for WebP: the prompt in Model, the others in the fields before it.
_FIRST_FIELD = int(Base.Model)


def exif_of(metadata: Mapping[str, str]) -> bytes:
    """Return EXIF bytes that hold the tags as ComfyUI writes them, empty for none."""
    if not metadata:
        return b""
    exif = Image.Exif()
    field = _FIRST_FIELD
    ordered = sorted(metadata.items(), key=lambda item: item[0] != "prompt")
    for key, value in ordered:
        exif[field] = f"{key}:{value}"
        field -= 1
    return exif.tobytes().removeprefix(b"Exif\x00\x00")


def picture_tags(picture: Image.Image) -> dict[str, str]:
    """Return the tags of an animation or a PNG of ours."""
    tags: dict[str, str] = {}
    comment = picture.info.get("comment")
    if isinstance(comment, bytes):
        tags |= from_comment(comment)
    for key, value in picture.info.items():
        if picture.format == "PNG" and isinstance(key, str) and isinstance(value, str):
            tags[key] = value
    try:
        fields = picture.getexif()
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError):
        return tags
    for value in fields.values():
        if isinstance(value, str) and ":" in value:
            key, _, text = value.partition(":")
            tags[key] = text
    return tags


def from_comment(comment: bytes) -> dict[str, str]:
    """Return the tags a GIF's comment holds: ours as JSON, others' as they are."""
    try:
        decoded = json.loads(comment)
    except ValueError:
        return {"comment": comment.decode(errors="replace")}
    if not isinstance(decoded, dict):
        return {"comment": str(decoded)}
    return {str(key): str(value) for key, value in decoded.items()}
