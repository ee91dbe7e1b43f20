"""The VIDEO our nodes return: frames on demand, and one finished file for other packs' nodes.

Our encoder reads the frames directly. A call of any method that the host's own video of a file has
makes one file and is passed on to that, so methods that newer hosts add keep working.
"""

from __future__ import annotations

import logging
import secrets
import threading
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..encoders.encoder import encode_frames
from ..encoders.interfaces import EncodingConfig
from ..encoders.write.output_file import refuse_sources
from ..host.contract import Host
from ..media import Clip

log = logging.getLogger("avatarvideo.nodes.streaming_video")


class StreamingVideo:
    """A clip whose frames are made when they are read.

    clip: its frames and audio, released when this object is garbage collected.
    host: unknown calls go to its video of a finished file, which lies in its temp folder.
    """

    def __init__(self, clip: Clip, host: Host) -> None:
        self.clip = clip
        self.identity = secrets.token_hex(8)  # no other video has it, past ones included
        self._host = host
        self._file_class = host.video_class()
        self._file: Path | None = None
        self._lock = threading.Lock()
        if clip.release is not None:
            weakref.finalize(self, clip.release)

    def __repr__(self) -> str:
        return f"<video {self.clip.width}x{self.clip.height}, {self.clip.frame_count} frames>"

    def __getattr__(self, name: str) -> Any:  # Any: whatever methods the host's class has
        # Hosts look objects up for attributes of models: only public methods of the host's own
        # class are there, and nothing is encoded before one of them is called.
        if name.startswith("_") or not callable(getattr(self._file_class, name, None)):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

        def call_on_file(*args: Any, **kwargs: Any) -> Any:  # Any: the same
            target = args[0] if args else kwargs.get("path")
            if name == "save_to" and isinstance(target, (str, Path)):
                refuse_sources(Path(target), self.clip.sources)
            return getattr(self._file_class(str(self.materialised())), name)(*args, **kwargs)

        return call_on_file

    def frames(self, start: int = 0) -> Iterator[np.ndarray]:
        return self.clip.frames(start)

    def materialised(self) -> Path:
        """Return the path of a finished mp4 of these frames, made once, and again if it vanished.

        It stays until the host empties its temp folder: objects derived from it hold its path.
        Raises EncodeError.
        """
        with self._lock:
            if self._file is None or not self._file.exists():
                self._file = self._encode()
            return self._file

    def _encode(self) -> Path:
        folder, clip = self._host.temp_directory, self.clip
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"avatar_{self.identity}.mp4"
        log.info("writing %d frames for a reader that needs a file", clip.frame_count)
        audio = clip.read_audio()
        if audio is not None:  # what is missing was said where it was read
            audio = replace(audio, lack=None)
        with self._host.progress(clip.frame_count, "Encoding") as bar:
            encode_frames(
                clip.frames(),
                path,
                frame_rate=clip.frame_rate,
                config=EncodingConfig(quality="high"),
                audio=audio,
                metadata=dict(clip.tags),
                on_frame=bar.update,  # no live picture: the page would keep it in the video's place
            )
        return path
