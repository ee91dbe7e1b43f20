"""Nodes that a test server gets beside ours: values that this ComfyUI's own nodes do not make."""

# pyright: reportMissingImports=false
from __future__ import annotations

import gc
from typing import Any

import torch


class ProbeTrim:
    """A VIDEO cut without a new file, as newer hosts hand it on."""

    CATEGORY = "probe"
    FUNCTION = "trim"
    RETURN_TYPES = ("VIDEO",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"video": ("VIDEO",), "frames": ("INT", {"default": 5})}}

    def trim(self, video: Any, frames: int) -> tuple[Any]:
        from comfy_api.latest import InputImpl

        if hasattr(video, "as_trimmed"):
            length = frames / float(video.get_components().frame_rate)
            return (video.as_trimmed(0, length, strict_duration=False),)

        class Trimmed(InputImpl.VideoFromFile):
            def get_active_trim_window(self) -> tuple[float, float]:
                return 0.0, frames / float(self.get_components().frame_rate)

            def save_to(self, path: str, **options: Any) -> None:
                whole = self.get_components()
                whole.images = whole.images[:frames]
                whole.audio = None
                InputImpl.VideoFromComponents(whole).save_to(path)

        return (Trimmed(video.get_stream_source()),)


class ProbeFile:
    """A VIDEO of a file anywhere, as other packs hand it on."""

    CATEGORY = "probe"
    FUNCTION = "load"
    RETURN_TYPES = ("VIDEO",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"path": ("STRING", {"default": ""})}}

    def load(self, path: str) -> tuple[Any]:
        from comfy_api.latest import InputImpl

        return (InputImpl.VideoFromFile(path),)


class ProbeImage:
    """An IMAGE with transparency, or in half precision."""

    CATEGORY = "probe"
    FUNCTION = "change"
    RETURN_TYPES = ("IMAGE",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"image": ("IMAGE",), "kind": (["rgba", "fp16"],)}}

    def change(self, image: torch.Tensor, kind: str) -> tuple[torch.Tensor]:
        if kind == "fp16":
            return (image.half(),)
        return (torch.cat([image, torch.ones_like(image[..., :1])], dim=-1),)


class ProbeOwner:
    """Tells whether a VIDEO passes for the host's own, and what a curious host sees of it."""

    CATEGORY = "probe"
    FUNCTION = "look"
    RETURN_TYPES = ()
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"video": ("VIDEO",)}}

    def look(self, video: Any) -> dict[str, Any]:
        from comfy_api.latest import Input

        probed = ("patcher", "get_models", "is_dynamic", "_comfy_cache_tensors")
        seen = [name for name in probed if hasattr(video, name)]
        return {"ui": {"text": [repr(isinstance(video, Input.Video)), repr(video), repr(seen)]}}


class ProbeNetworks:
    """Names our networks that live in this process, whoever holds them."""

    CATEGORY = "probe"
    FUNCTION = "look"
    RETURN_TYPES = ()
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {}, "optional": {"after": ("VIDEO",)}}

    @classmethod
    def IS_CHANGED(cls, **_rest: object) -> float:
        return float("nan")  # equal to nothing: looks again in every run

    def look(self, after: Any = None) -> dict[str, Any]:
        gc.collect()
        alive = [one for one in gc.get_objects() if issubclass(type(one), torch.nn.Module)]
        ours = [one for one in alive if ".musetalk.networks." in type(one).__module__]
        # One on the meta device is a shape without weights, which plans are made by.
        filled = [one for one in ours if any(not each.is_meta for each in one.parameters())]
        return {"ui": {"text": sorted({type(one).__name__ for one in filled})}}


NODE_CLASS_MAPPINGS = {
    "ProbeTrim": ProbeTrim,
    "ProbeFile": ProbeFile,
    "ProbeImage": ProbeImage,
    "ProbeOwner": ProbeOwner,
    "ProbeNetworks": ProbeNetworks,
}
