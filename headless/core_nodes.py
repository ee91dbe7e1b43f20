"""Stand-ins for the few core nodes that talking-head graphs use, for runs without ComfyUI.

Names, inputs, types and output indices are core's, so that one workflow file runs in both places.
They are not part of the pack: inside ComfyUI the real nodes are there.
"""

from __future__ import annotations

import json
import logging

from ..encoders.write.output_names import reserved_file
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
from .core_model_nodes import UpscaleModelLoader
from .core_value_nodes import (
    PrimitiveBoolean,
    PrimitiveFloat,
    PrimitiveInt,
    PrimitiveString,
    PrimitiveStringMultiline,
)
from .core_video_nodes import CreateVideo, GetVideoComponents, SaveVideo, shown_file
from .prompt import Value

logger = logging.getLogger("avatarvideo.headless.core_nodes")

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

        from ..encoders.read.picture import read_with_alpha

        frame, alpha = read_with_alpha(find_file(current_host(), image))
        if alpha is None:
            mask = torch.zeros((1, NO_MASK_SIZE, NO_MASK_SIZE))
        else:
            mask = 1 - torch.tensor(alpha[None]).float() / 255
        return one_image(frame), mask


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

        clip = read_audio(find_file(current_host(), audio), whole=True)
        if clip.lack is not None:
            logger.warning("%s", clip.lack.note)
        return (audio_dict(clip),)


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
            entries.append(shown_file(path, folder, self._KIND))
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


_FILES = (LoadImage, LoadAudio, LoadVideo, SaveVideo, SaveImage, PreviewImage)
_VALUES = (
    *(PrimitiveInt, PrimitiveFloat, PrimitiveBoolean),
    *(PrimitiveString, PrimitiveStringMultiline),
)
_NODES = (*_FILES, GetVideoComponents, CreateVideo, UpscaleModelLoader, *_VALUES)
CORE_STAND_INS: dict[str, type] = {node.__name__: node for node in _NODES}
