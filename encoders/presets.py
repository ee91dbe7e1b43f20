"""What each quality means for each codec, and what each container holds.

Sources: x264 and x265 share preset names and the crf scale's direction; SVT-AV1's presets run from
0 (slow) to 13; libvpx calls its speed ``cpu-used``; ProRes has profiles instead of a crf.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import EncodeError
from .interfaces import QUALITIES, EncodingConfig

X264_PRESETS = (
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
)
PRORES_PROFILES = ("proxy", "lt", "standard", "hq", "4444", "4444xq")


@dataclass(frozen=True)
class CodecSpec:
    """One video codec as we offer it.

    qualities: our quality -> (the codec's preset, crf); crf None where the codec has none.
    pixel_formats: (bit depth, alpha) -> FFmpeg's pixel format.
    preset_option, crf_option: the encoder's own names of the two.
    options: always set, whatever the quality.
    tag: four-character code for mp4 and mov where the default one does not play everywhere.
    """

    name: str
    encoder: str
    qualities: Mapping[str, tuple[str, int | None]]
    presets: tuple[str, ...]
    pixel_formats: Mapping[tuple[int, bool], str]
    containers: tuple[str, ...]
    max_crf: int = 51
    preset_option: str = "preset"
    crf_option: str = "crf"
    options: Mapping[str, str] = field(default_factory=dict)
    tag: str | None = None


def _qualities(*settings: tuple[str, int | None]) -> dict[str, tuple[str, int | None]]:
    return dict(zip(QUALITIES, settings, strict=True))  # high, medium, low, fast


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
        ),
        CodecSpec(
            name="h265",
            encoder="libx265",
            qualities=_X26X,
            presets=X264_PRESETS,
            pixel_formats=_YUV420,
            containers=("mp4", "mov", "mkv"),
            options={"x265-params": "log-level=error"},
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
        ),
        CodecSpec(
            name="vp9",
            encoder="libvpx-vp9",
            qualities=_qualities(("1", 24), ("2", 31), ("4", 40), ("5", 31)),
            presets=tuple(str(n) for n in range(9)),
            pixel_formats={**_YUV420, (8, True): "yuva420p"},
            containers=("webm", "mkv", "mp4"),
            max_crf=63,
            preset_option="cpu-used",
            options={"deadline": "good", "row-mt": "1", "b": "0"},
        ),
        CodecSpec(
            name="prores",
            encoder="prores_ks",
            qualities=_qualities(("hq", None), ("standard", None), ("lt", None), ("lt", None)),
            presets=PRORES_PROFILES,
            pixel_formats={(10, False): "yuv422p10le", (10, True): "yuva444p10le"},
            containers=("mov", "mkv"),
            preset_option="profile",
            options={"vendor": "apl0"},
        ),
        CodecSpec(
            name="ffv1",
            encoder="ffv1",
            qualities=_qualities(("", None), ("", None), ("", None), ("", None)),
            presets=(),
            # RGB inside, so that the pictures come back bit for bit.
            pixel_formats={(8, False): "bgr0", (8, True): "bgra", (10, False): "gbrp10le"},
            containers=("mkv",),
            options={"level": "3", "slices": "4", "slicecrc": "1", "g": "1"},
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


CONTAINERS: Mapping[str, ContainerSpec] = {
    "mp4": ContainerSpec("mp4", "aac", ("aac", "opus", "flac", "alac", "mp3")),
    "mov": ContainerSpec("mov", "aac", ("aac", "pcm", "alac", "mp3")),
    "mkv": ContainerSpec("matroska", "flac", ("aac", "opus", "flac", "alac", "pcm", "mp3")),
    "webm": ContainerSpec("webm", "opus", ("opus",), video_codec="vp9"),
}
_FFMPEG_NAMES = {
    "libx264": "h264",
    "avc": "h264",
    "x264": "h264",
    "libx265": "h265",
    "hevc": "h265",
    "x265": "h265",
    "libsvtav1": "av1",
    "libvpx-vp9": "vp9",
    "prores_ks": "prores",
}
_SUFFIXES = {".m4v": "mp4", ".qt": "mov", ".matroska": "mkv"}


def container_for(suffix: str, container: str | None) -> str:
    """Return the container's name from the option, else from the file's suffix."""
    name = container or _SUFFIXES.get(suffix.lower(), suffix.lower().lstrip("."))
    if name not in CONTAINERS:
        raise EncodeError(
            f"Expected a file name ending in {', '.join('.' + c for c in CONTAINERS)}, "
            f"got {suffix or 'no suffix'!r}."
        )
    return name


def codec_for(config: EncodingConfig, container: str) -> CodecSpec:
    """Return the codec asked for, checked against the container. Raises EncodeError."""
    name = config.codec.lower()
    name = CONTAINERS[container].video_codec if name == "auto" else _FFMPEG_NAMES.get(name, name)
    spec = CODECS.get(name)
    if spec is None:
        raise EncodeError(
            f"Expected codec auto, {', '.join(CODECS)} or one of FFmpeg's names for them, "
            f"got {config.codec!r}."
        )
    if container not in spec.containers:
        raise EncodeError(
            f"Expected a container that holds {spec.name} ({', '.join(spec.containers)}), "
            f"got {container}."
        )
    return spec


def encoder_options(spec: CodecSpec, config: EncodingConfig) -> dict[str, str]:
    """Return the encoder's own options for a quality, with preset and crf overridden as asked."""
    preset, crf = spec.qualities[config.quality]
    options = dict(spec.options)
    if config.preset is not None:
        if config.preset not in spec.presets:
            raise EncodeError(
                f"Expected a {spec.name} preset ({', '.join(spec.presets) or 'it has none'}), "
                f"got {config.preset!r}."
            )
        preset = config.preset
    if preset:
        options[spec.preset_option] = preset
    if crf is not None:
        crf = crf if config.crf is None else config.crf
        if crf > spec.max_crf:
            raise EncodeError(f"Expected crf 0 to {spec.max_crf} for {spec.name}, got {crf}.")
        options[spec.crf_option] = str(crf)
    return options
