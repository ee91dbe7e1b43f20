"""FFmpegEncode: frames or a video plus sound in, one finished file out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ..encoders.audio_codecs import AUDIO_CODECS
from ..encoders.interfaces import (
    BACKENDS,
    FITS,
    LENGTHS,
    MAX_SIDE,
    QUALITIES,
    VARIABLE_RATES,
    EncodingConfig,
)
from ..encoders.presets import CODECS, CONTAINERS, default_container
from ..errors import EncodeError, MediaError
from ..host import current_host
from ..libraries import naming_missing_libraries
from ..media import DEFAULT_FRAME_RATE, AudioClip, parse_frame_rate
from ..naming import make_folder, output_file
from ..wire import audio_clip, check_images, image_frames
from .widgets import CATEGORY, find_file

# Choices whose machinery is not there yet: what each must be left at.
_NOT_YET = {"backend": "built-in"}


class FFmpegEncode:
    """Encodes frames or a video with sound into one finished file of the output folder."""

    CATEGORY = CATEGORY
    FUNCTION = "encode"
    OUTPUT_NODE = True
    RETURN_TYPES = ("VIDEO", "STRING")
    RETURN_NAMES = ("video", "path")
    OUTPUT_TOOLTIPS = ("The finished video.", "The path of the finished file.")
    DESCRIPTION = "Writes one finished video file with sound, and shows it."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": dict(_WIDGETS),
            "optional": {
                "images": ("IMAGE", {"tooltip": "Frames to encode."}),
                "video": ("VIDEO", {"tooltip": "A video to encode, with its sound."}),
                "audio": ("AUDIO", {"tooltip": "Sound; it replaces the video's own."}),
            },
            "hidden": {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"},
        }

    @naming_missing_libraries
    def encode(
        self,
        images: Any = None,
        video: Any = None,
        audio: Any = None,
        prompt: Any = None,
        extra_pnginfo: Any = None,
        **options: Any,
    ) -> dict[str, Any]:
        from ..file_video import FileVideo

        _refuse_what_is_not_there(options)
        source = _source(images, _video_or_file(video, images, options["path"]))
        tags = _tags(source, options, prompt, extra_pnginfo)
        config = _config(options)
        made = _write(source, _path(source, options), config, audio_clip(audio), tags)
        host = current_host()
        result = ((host.video_class() or FileVideo)(str(made)), str(made))
        return {"ui": _preview(made, host.output_directory), "result": result}


_WIDGETS: dict[str, Any] = {
    "fps": (
        "FLOAT",
        {
            "default": 0.0,
            "min": 0.0,
            "max": 240.0,
            "step": 0.001,
            "tooltip": "Frames per second; 0 takes the video's own, or 25 for images.",
        },
    ),
    "quality": (
        list(QUALITIES),
        {"default": "medium", "tooltip": "Sets the codec's preset and crf together."},
    ),
    "crf": (
        "INT",
        {"default": -1, "min": -1, "max": 63, "tooltip": "Lower is better; -1 is the quality's."},
    ),
    "codec": (
        ["auto", *CODECS],
        {"default": "auto", "tooltip": "The video codec; auto takes the container's usual one."},
    ),
    "container": (
        ["auto", *CONTAINERS],
        {"default": "auto", "tooltip": "The file type; png is a folder of pictures."},
    ),
    "bit_depth": (
        "INT",
        {"default": 8, "min": 8, "max": 10, "step": 2, "tooltip": "Bits a colour, 8 or 10."},
    ),
    "audio_codec": (
        ["auto", *AUDIO_CODECS],
        {"default": "auto", "tooltip": "The audio codec; auto takes the container's usual one."},
    ),
    "audio_bitrate": (
        "INT",
        {"default": 0, "min": 0, "max": 640, "tooltip": "Kilobits per second; 0 is the codec's."},
    ),
    "width": (
        "INT",
        {"default": 0, "min": 0, "max": MAX_SIDE, "tooltip": "Pixels; 0 follows the height."},
    ),
    "height": (
        "INT",
        {"default": 0, "min": 0, "max": MAX_SIDE, "tooltip": "Pixels; 0 follows the width."},
    ),
    "fit": (
        list(FITS),
        {
            "default": "contain",
            "tooltip": "How the picture meets another size: contain shrinks the frame to it, cover "
            "cuts what is over, stretch distorts, pad adds black bars.",
        },
    ),
    "length": (
        list(LENGTHS),
        {
            "default": "keep",
            "tooltip": "When pictures and sound differ: keep both; cut the sound (video); cut or "
            "hold the pictures (audio); cut the longer (shortest); hold the last picture (freeze).",
        },
    ),
    "variable_rate": (
        list(VARIABLE_RATES),
        {"default": "constant", "tooltip": "What becomes of a file whose frame rate varies."},
    ),
    "backend": (
        list(BACKENDS),
        {"default": "built-in", "tooltip": "Who encodes."},
    ),
    "filename_prefix": (
        "STRING",
        {
            "default": "avatar",
            "tooltip": "Folder and name inside the output folder; %date:yyyy-MM-dd%, %width%, "
            "%height% are filled in.",
        },
    ),
    "overwrite": (
        "BOOLEAN",
        {"default": False, "tooltip": "Use the plain name instead of the next number."},
    ),
    "save_metadata": (
        "BOOLEAN",
        {"default": True, "tooltip": "Keep the workflow in the file."},
    ),
    "mark_generated": (
        "BOOLEAN",
        {"default": True, "tooltip": "Note in the file that it is AI-generated."},
    ),
    "path": (
        "STRING",
        {
            "default": "",
            "tooltip": "A video file of the input folder, or an absolute path; used when neither "
            "images nor a video is linked.",
        },
    ),
}


@dataclass(frozen=True, eq=False)
class _Source:
    """What is encoded. ``path`` is its file, if it is one; ``frame_rate`` None leaves it to fps."""

    open_frames: Callable[[], Iterator[np.ndarray]]
    read_sound: Callable[[], AudioClip | None]
    width: int
    height: int
    frame_rate: Fraction | None
    frame_count: int
    tags: dict[str, str]
    path: Path | None = None


def _refuse_what_is_not_there(options: dict[str, Any]) -> None:
    for name, supported in _NOT_YET.items():
        if options.get(name, supported) != supported:
            raise EncodeError(
                f"Expected {name} to be {supported!r}, got {options[name]!r}, which this version "
                "cannot do yet: set it back."
            )


def _video_or_file(video: Any, images: Any, path: str) -> Any:
    if video is not None or images is not None or not path.strip():
        return video
    from ..file_video import FileVideo

    return FileVideo(find_file(current_host(), path))


def _source(images: Any, video: Any) -> _Source:
    from ..streaming_video import StreamingVideo
    from ..video_input import open_video

    if (images is None) == (video is None):
        raise MediaError(
            "Expected either images or a video: link exactly one of them, or write the path of a "
            "video file."
        )
    if images is not None:
        check_images(images)
        return _Source(
            open_frames=lambda: image_frames(images),
            read_sound=lambda: None,
            width=int(images.shape[2]),
            height=int(images.shape[1]),
            frame_rate=None,
            frame_count=int(images.shape[0]),
            tags={},
        )
    taken = open_video(video, temp_directory=current_host().temp_directory)
    return _Source(
        open_frames=lambda: taken.open_frames(0),
        read_sound=taken.read_sound,
        width=taken.width,
        height=taken.height,
        frame_rate=taken.frame_rate,
        frame_count=taken.frame_count,
        tags=video.metadata if isinstance(video, StreamingVideo) else {},
        path=taken.path,
    )


def _path(source: _Source, options: dict[str, Any]) -> Path:
    container = options["container"]
    return output_file(
        current_host().output_directory,
        options["filename_prefix"],
        default_container(options["codec"]) if container == "auto" else container,
        values={"width": source.width, "height": source.height},
        overwrite=options["overwrite"],
    )


def _config(options: dict[str, Any]) -> EncodingConfig:
    same = (
        "quality",
        "codec",
        "container",
        "bit_depth",
        "audio_codec",
        "width",
        "height",
        "fit",
        "length",
        "variable_rate",
        "save_metadata",
    )
    try:
        return EncodingConfig(
            **{name: options[name] for name in same},
            fps=parse_frame_rate(options["fps"]) if options["fps"] else None,
            crf=options["crf"] if options["crf"] >= 0 else None,
            audio_bitrate=options["audio_bitrate"] * 1000 or None,
        )
    except ValueError as error:
        raise EncodeError(str(error)) from error


def _tags(
    source: _Source, options: dict[str, Any], prompt: Any, extra_pnginfo: Any
) -> dict[str, str]:
    tags = dict(source.tags)
    if options["mark_generated"]:
        tags["comment"] = "AI-generated video"
    if options["save_metadata"]:
        if prompt is not None:
            tags["prompt"] = json.dumps(prompt)
        for name, value in (extra_pnginfo or {}).items():
            tags[name] = json.dumps(value)
    return tags


def _write(
    source: _Source,
    path: Path,
    config: EncodingConfig,
    sound: AudioClip | None,
    tags: dict[str, str],
) -> Path:
    """Encode and return what was written: a file, or for a sequence its folder."""
    from ..encoders.ffmpeg import encode_frames
    from ..encoders.operations import transcode

    make_folder(path.parent)
    # No pictures of it: ComfyUI's page would show the last one in place of the finished video.
    with current_host().progress(source.frame_count, "Encoding") as bar:
        if source.path is not None:
            written = transcode(
                source.path, path, config, audio=sound, metadata=tags, on_frame=bar.update
            )
            return written.path
        result = encode_frames(
            source.open_frames(),
            path,
            frame_rate=_rate_of_frames(source, config),
            config=config,
            audio=sound or source.read_sound(),
            metadata=tags,
            on_frame=bar.update,
        )
    return result.output_path or path


def _rate_of_frames(source: _Source, config: EncodingConfig) -> Fraction:
    wanted = None if config.fps is None else parse_frame_rate(config.fps)
    if source.frame_rate is None:
        return wanted or DEFAULT_FRAME_RATE
    if wanted not in (None, source.frame_rate):
        raise EncodeError(
            f"Expected fps 0 or the video's own {source.frame_rate}, got {wanted}: choose the rate "
            "where the video is made (fps of MuseTalk Lip Sync)."
        )
    return source.frame_rate


def _preview(path: Path, output_directory: Path) -> dict[str, Any]:
    if path.is_dir():
        return {"text": [str(path)]}
    subfolder = path.parent.relative_to(output_directory.resolve()).as_posix()
    entry = {
        "filename": path.name,
        "subfolder": "" if subfolder == "." else subfolder,
        "type": "output",
    }
    return {"images": [entry], "animated": (True,)}
