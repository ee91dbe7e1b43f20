"""What is known of a clip that is no file: frames and sound in memory."""

from __future__ import annotations

import math

from ...media import AudioClip, Clip
from ..channel_layouts import LAYOUTS
from .loudness import integrated_loudness
from .probe import AudioInfo, VideoInfo


def clip_info(clip: Clip, *, measure_loudness: bool = False) -> VideoInfo:
    """Return what a file's information tells, as far as frames in memory have it."""
    width, height, rate = clip.width, clip.height, clip.frame_rate
    shared = math.gcd(width, height)
    sound = clip.read_audio()
    return VideoInfo(
        path="in memory",
        container="none",
        duration_seconds=float(clip.frame_count / rate),
        file_size_bytes=0,
        width=width,
        height=height,
        coded_width=width,
        coded_height=height,
        fps=float(rate),
        frame_rate=f"{rate.numerator}/{rate.denominator}",
        is_variable_rate=False,
        frame_count=clip.frame_count,
        frame_count_exact=True,
        video_codec="none",
        pixel_format="rgb",
        sample_aspect_ratio="1:1",
        display_aspect_ratio=f"{width // shared}:{height // shared}",
        rotation=0,
        color_matrix="rgb",
        color_range="full",
        bit_rate=0,
        audio=() if sound is None else (_audio_info(sound, measure_loudness),),
    )


def _audio_info(sound: AudioClip, measured: bool) -> AudioInfo:
    channels = sound.samples.shape[0]
    loudness = None
    if measured:
        loudness = integrated_loudness([sound.samples], sound.sample_rate, channels)
    return AudioInfo(
        codec="none",
        sample_rate=sound.sample_rate,
        channels=channels,
        layout=LAYOUTS.get(channels, ""),
        duration_seconds=float(sound.duration),
        offset_seconds=0.0,
        bit_rate=None,
        loudness_lufs=loudness,
    )
