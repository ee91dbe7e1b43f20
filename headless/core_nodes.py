"""Stand-ins for the few core nodes that talking-head graphs use, for runs without ComfyUI.

Names, inputs, types and output indices are core's, so that one workflow file runs in both places.
They are not part of the pack: inside ComfyUI the real nodes are there.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

from ..encoders.write.output_names import reserved_file
from ..errors import EncodeError
from ..host.current import current_host
from ..nodes.tensors import audio_dict, check_images, image_frames, one_image
from ..nodes.widgets import (
    AUDIO_EXTENSIONS,
    IMAGE_EXTENSIONS,
    VIDEO_EXTENSIONS,
    check_file,
    file_names,
    find_file,
    fingerprint,
)
from .prompt import Value

NO_MASK_SIZE = 64  # what core returns as the mask of a picture without transparency
_HIDDEN = {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}


class _FileLoader:
    """What takes one file of the input folder."""

    FUNCTION = "load"
    INPUT: str
    UPLOAD: str  # the option by which the page adds an upload button
    EXTENSIONS: frozenset[str]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Value]:
        files = file_names(current_host(), cls.EXTENSIONS)
        return {"required": {cls.INPUT: (files, {cls.UPLOAD: True})}}

    @classmethod
    def VALIDATE_INPUTS(cls, **inputs: Value) -> bool | str:
        return check_file(current_host(), inputs[cls.INPUT])

    @classmethod
    def IS_CHANGED(cls, **inputs: Value) -> tuple[float, ...]:
        return fingerprint(current_host(), inputs[cls.INPUT])


class LoadImage(_FileLoader):
    """A picture of the input folder; of an animation the first frame only."""

    RETURN_TYPES = ("IMAGE", "MASK")
    INPUT, UPLOAD = "image", "image_upload"
    EXTENSIONS = IMAGE_EXTENSIONS

    def load(self, image: str) -> tuple[Value, Value]:
        import torch

        from ..encoders.read.picture import read_image

        path = find_file(current_host(), image)
        frame = read_image(path)
        rgba = _with_alpha(path)
        if rgba is None:
            mask = torch.zeros((1, NO_MASK_SIZE, NO_MASK_SIZE))
        else:
            frame = rgba[:, :, :3]
            mask = 1 - torch.tensor(rgba[None, :, :, 3]).float() / 255
        return one_image(frame), mask


def _with_alpha(path: Path) -> Value:
    """Return a transparent picture as uint8 RGBA (H, W, 4), None for an opaque one."""
    import numpy as np
    from PIL import Image, ImageOps

    with Image.open(path) as picture:
        if not picture.has_transparency_data:
            return None
        return np.asarray(ImageOps.exif_transpose(picture).convert("RGBA"))


class LoadAudio(_FileLoader):
    """An audio file of the input folder, or the audio of a video file."""

    RETURN_TYPES = ("AUDIO",)
    INPUT, UPLOAD = "audio", "audio_upload"
    EXTENSIONS = AUDIO_EXTENSIONS | VIDEO_EXTENSIONS

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Value]:
        return super().INPUT_TYPES() | {"optional": {"audioUI": ("AUDIO_UI", {})}}

    def load(self, audio: str, audioUI: Value = None) -> tuple[dict[str, Value] | None]:
        from ..encoders.read.audio import read_audio

        return (audio_dict(read_audio(find_file(current_host(), audio), whole=True)),)


class LoadVideo(_FileLoader):
    """A video file of the input folder."""

    RETURN_TYPES = ("VIDEO",)
    INPUT, UPLOAD = "file", "video_upload"
    EXTENSIONS = VIDEO_EXTENSIONS

    def load(self, file: str) -> tuple[Value]:
        from .core_video import FileVideo

        video = FileVideo(find_file(current_host(), file))
        video.get_dimensions()  # a file that is no video is refused here, by name
        return (video,)


class GetVideoComponents:
    """Frames, audio and rate of a video; the frames as one tensor."""

    FUNCTION = "take_apart"
    RETURN_TYPES = ("IMAGE", "AUDIO", "FLOAT")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Value]:
        return {"required": {"video": ("VIDEO",)}}

    def take_apart(self, video: Value) -> tuple[Value, Value, float]:
        components = video.get_components()
        return components.images, components.audio, float(components.frame_rate)


class CreateVideo:
    """A video of frames and audio; nothing is encoded yet."""

    FUNCTION = "create"
    RETURN_TYPES = ("VIDEO",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Value]:
        rate = ("FLOAT", {"default": 30.0, "min": 1.0, "max": 120.0, "step": 1.0})
        return {"required": {"images": ("IMAGE",), "fps": rate}, "optional": {"audio": ("AUDIO",)}}

    def create(self, images: Value, fps: float, audio: Value = None) -> tuple[Value]:
        from .core_video import ComponentsVideo

        return (ComponentsVideo(images, audio, Fraction(fps)),)


class SaveVideo:
    """Writes a video into the output folder, by copying it where container and codec allow."""

    FUNCTION = "save"
    OUTPUT_NODE = True
    RETURN_TYPES = ("VIDEO",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Value]:
        codecs = {"options": ["auto", "h264", "av1"], "default": "auto"}
        newer = {"forceInput": True}  # not a widget here: it has no place in older files
        return {
            "required": {
                "video": ("VIDEO",),
                "filename_prefix": ("STRING", {"default": "video/ComfyUI"}),
                "format": ("COMBO", {"options": ["auto", "mp4", "mkv", "webm"], "default": "auto"}),
            },
            "optional": {
                "codec": ("COMBO", codecs),
                "format.codec": ("COMBO", codecs | newer),
                "format.codec.encoding": ("COMBO", {"options": ["auto", "re-encode"]} | newer),
                "format.codec.encoding.crf": ("FLOAT", {"min": 0.0, "max": 63.0} | newer),
            },
        }

    def save(
        self, video: Value, filename_prefix: str, format: str, codec: str = "auto", **newer: Value
    ) -> dict[str, Value]:
        from ..encoders.interfaces import EncodingConfig
        from ..encoders.write.operations import transcode
        from ..encoders.write.plan import Extras

        codec = newer.get("format.codec", codec)
        crf = newer.get("format.codec.encoding.crf")
        container = format if format != "auto" else "webm" if codec == "av1" else "mp4"
        width, height = video.get_dimensions()
        values = {"width": width, "height": height}
        host = current_host()
        folder = host.output_directory
        with reserved_file(folder, filename_prefix, container, values=values) as path:
            if container == "mp4" and codec in ("auto", "h264") and crf is None and _is_mp4(video):
                video.save_to(str(path))
            else:
                config = EncodingConfig(codec=codec, crf=None if crf is None else round(crf))
                count = video.get_frame_count() if hasattr(video, "get_frame_count") else 0
                with host.progress(count, "Encoding") as bar, _as_file(video) as file:
                    transcode(file, path, config, extras=Extras(on_frame=bar.update))
        shown = {"images": [_entry(path, folder, "output")], "animated": (True,)}
        return {"ui": shown, "result": (video,)}


def _is_mp4(video: Value) -> bool:
    path = _file_of(video)
    return path is None or path.suffix.lower() in (".mp4", ".m4v")


def _file_of(video: Value) -> Path | None:
    try:
        return Path(video.get_stream_source())
    except EncodeError:  # frames in memory
        return None


@contextmanager
def _as_file(video: Value) -> Generator[Path]:
    """Give a video's file; frames in memory go to one in the temp folder while the block lasts."""
    path = _file_of(video)
    if path is not None:
        yield path
        return
    folder = current_host().temp_directory
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / f"frames_{secrets.token_hex(6)}.mp4"
    try:
        video.save_to(str(made))
        yield made
    finally:
        made.unlink(missing_ok=True)


class SaveImage:
    """Writes every frame of an IMAGE as a PNG into the output folder."""

    FUNCTION = "save"
    OUTPUT_NODE = True
    RETURN_TYPES = ()
    _KIND = "output"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Value]:
        prefix = ("STRING", {"default": "ComfyUI"})
        return {
            "required": {"images": ("IMAGE",), "filename_prefix": prefix},
            "hidden": dict(_HIDDEN),
        }

    def save(
        self, images: Value, filename_prefix: str = "ComfyUI", **hidden: Value
    ) -> dict[str, Value]:
        from PIL import Image

        check_images(images)
        host = current_host()
        folder = host.output_directory if self._KIND == "output" else host.temp_directory
        values = {"width": images.shape[2], "height": images.shape[1]}
        tags = _picture_tags(**hidden)
        entries: list[dict[str, str]] = []
        for frame in image_frames(images):
            with reserved_file(folder, filename_prefix, "png", values=values) as path:
                Image.fromarray(frame).save(path, pnginfo=tags, compress_level=4)
            entries.append(_entry(path, folder, self._KIND))
            host.check_cancelled()
        return {"ui": {"images": entries}}


class PreviewImage(SaveImage):
    """Writes every frame of an IMAGE as a PNG into the temp folder."""

    _KIND = "temp"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Value]:
        return {"required": {"images": ("IMAGE",)}, "hidden": dict(_HIDDEN)}


def _picture_tags(prompt: Value = None, extra_pnginfo: Value = None) -> Value:
    from PIL.PngImagePlugin import PngInfo

    tags = PngInfo()
    given: dict[str, Value] = {"prompt": prompt, **(extra_pnginfo or {})}
    for name, value in given.items():
        if value is not None:
            tags.add_text(name, json.dumps(value))
    return tags


def _entry(path: Path, folder: Path, kind: str) -> dict[str, str]:
    subfolder = path.parent.relative_to(folder).as_posix()
    return {"filename": path.name, "subfolder": "" if subfolder == "." else subfolder, "type": kind}


_NODES = (LoadImage, LoadAudio, LoadVideo, GetVideoComponents, CreateVideo, SaveVideo, SaveImage)
CORE_STAND_INS: dict[str, type] = {node.__name__: node for node in (*_NODES, PreviewImage)}
