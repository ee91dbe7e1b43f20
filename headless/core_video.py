"""Stand-ins for the host's own VIDEO objects: a file, or frames in memory."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from io import BytesIO
from pathlib import Path

from ..encoders.encoder import encode_frames
from ..encoders.interfaces import EncodingConfig
from ..encoders.read.file_clip import FileClip, open_video_file
from ..encoders.read.probe import probe
from ..encoders.write.output_file import PendingFile, partial_path
from ..encoders.write.partial import ends_early
from ..encoders.write.plan import OnFrame
from ..errors import EncodeError, MediaError
from ..host.machine import available_memory
from ..media import parse_frame_rate
from ..nodes.tensors import audio_dict, clip_from_images, image_tensor
from .prompt import Value

FLOAT_BYTES = 4
_COLOR_SPACES = {"hlg": "HDR", "pq": "HDR PQ"}  # as the host names them


@dataclass
class VideoComponents:
    """A video taken apart: images float32 (T, H, W, 3) 0..1, audio an AUDIO or None."""

    images: Value
    frame_rate: Fraction
    audio: dict[str, Value] | None = None
    metadata: dict[str, Value] | None = None


class FileVideo:
    """A video file, with the methods that graphs call on the host's own file-backed video."""

    def __init__(self, file: str | Path, free_memory: Callable[[], int] = available_memory) -> None:
        self._path = Path(file)
        self._free_memory = free_memory  # bytes

    def get_stream_source(self) -> str:
        return str(self._path)

    @cached_property
    def _clip(self) -> FileClip:
        return open_video_file(self._path)

    def get_dimensions(self) -> tuple[int, int]:
        return self._clip.width, self._clip.height

    def get_duration(self) -> float:
        return float(self._clip.reader.duration)

    def get_frame_count(self) -> int:
        return self._clip.frame_count

    def get_frame_rate(self) -> Fraction:
        return self._clip.frame_rate

    def get_bit_depth(self) -> int:
        return 10 if self._clip.reader.is_deep else 8

    def get_color_space(self) -> str:
        return _COLOR_SPACES.get(probe(self._path).color_transfer or "", "sRGB")

    def get_container_format(self) -> str:
        return probe(self._path).as_dict()["container"]

    def get_components(self) -> VideoComponents:
        """Decode everything: 12 bytes a pixel and frame."""
        clip = self._clip
        count, height, width = clip.frame_count, clip.height, clip.width
        needed, free = count * height * width * 3 * FLOAT_BYTES, self._free_memory()
        if needed > free:
            raise MediaError(
                f"Expected pictures that fit into {free >> 20:,} MiB of free memory, but all "
                f"frames of {self._path.name!r} take {needed >> 20:,} MiB: trim or scale it down "
                "first."
            )
        frames = itertools.islice(clip.frames(), count)  # fewer in a file that was cut short
        images = image_tensor(frames, count=count, height=height, width=width)
        return VideoComponents(images, clip.frame_rate, audio_dict(clip.read_audio()))

    def save_to(self, path: str | BytesIO, **_options: Value) -> None:
        """Copy the file, also where the host's own object would encode it again.

        Raises EncodeError where it would replace the file itself, and SourceEndsEarlyError where
        the file's end is missing: what there is then has a name that says so.
        """
        if isinstance(path, BytesIO):
            path.write(self._path.read_bytes())
        else:
            is_half = self._clip.reader.ends_early
            target = partial_path(Path(path)) if is_half else Path(path)
            copy = PendingFile(target, sources=(self._path,))
            with copy.explaining(copy.remove):
                shutil.copyfile(self._path, copy.temporary)
                copy.place()
            if is_half:
                raise ends_early(
                    f"Expected the whole of {self._path.name!r}, but its end is missing", target
                )


class ComponentsVideo:
    """A video held as tensors: images float32 (T, H, W, 3) 0..1."""

    def __init__(
        self,
        images: Value,
        audio: dict[str, Value] | None,
        frame_rate: Fraction | float,
        bit_depth: int = 8,
    ) -> None:
        rate = parse_frame_rate(frame_rate)
        self._components = VideoComponents(images, rate, audio)
        self._bit_depth = bit_depth
        self._clip = clip_from_images(images, rate, audio, as_floats=bit_depth > 8)

    def get_components(self) -> VideoComponents:
        return self._components

    def get_bit_depth(self) -> int:
        return self._bit_depth

    def get_color_space(self) -> str:
        return "sRGB"

    def get_dimensions(self) -> tuple[int, int]:
        return self._clip.width, self._clip.height

    def get_frame_count(self) -> int:
        return self._clip.frame_count

    def get_frame_rate(self) -> Fraction:
        return self._clip.frame_rate

    def get_duration(self) -> float:
        return float(self._clip.frame_count / self._clip.frame_rate)

    def get_stream_source(self) -> BytesIO:
        raise EncodeError("These frames are held in memory: read them with get_components.")

    def save_to(
        self,
        path: str,
        *,
        config: EncodingConfig | None = None,
        on_frame: OnFrame | None = None,
        **_options: Value,
    ) -> None:
        """Write these frames, as an mp4 unless the name says otherwise."""
        config = config or EncodingConfig(quality="high")
        encode_frames(
            self._clip.frames(),
            Path(path),
            frame_rate=self._clip.frame_rate,
            config=replace(config, bit_depth=self._bit_depth),
            audio=self._clip.read_audio(),
            on_frame=on_frame,
        )
