"""Stand-ins for core's nodes that make, open up and save a VIDEO, as ComfyUI 0.33 has them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..encoders.interfaces import EncodingConfig
from ..encoders.write.output_names import reserved_file
from ..errors import EncodeError
from ..host.contract import Host
from ..host.current import current_host
from ..json_values import JSON
from ..media import parse_frame_rate
from .prompt import DYNAMIC_COMBO, Value

BIT_DEPTHS = {"min": 8, "max": 10, "step": 2, "default": 8}


class GetVideoComponents:
    """Frames, audio and rate of a video; the frames as one tensor."""

    FUNCTION = "take_apart"
    RETURN_TYPES = ("IMAGE", "AUDIO", "FLOAT", "INT", "COMBO")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Value]:
        return {"required": {"video": ("VIDEO",)}}

    def take_apart(self, video: Value) -> tuple[Value, Value, float, int, str]:
        parts = video.get_components()
        depth = video.get_bit_depth() if hasattr(video, "get_bit_depth") else 8
        colors = video.get_color_space() if hasattr(video, "get_color_space") else "sRGB"
        return parts.images, parts.audio, float(parts.frame_rate), depth, colors


class CreateVideo:
    """A video of frames and audio; nothing is encoded yet."""

    FUNCTION = "create"
    RETURN_TYPES = ("VIDEO",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Value]:
        rate = ("FLOAT", {"default": 30.0, "min": 1.0, "max": 120.0, "step": 1.0})
        more = {"audio": ("AUDIO",), "bit_depth": ("INT", BIT_DEPTHS)}
        return {"required": {"images": ("IMAGE",), "fps": rate}, "optional": more}

    def create(
        self, images: Value, fps: float, audio: Value = None, bit_depth: int = 8
    ) -> tuple[Value]:
        from .core_video import ComponentsVideo

        return (ComponentsVideo(images, audio, parse_frame_rate(fps), bit_depth),)


def _dynamic(
    branches: dict[str, dict[str, Value]], **options: JSON
) -> tuple[str, dict[str, Value]]:
    choices = [{"key": key, "inputs": inputs} for key, inputs in branches.items()]
    return DYNAMIC_COMBO, {"options": choices} | options


def _codecs(*names: str, **options: JSON) -> tuple[str, dict[str, Value]]:
    """Return the combo of codecs; what encodes anew brings the choice to do so, and its crf."""
    branches: dict[str, dict[str, Value]] = {"auto": {}}
    for name, usual, highest in (("h264", 23.0, 51.0), ("av1", 30.0, 63.0)):
        crf = ("FLOAT", {"default": usual, "min": 0.0, "max": highest, "step": 1.0})
        colors = ("COMBO", {"options": ["auto", "sRGB"], "default": "auto"})
        anew = {"required": {"crf": crf}, "optional": {"color_space": colors}}
        if name in names:
            encoding = _dynamic({"auto": {}, "re-encode": anew})
            branches[name] = {"optional": {"encoding": encoding}}
    return _dynamic(branches, **options)


class SaveVideo:
    """Writes a video into the output folder, by copying it where container and codec allow."""

    FUNCTION = "save"
    OUTPUT_NODE = True
    RETURN_TYPES = ("VIDEO",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Value]:
        every = {"required": {"codec": _codecs("h264", "av1")}}
        formats = {"auto": every, "mp4": every, "mkv": every}
        formats["webm"] = {"required": {"codec": _codecs("av1")}}
        return {
            "required": {
                "video": ("VIDEO",),
                "filename_prefix": ("STRING", {"default": "video/ComfyUI"}),
                "format": _dynamic(formats),
            },
            "optional": {"codec": _codecs("h264", "av1", hidden=True)},  # of older files
        }

    def save(
        self, video: Value, filename_prefix: str, format: str, codec: str = "auto", **nested: Value
    ) -> dict[str, Value]:
        start = "format.codec" if "format.codec" in nested else "codec"
        codec = nested.get(start, codec)
        crf = nested.get(f"{start}.encoding.crf")
        anew = nested.get(f"{start}.encoding") == "re-encode"
        container = format if format != "auto" else "webm" if codec == "av1" else "mp4"
        config = EncodingConfig(codec=codec, crf=None if crf is None else round(crf))
        width, height = video.get_dimensions()
        host = current_host()
        folder = host.output_directory
        values = {"width": width, "height": height}
        with reserved_file(folder, filename_prefix, container, values=values) as path:
            if not anew and _is_already(video, container, codec):
                video.save_to(str(path))
            else:
                _encode(video, path, config, host)
        shown = {"images": [shown_file(path, folder, "output")], "animated": (True,)}
        return {"ui": shown, "result": (video,)}


def _is_already(video: Value, container: str, codec: str) -> bool:
    """Say whether a video's own file is what is wanted."""
    from ..encoders.read.probe import probe

    try:
        path = Path(video.get_stream_source())
    except EncodeError:  # frames in memory, whose own file is an mp4
        return container == "mp4" and codec in ("auto", "h264")
    same = path.suffix.lower() in {"mp4": (".mp4", ".m4v")}.get(container, (f".{container}",))
    return same and codec in ("auto", probe(path).video_codec)


def _encode(video: Value, path: Path, config: EncodingConfig, host: Host) -> None:
    from ..encoders.encoder import encode_frames
    from ..encoders.write.operations import transcode
    from ..encoders.write.plan import Extras
    from ..nodes.streaming_video import StreamingVideo
    from ..nodes.video_input import open_video
    from .core_video import ComponentsVideo

    count = video.get_frame_count() if hasattr(video, "get_frame_count") else 0
    with host.progress(count, "Encoding") as bar:
        if isinstance(video, ComponentsVideo):
            high = config if config.crf is not None else replace(config, quality="high")
            video.save_to(str(path), config=high, on_frame=bar.update)
        elif isinstance(video, StreamingVideo):
            clip = open_video(video, temp_directory=host.temp_directory)
            encode_frames(
                clip.frames(),
                path,
                frame_rate=clip.frame_rate,
                config=config,
                audio=clip.read_audio(),
                metadata=dict(clip.tags),
                on_frame=bar.update,
            )
        else:
            extras = Extras(on_frame=bar.update)
            transcode(video.get_stream_source(), path, config, extras=extras)


def shown_file(path: Path, folder: Path, kind: str) -> dict[str, str]:
    """Return the entry by which a node shows a file that it wrote."""
    subfolder = path.parent.relative_to(folder).as_posix()
    return {"filename": path.name, "subfolder": "" if subfolder == "." else subfolder, "type": kind}
