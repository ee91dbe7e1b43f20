"""The pixel format to write, whether it has alpha, and the sizes it takes."""

from __future__ import annotations

from dataclasses import replace

import av

from ...errors import EncodeError
from ..interfaces import EncodingConfig
from .codecs import CODECS, CodecSpec, codec_for, software_name

_STEP = 16  # pixels, a multiple of every subsampling


def pixel_format_for(spec: CodecSpec, config: EncodingConfig) -> tuple[int, bool]:
    """Return the (bit depth, alpha) of a codec that fits best, at least as deep as asked."""
    fitting = [key for key in spec.pixel_formats if key[1] == config.alpha]
    deep_enough = [key for key in fitting if key[0] >= config.bit_depth]
    if deep_enough:
        return min(deep_enough)
    wanted = "transparency" if config.alpha and not fitting else f"{config.bit_depth} bits"
    able = [
        other.name
        for other in CODECS.values()
        if any(depth >= config.bit_depth and a == config.alpha for depth, a in other.pixel_formats)
    ]
    raise EncodeError(
        f"Expected a codec with {wanted} ({', '.join(able)}), got {spec.name}: choose one of "
        "those and a container that holds it."
    )


def keeps_alpha(config: EncodingConfig, container: str) -> bool:
    """Tell whether a configuration can keep transparency. Raises EncodeError."""
    spec = codec_for(replace(config, alpha=True), container)
    if config.pixel_format is not None:
        return has_alpha(config.pixel_format)
    if software_name(config.codec.lower()) != config.codec.lower():
        return False
    return any(alpha and depth >= config.bit_depth for depth, alpha in spec.pixel_formats)


def has_alpha(pixel_format: str) -> bool:
    """Tell whether one of FFmpeg's pixel formats has alpha. Raises EncodeError."""
    return any(part.is_alpha for part in _parts_of(pixel_format).components)


def step_of(pixel_format: str) -> tuple[int, int]:
    """Return the chroma subsampling: width and height must be multiples of it."""
    parts = _parts_of(pixel_format)
    return _STEP // parts.chroma_width(_STEP), _STEP // parts.chroma_height(_STEP)


def _parts_of(pixel_format: str) -> av.VideoFormat:
    try:
        parts = av.VideoFormat(pixel_format)
    except ValueError as error:
        raise EncodeError(
            f"Expected one of FFmpeg's pixel formats such as yuv420p, got {pixel_format!r}."
        ) from error
    if pixel_format.startswith("yuvj") or not parts.components:
        raise EncodeError(
            f"Expected a pixel format of limited range, got {pixel_format!r}: choose yuv420p."
        )
    return parts
