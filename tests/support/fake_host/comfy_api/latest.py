"""The VIDEO classes of ComfyUI: an abstract one, and one backed by a file."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from fractions import Fraction
from typing import Any


class VideoInput(ABC):
    @abstractmethod
    def get_components(self) -> Any: ...

    @abstractmethod
    def save_to(self, path: str, **options: Any) -> None: ...


class VideoFromFile(VideoInput):
    def __init__(self, file: str) -> None:
        self._file = file

    def get_components(self) -> Any:
        raise NotImplementedError

    def get_stream_source(self) -> str:
        return self._file

    def get_dimensions(self) -> tuple[int, int]:
        raise NotImplementedError

    def get_frame_rate(self) -> Fraction:
        raise NotImplementedError

    def save_to(self, path: str, **options: Any) -> None:
        shutil.copyfile(self._file, path)


class Input:
    Video = VideoInput


class InputImpl:
    VideoFromFile = VideoFromFile
