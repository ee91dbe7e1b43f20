"""What each quality means for each codec, and what each container holds.

Sources: x264 and x265 share preset names and the crf scale's direction; SVT-AV1's presets run from
0 (slow) to 13; libvpx calls its speed ``cpu-used``; ProRes has profiles instead of a crf.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ...errors import EncodeError
from ..interfaces import QUALITIES, EncodingConfig

X264_PRESETS = (
    *("ultrafast", "superfast", "veryfast", "faster", "fast"),
    *("medium", "slow", "slower", "veryslow", "placebo"),
)
PRORES_PROFILES = ("proxy", "lt", "standard", "hq", "4444", "4444xq")


@dataclass(frozen=True)
class CodecSpec:
    """One video codec as we offer it: an entry says all that is particular about it.

    qualities: our quality -> (the codec's preset, crf); crf None where the codec has none.
    presets: all that a user may name; ``preset_option`` and ``crf_option`` are the encoder's own
        names of the two, ``max_crf`` is the worst it takes.
    pixel_formats: (bit depth, alpha) -> FFmpeg's pixel format.
    containers: those that hold it, the best one first.
    other_names: what it is called too, besides the encoder's name.
    hardware: its name in FFmpeg's hardware encoders, as in hevc_nvenc; None where we use none.
    options: always set, whatever the quality; ``format_options`` for a (bit depth, alpha).
    narrow: (width in pixels, option, more of it), for pictures of less than that width.
    least_side, most_side: pixels under and over which the encoder fails.
    tag: four-character code for mp4 and mov where the default one does not play everywhere.
    environment: variables that the encoder reads when it opens, unless the user has set them.
    fields: how it keeps interlaced pictures: not at all, where that is asked for, or always.
    bottom_first: (option, more of it), for those whose bottom field is shown first.
    is_slow_to_close: it takes dozens of frames at once, and gives none of them up.
    is_ffmpeg: False for those we write ourselves.
    is_known: False for encoders of FFmpeg's that a user names; their crf and preset are passed on.
    """

    name: str
    encoder: str
    qualities: Mapping[str, tuple[str, int | None]]
    pixel_formats: Mapping[tuple[int, bool], str]
    containers: tuple[str, ...]
    presets: tuple[str, ...] = ()
    max_crf: int = 51
    preset_option: str = "preset"
    crf_option: str = "crf"
    other_names: tuple[str, ...] = ()
    hardware: str | None = None
    options: Mapping[str, str] = field(default_factory=dict[str, str])
    format_options: Mapping[tuple[int, bool], Mapping[str, str]] = field(
        default_factory=dict[tuple[int, bool], Mapping[str, str]]
    )
    narrow: tuple[int, str, str] | None = None
    least_side: int = 1
    most_side: int = 65535
    tag: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    fields: Literal["never", "asked", "always"] = "never"
    bottom_first: tuple[str, str] | None = None
    is_slow_to_close: bool = False
    is_ffmpeg: bool = True
    is_known: bool = True


def _qualities(*settings: tuple[str, int | None]) -> dict[str, tuple[str, int | None]]:
    return dict(zip(QUALITIES, settings, strict=True))  # high, medium, low, fast


def _without_crf(*presets: str) -> dict[str, tuple[str, int | None]]:
    return _qualities(*((preset, None) for preset in presets))


_X26X = _qualities(("slow", 18), ("medium", 23), ("fast", 28), ("veryfast", 23))
_YUV420 = {(8, False): "yuv420p", (10, False): "yuv420p10le"}

CODECS: Mapping[str, CodecSpec] = {
    spec.name: spec
    for spec in (
        CodecSpec(
            name="h264",
            encoder="libx264",
            qualities=_X26X,
            presets=X264_PRESETS,
            pixel_formats=_YUV420,
            containers=("mp4", "mov", "mkv"),
            other_names=("avc", "x264"),
            fields="asked",
            bottom_first=("x264-params", "bff=1"),
            hardware="h264",
            most_side=16384,
        ),
        CodecSpec(
            name="h265",
            encoder="libx265",
            qualities=_X26X,
            presets=X264_PRESETS,
            pixel_formats=_YUV420,
            containers=("mp4", "mov", "mkv"),
            other_names=("hevc", "x265"),
            hardware="hevc",
            options={"x265-params": "log-level=error"},
            # x265 4.1's AVX2 code for it writes past its buffer on narrower pictures.
            narrow=(64, "x265-params", ":cutree=0"),
            least_side=16,
            tag="hvc1",  # Apple's players show nothing with FFmpeg's default hev1
        ),
        CodecSpec(
            name="av1",
            encoder="libsvtav1",
            # Crf 32 of SVT-AV1 looks about like x264's 23.
            qualities=_qualities(("5", 24), ("7", 32), ("9", 42), ("10", 32)),
            presets=tuple(str(n) for n in range(14)),
            pixel_formats=_YUV420,
            containers=("mp4", "mkv", "webm"),
            max_crf=63,
            hardware="av1",
            least_side=32,  # SVT-AV1 4.1 ends the process on less
            most_side=16384,
            environment={"SVT_LOG": "1"},  # errors only, else it prints its settings
            is_slow_to_close=True,
        ),
        CodecSpec(
            name="vp9",
            encoder="libvpx-vp9",
            qualities=_qualities(("1", 24), ("2", 31), ("4", 40), ("5", 31)),
            presets=tuple(str(n) for n in range(9)),
            # PyAV's libvpx is built for 8 bits only.
            pixel_formats={(8, False): "yuv420p", (8, True): "yuva420p"},
            containers=("webm", "mkv", "mp4"),
            max_crf=63,
            preset_option="cpu-used",
            hardware="vp9",
            options={"deadline": "good", "row-mt": "1", "b": "0"},
        ),
        CodecSpec(
            name="prores",
            encoder="prores_ks",
            qualities=_without_crf("hq", "standard", "lt", "lt"),
            presets=PRORES_PROFILES,
            pixel_formats={(10, False): "yuv422p10le", (10, True): "yuva444p10le"},
            containers=("mov", "mkv"),
            preset_option="profile",
            fields="always",
            options={"vendor": "apl0"},
            format_options={(10, True): {"profile": "4444", "alpha_bits": "16"}},
        ),
        CodecSpec(
            name="ffv1",
            encoder="ffv1",
            qualities=_without_crf("", "", "", ""),
            # RGB inside, so that the pictures come back bit for bit.
            pixel_formats={(8, False): "bgr0", (8, True): "bgra", (10, False): "gbrp10le"},
            containers=("mkv",),
            fields="always",
            options={"level": "3", "slices": "4", "slicecrc": "1", "g": "1"},
        ),
        CodecSpec(
            name="gif",
            encoder="gif",
            qualities=_without_crf("dithered", "dithered", "plain", "plain"),
            presets=("dithered", "plain"),
            pixel_formats={(8, False): "pal8", (8, True): "pal8"},
            containers=("gif",),
            is_ffmpeg=False,
        ),
        CodecSpec(
            name="webp",
            encoder="webp",
            # The crf is turned round into WebP's own scale, where 100 is best.
            qualities=_qualities(("6", 5), ("4", 20), ("3", 35), ("0", 20)),
            presets=tuple(str(n) for n in range(7)),
            pixel_formats={(8, False): "rgb24", (8, True): "rgba"},
            containers=("webp",),
            max_crf=63,
            most_side=16383,
            preset_option="method",
            is_ffmpeg=False,
        ),
        CodecSpec(
            name="png",
            encoder="png",
            qualities=_without_crf("6", "4", "1", "1"),
            presets=tuple(str(n) for n in range(10)),
            pixel_formats={(8, False): "rgb24", (8, True): "rgba"},
            containers=("png",),
            preset_option="compress_level",
            is_ffmpeg=False,
        ),
    )
}


@dataclass(frozen=True)
class ContainerSpec:
    """One container: FFmpeg's muxer, the audio codec chosen for "auto", those that play in it."""

    muxer: str
    audio_codec: str
    audio_codecs: tuple[str, ...]
    video_codec: str = "h264"
    alpha_codec: str | None = None
    copies: tuple[str, ...] = ()  # audio codecs that a file may bring along


CONTAINERS: Mapping[str, ContainerSpec] = {
    "mp4": ContainerSpec("mp4", "aac", ("aac", "opus", "flac", "alac", "mp3"), copies=("aac",)),
    "mov": ContainerSpec(
        "mov",
        "aac",
        ("aac", "pcm", "alac", "mp3"),
        alpha_codec="prores",
        copies=("aac", "pcm", "alac"),
    ),
    "mkv": ContainerSpec(
        "matroska",
        "flac",
        ("aac", "opus", "flac", "alac", "pcm", "mp3"),
        alpha_codec="ffv1",
        copies=("aac", "opus", "flac", "mp3", "pcm"),
    ),
    "webm": ContainerSpec(
        "webm", "opus", ("opus",), video_codec="vp9", alpha_codec="vp9", copies=("opus",)
    ),
    "gif": ContainerSpec("gif", "", (), video_codec="gif", alpha_codec="gif"),
    "webp": ContainerSpec("", "", (), video_codec="webp", alpha_codec="webp"),
    # A folder of pictures, with the audio beside them.
    "png": ContainerSpec("", "flac", ("flac",), video_codec="png", alpha_codec="png"),
}
_NAMES = {name: spec.name for spec in CODECS.values() for name in (spec.encoder, *spec.other_names)}
_SUFFIXES = {".m4v": "mp4", ".qt": "mov", ".matroska": "mkv"}


def known_codec(name: str) -> CodecSpec | None:
    """Return the codec of ours that a name of ours or of FFmpeg's stands for."""
    return CODECS.get(_NAMES.get(name, name))


def encoder_name(codec: str) -> str:
    """Return FFmpeg's name of the encoder that a codec's name stands for, else the name itself."""
    spec = known_codec(codec.lower())
    return spec.encoder if spec else codec.lower()


def default_container(codec: str) -> str:
    """Return the container that suits a codec, for when the user names none."""
    spec = known_codec(codec)
    return spec.containers[0] if spec else "mp4"


def container_for(suffix: str, container: str | None) -> str:
    """Return the container's name, from the file's suffix where the option is None or "auto"."""
    name = container or "auto"
    if name == "auto":
        name = _SUFFIXES.get(suffix.lower(), suffix.lower().lstrip("."))
    if name not in CONTAINERS:
        raise EncodeError(
            f"Expected a file name ending in {', '.join('.' + c for c in CONTAINERS)}, "
            f"got {suffix or 'no suffix'!r}: name the container or use such an ending."
        )
    return name


def codec_for(config: EncodingConfig, container: str) -> CodecSpec:
    """Return the codec asked for, checked against the container. Raises EncodeError."""
    holder = CONTAINERS[container]
    name = config.codec.lower()
    if name == "auto":
        name = (config.alpha and holder.alpha_codec) or holder.video_codec
    spec = known_codec(software_name(name))
    by_hand = config.pixel_format is not None or config.codec_options is not None
    if spec is None and (by_hand or config.backend == "own ffmpeg"):
        spec = _unknown_codec(name)
    if spec is None:
        raise EncodeError(
            f"Expected codec auto, copy, {', '.join(CODECS)} or one of FFmpeg's names for them, "
            f"got {config.codec!r}."
        )
    if container not in spec.containers:
        raise EncodeError(
            f"Expected a container that holds {spec.name} ({', '.join(spec.containers)}), "
            f"got {container}: choose one of those or another codec."
        )
    return spec


def _unknown_codec(encoder: str) -> CodecSpec:
    """Return what is needed to try an encoder of FFmpeg's that is in no table of ours."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", encoder):
        raise EncodeError(f"Expected the name of an encoder, got {encoder!r}.")
    return CodecSpec(
        name=encoder,
        encoder=encoder,
        qualities=_without_crf("", "", "", ""),
        pixel_formats=_YUV420,
        containers=("mp4", "mov", "mkv", "webm"),
        max_crf=63,
        is_known=False,
    )


def safe_options(spec: CodecSpec, options: Mapping[str, str], width: int) -> dict[str, str]:
    """Return the options with what narrow pictures need, in pixels, besides."""
    if spec.narrow is None or width >= spec.narrow[0]:
        return dict(options)
    _, name, more = spec.narrow
    return {**options, name: options[name] + more}


HARDWARE_FAMILIES = ("nvenc", "qsv", "amf", "videotoolbox", "mf", "v4l2m2m")
# Offered in menus; any other name of a family's is understood too.
HARDWARE_ENCODERS = (
    *("h264_nvenc", "hevc_nvenc", "av1_nvenc"),
    *("h264_qsv", "hevc_qsv", "av1_qsv"),
    *("h264_amf", "hevc_amf", "av1_amf"),
    *("h264_videotoolbox", "hevc_videotoolbox"),
)
_HARDWARE_CODECS = {spec.hardware: spec.name for spec in CODECS.values() if spec.hardware}


def software_name(encoder: str) -> str:
    """Return our codec name for one of FFmpeg's hardware encoders, else the name itself."""
    codec, _, family = encoder.partition("_")
    return _HARDWARE_CODECS.get(codec, encoder) if family in HARDWARE_FAMILIES else encoder


def encoder_options(
    spec: CodecSpec, config: EncodingConfig, form: tuple[int, bool] = (8, False)
) -> dict[str, str]:
    """Return the encoder's own options. form: the (bit depth, alpha) that will be written."""
    preset, crf = spec.qualities[config.quality]
    options = dict(spec.options)
    if spec.is_known and config.preset is not None and config.preset not in spec.presets:
        raise EncodeError(
            f"Expected a {spec.name} preset ({', '.join(spec.presets) or 'it has none'}), "
            f"got {config.preset!r}: choose one or leave it out."
        )
    if preset := config.preset or preset:
        options[spec.preset_option] = preset
    if config.crf is not None and (crf is not None or not spec.is_known):
        crf = config.crf
    if crf is not None:
        if crf > spec.max_crf:
            raise EncodeError(
                f"Expected crf 0 to {spec.max_crf} for {spec.name}, got {crf}: choose a smaller "
                "number."
            )
        options[spec.crf_option] = str(crf)
    return options | dict(spec.format_options.get(form, {})) | dict(config.codec_options or {})
