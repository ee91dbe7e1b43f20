"""Hardware encoders: their options, and whether one opens on this machine.

Being in FFmpeg's list says nothing: NVENC, QSV and AMF are in every build of the library and open
only where the chip and its driver are. None was at hand when this was written; the option names
are FFmpeg's documentation's.
"""

from __future__ import annotations

from collections.abc import Mapping

import av
from av.codec.codec import UnknownCodecError
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext

from ..interfaces import EncodingConfig
from .codecs import HARDWARE_FAMILIES, CodecSpec
from .plan import EncodePlan
from .thread_priority import kept_priority

# Our quality -> the family's own speed setting; the crf becomes its constant-quality number.
_SPEEDS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "nvenc": ("preset", {"high": "p6", "medium": "p4", "low": "p3", "fast": "p1"}),
    "qsv": ("preset", {"high": "slow", "medium": "medium", "low": "fast", "fast": "veryfast"}),
    "amf": ("quality", {"high": "quality", "medium": "balanced", "low": "speed", "fast": "speed"}),
}


def family_of(encoder: str) -> str | None:
    """Return the hardware family of one of FFmpeg's encoder names, None for software."""
    family = encoder.rpartition("_")[2]
    return family if family in HARDWARE_FAMILIES and encoder != family else None


def hardware_options(encoder: str, spec: CodecSpec, config: EncodingConfig) -> dict[str, str]:
    """Return a hardware encoder's options for a quality."""
    family = family_of(encoder) or ""
    options: dict[str, str] = {}
    if family in _SPEEDS:
        name, speeds = _SPEEDS[family]
        options[name] = config.preset or speeds[config.quality]
    crf = config.crf if config.crf is not None else spec.qualities[config.quality][1]
    if crf is not None:
        options |= {
            "nvenc": {"rc": "vbr", "cq": str(crf), "b": "0"},
            "qsv": {"global_quality": str(crf)},
            "amf": {"rc": "cqp", "qp_i": str(crf), "qp_p": str(crf)},
        }.get(family, {})
    return options


def hardware_format(encoder: str, bit_depth: int) -> str:
    """Return the pixel format a hardware encoder takes."""
    if bit_depth > 8:
        return "p010le"
    return "yuv420p" if family_of(encoder) == "nvenc" else "nv12"


def try_encoder(plan: EncodePlan) -> tuple[str | None, set[str]]:
    """Open an encoder for a moment; return why it does not open, and the options left over."""
    try:
        context = av.CodecContext.create(plan.encoder, "w")
        if not isinstance(context, VideoCodecContext):
            return "it is not a video encoder", set()
        context.width, context.height = plan.size
        context.pix_fmt = plan.pixel_format
        context.time_base, context.framerate = 1 / plan.frame_rate, plan.frame_rate
        context.options = dict(plan.options)
        with kept_priority():
            context.open()
    except UnknownCodecError:
        return "FFmpeg's libraries here have no such encoder", set()
    except (FFmpegError, OSError, ValueError, RuntimeError, NotImplementedError) as error:
        # Each family fails with another class of exception.
        return getattr(error, "strerror", None) or str(error) or type(error).__name__, set()
    return None, set(context.options)
