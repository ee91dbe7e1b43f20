"""FFmpegEncode: frames or a video plus sound in, one finished file out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ..encoders.interfaces import QUALITIES, EncodingConfig
from ..errors import EncodeError, MediaError
from ..host import current_host
from ..media import DEFAULT_FRAME_RATE, AudioClip, PassingFrames, parse_frame_rate
from ..naming import make_folder, output_file
from ..wire import audio_clip, check_images, image_frames
from .widgets import CATEGORY, find_file

DEFAULT_CONTAINER = "mp4"
# Choices whose machinery is not there yet: what each must be left at.
_NOT_YET = {
    "bit_depth": 8,
    "fit": "contain",
    "width": 0,
    "height": 0,
    "length": "video",
    "variable_rate": "constant",
    "backend": "built-in",
}


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

    def encode(
        self,
        images: Any = None,
        video: Any = None,
        audio: Any = None,
        prompt: Any = None,
        extra_pnginfo: Any = None,
        **options: Any,
    ) -> dict[str, Any]:
        _refuse_what_is_not_there(options)
        source = _source(images, _video_or_file(video, images, options["path"]), options["fps"])
        sound = audio_clip(audio) if audio is not None else source.read_sound()
        path = _path(source, options)
        tags = _tags(source, options, prompt, extra_pnginfo)
        _write(source, path, _config(options), sound, tags)
        from ..file_video import FileVideo

        host = current_host()
        result = ((host.video_class() or FileVideo)(str(path)), str(path))
        return {"ui": _preview(path, host.output_directory), "result": result}


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
    "codec": (["auto", "h264"], {"default": "auto", "tooltip": "The video codec."}),
    "container": (["auto", "mp4", "mkv", "mov"], {"default": "auto", "tooltip": "The file type."}),
    "bit_depth": (
        "INT",
        {"default": 8, "min": 8, "max": 10, "step": 2, "tooltip": "Bits a colour."},
    ),
    "audio_codec": (["auto"], {"default": "auto", "tooltip": "The audio codec."}),
    "audio_bitrate": (
        "INT",
        {"default": 0, "min": 0, "max": 640, "tooltip": "Kilobits per second; 0 is the codec's."},
    ),
    "width": ("INT", {"default": 0, "min": 0, "max": 16384, "tooltip": "Pixels; 0 keeps it."}),
    "height": ("INT", {"default": 0, "min": 0, "max": 16384, "tooltip": "Pixels; 0 keeps it."}),
    "fit": (
        ["contain", "cover", "stretch", "pad"],
        {"default": "contain", "tooltip": "How the picture meets another size."},
    ),
    "length": (
        ["video", "audio", "shortest", "freeze"],
        {"default": "video", "tooltip": "Whose length counts when they differ."},
    ),
    "variable_rate": (
        ["constant", "keep"],
        {"default": "constant", "tooltip": "What becomes of a varying frame rate."},
    ),
    "backend": (
        ["built-in", "own ffmpeg"],
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
    open_frames: Callable[[], Iterator[np.ndarray]]
    read_sound: Callable[[], AudioClip | None]
    width: int
    height: int
    frame_rate: Fraction
    frame_count: int
    tags: dict[str, str]


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


def _source(images: Any, video: Any, fps: float) -> _Source:
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
            frame_rate=parse_frame_rate(fps) if fps else DEFAULT_FRAME_RATE,
            frame_count=int(images.shape[0]),
            tags={},
        )
    taken = open_video(video, temp_directory=current_host().temp_directory)
    if fps and parse_frame_rate(fps) != taken.frame_rate:
        raise EncodeError(
            f"Expected fps 0 or the video's own {taken.frame_rate}, got {fps:g}: this version "
            "cannot convert the rate of a video yet."
        )
    return _Source(
        open_frames=lambda: taken.open_frames(0),
        read_sound=taken.read_sound,
        width=taken.width,
        height=taken.height,
        frame_rate=taken.frame_rate,
        frame_count=taken.frame_count,
        tags=video.metadata if isinstance(video, StreamingVideo) else {},
    )


def _path(source: _Source, options: dict[str, Any]) -> Path:
    container = options["container"]
    return output_file(
        current_host().output_directory,
        options["filename_prefix"],
        DEFAULT_CONTAINER if container == "auto" else container,
        values={"width": source.width, "height": source.height},
        overwrite=options["overwrite"],
    )


def _config(options: dict[str, Any]) -> EncodingConfig:
    try:
        return EncodingConfig(
            quality=options["quality"],
            crf=options["crf"] if options["crf"] >= 0 else None,
            codec=options["codec"],
            audio_codec=options["audio_codec"],
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
) -> None:
    from ..encoders.ffmpeg import encode_frames

    make_folder(path.parent)
    frames = PassingFrames(source.open_frames())
    with current_host().progress(source.frame_count, "Encoding") as bar:
        encode_frames(
            iter(frames),
            path,
            frame_rate=source.frame_rate,
            config=config,
            audio=sound,
            metadata=tags,
            on_frame=lambda done: bar.update(done, preview=frames.newest),
        )


def _preview(path: Path, output_directory: Path) -> dict[str, Any]:
    subfolder = path.parent.relative_to(output_directory.resolve()).as_posix()
    entry = {
        "filename": path.name,
        "subfolder": "" if subfolder == "." else subfolder,
        "type": "output",
    }
    return {"images": [entry], "animated": (True,)}
