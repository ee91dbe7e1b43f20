"""What stands in for the host's own VIDEO objects outside of it: a file, or frames in memory."""

from __future__ import annotations

import itertools
import math
import shutil
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

from ..encoders.encoder import encode_frames
from ..encoders.interfaces import EncodingConfig
from ..encoders.read.probe import probe
from ..encoders.read.video import VideoReader, read_audio
from ..encoders.write.output_file import PendingFile
from ..errors import EncodeError, MediaError
from ..host.machine import available_memory
from ..nodes.tensors import audio_clip, audio_dict, check_images, image_frames

FLOAT_BYTES = 4


@dataclass
class VideoComponents:
    """A video taken apart: images float32 (T, H, W, 3) 0..1, audio an AUDIO or None."""

    images: Any
    frame_rate: Fraction
    audio: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


class FileVideo:
    """A video file, with the methods that graphs call on the host's own file-backed video."""

    def __init__(self, file: str | Path) -> None:
        self._path = Path(file)

    def __repr__(self) -> str:
        return f"<video file {self._path.name}>"

    def get_stream_source(self) -> str:
        return str(self._path)

    def get_dimensions(self) -> tuple[int, int]:
        reader = VideoReader(self._path)
        return reader.width, reader.height

    def get_duration(self) -> float:
        return float(VideoReader(self._path).duration)

    def get_frame_count(self) -> int:
        return VideoReader(self._path).frame_count

    def get_frame_rate(self) -> Fraction:
        return VideoReader(self._path).frame_rate

    def get_container_format(self) -> str:
        return probe(self._path).as_dict()["container"]

    def get_components(self) -> VideoComponents:
        """Decode everything: 12 bytes a pixel and frame."""
        import torch

        reader = VideoReader(self._path)
        shape = (reader.frame_count, reader.height, reader.width, 3)
        _check_memory(math.prod(shape) * FLOAT_BYTES, self._path)
        images = torch.empty(shape)
        count = 0
        for frame in itertools.islice(reader.frames(), reader.frame_count):
            images[count] = torch.from_numpy(frame).float().div_(255)
            count += 1
        images = images[:count]  # a file that was cut short has fewer than it says
        clip = read_audio(self._path) if reader.has_audio else None
        return VideoComponents(images, reader.frame_rate, audio_dict(clip))

    def save_to(self, path: str | BytesIO, **_options: Any) -> None:
        """Copy the file; what the host's own object re-encodes is left as it is.

        Raises EncodeError where it would replace the file itself.
        """
        if isinstance(path, BytesIO):
            path.write(self._path.read_bytes())
        else:
            copy = PendingFile(Path(path), sources=(self._path,))
            try:
                shutil.copyfile(self._path, copy.temporary)
                copy.place()
            except OSError as error:
                raise copy.explained(error) from error
            finally:
                copy.remove()


def _check_memory(needed: int, path: Path) -> None:
    free = available_memory()
    if needed > free:
        raise MediaError(
            f"Expected pictures that fit into {free >> 20:,} MiB of free memory, all frames of "
            f"{path.name!r} take {needed >> 20:,} MiB: trim or scale it down first."
        )


class ComponentsVideo:
    """A video held as tensors: images float32 (T, H, W, 3) 0..1."""

    def __init__(
        self, images: Any, audio: dict[str, Any] | None, frame_rate: Fraction | float
    ) -> None:
        check_images(images)
        self._components = VideoComponents(images, Fraction(frame_rate), audio)

    def __repr__(self) -> str:
        count, height, width = self._components.images.shape[:3]
        return f"<video {width}x{height}, {count} frames>"

    def get_components(self) -> VideoComponents:
        return self._components

    def get_dimensions(self) -> tuple[int, int]:
        height, width = self._components.images.shape[1:3]
        return width, height

    def get_duration(self) -> float:
        return float(self._components.images.shape[0] / self._components.frame_rate)

    def get_stream_source(self) -> BytesIO:
        raise EncodeError("These frames are held in memory: read them with get_components.")

    def save_to(self, path: str, **_options: Any) -> None:
        """Write an mp4 of these frames."""
        components = self._components
        encode_frames(
            image_frames(components.images),
            Path(path),
            frame_rate=components.frame_rate,
            config=EncodingConfig(quality="high"),
            audio=audio_clip(components.audio),
        )
