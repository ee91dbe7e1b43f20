"""A folder of numbered PNGs, with the audio beside them as FLAC."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ...errors import EncodeError
from ..read.audio import AudioTrack
from .audio_codecs import audio_codec_for
from .audio_feed import AudioFeed, AudioWriter
from .output_file import OutputFile, PendingFile
from .plan import EncodePlan

NUMBER_DIGITS = 5


class PngTarget:
    """Writes ``name/name_00001.png`` and so on. Raises EncodeError."""

    def __init__(self, plan: EncodePlan, track: AudioTrack | None) -> None:
        self._plan = plan
        self._stem = plan.path.name
        self._count = 0
        self.audio: AudioWriter | None = None
        self._audio_file: OutputFile | None = None
        codec = audio_codec_for(plan.config.audio_codec, "png") if track is not None else ""
        check_replaceable(plan.path)
        self._pending = PendingFile(
            plan.path, overwrite=plan.config.overwrite, sources=plan.sources
        )
        with self._pending.explaining(self.abort):
            self._pending.temporary.mkdir()
            if track is not None:
                file = OutputFile(self._pending.temporary / f"{self._stem}.flac", "flac", {})
                self._audio_file = file
                self.audio = AudioFeed(file.container, track, codec, channels=plan.config.channels)

    def add(self, picture: np.ndarray, tick: int) -> None:
        self._count += 1
        name = f"{self._stem}_{self._count:0{NUMBER_DIGITS}}.png"
        with self._pending.explaining(self.abort):
            info = PngInfo()
            if self._count == 1:
                for key, value in self._plan.metadata.items():
                    info.add_text(key, value)
            level = int(self._plan.options["compress_level"])
            Image.fromarray(picture).save(
                self._pending.temporary / name, "PNG", compress_level=level, pnginfo=info
            )
            if self.audio is not None:
                self.audio.advance(tick * self._plan.time_base)

    def finish(self, audio_end: Fraction | None, check: Callable[[], None]) -> None:
        with self._pending.explaining(self.abort):
            if self.audio is not None and self._audio_file is not None:
                self.audio.finish(audio_end)
                self.audio = None
                self._audio_file.finish()
                self._audio_file = None
            self._pending.refuse_sources()
            check_replaceable(self._plan.path)
            if self._plan.path.is_dir():
                shutil.rmtree(self._plan.path)
            self._pending.temporary.rename(self._plan.path)

    def abort(self) -> None:
        self.audio = None
        if self._audio_file is not None:
            self._audio_file.abort()
            self._audio_file = None
        self._pending.remove()


def check_replaceable(folder: Path) -> None:
    """Raise EncodeError for a folder with anything but an older sequence of the same name."""
    if not folder.exists():
        return
    name = re.escape(folder.name)
    held = [entry.name for entry in folder.iterdir()] if folder.is_dir() else [""]
    ours = all(re.fullmatch(name + r"(_\d{5,}\.png|\.flac)", entry) for entry in held)
    if not ours or (held and not any(entry.endswith(".png") for entry in held)):
        raise EncodeError(
            f"Expected a free name or an older sequence, but {folder.name!r} holds other files: "
            "choose another name."
        )
