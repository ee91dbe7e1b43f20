"""The VIDEO our nodes hand out: frames on demand, one finished file for everybody else.

``StreamingVideo`` is duck-typed. Our encoder reads its frames directly. A call of any method that
the host's file-backed video has makes one file in the temp folder and is passed on to the host's
own object for that file, so methods that newer hosts add keep working.
"""

from __future__ import annotations

import logging
import secrets
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..encoders.encoder import encode_frames
from ..encoders.interfaces import EncodingConfig
from ..encoders.write.output_file import refuse_sources
from ..media import Clip

log = logging.getLogger("avatarvideo.nodes.streaming_video")


class StreamingVideo:
    """A clip whose frames are made when they are read.

    clip: its frames and the sound; what it releases is released when this object goes.
    file_class: the host's file-backed video, made from a path; unknown calls go to it.
    temp_directory: where the one finished file goes when somebody needs one.
    progress: opens the host's bar over so many frames while that file is made; its updates may
        raise what ends the encode.
    identity: differs from that of every other video, also of those that are gone.
    """

    def __init__(
        self,
        clip: Clip,
        *,
        file_class: Callable[[str], Any],
        temp_directory: Path,
        progress: Callable[[int, str], AbstractContextManager[Any]] | None = None,
    ) -> None:
        self.clip = clip
        self.identity = secrets.token_hex(8)
        self._file_class = file_class
        self._temp_directory = temp_directory
        self._progress = progress or _unseen
        self._file: Path | None = None
        self._lock = threading.Lock()
        if clip.release is not None:
            weakref.finalize(self, clip.release)

    def __repr__(self) -> str:
        return f"<video {self.clip.width}x{self.clip.height}, {self.clip.frame_count} frames>"

    def __getattr__(self, name: str) -> Any:
        # Hosts probe objects for model attributes: only public methods of the host's own class
        # may answer, and nothing is encoded before such a method is really called.
        if name.startswith("_") or not callable(getattr(self._file_class, name, None)):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

        def call_on_file(*args: Any, **kwargs: Any) -> Any:
            target = args[0] if args else kwargs.get("path")
            if name == "save_to" and isinstance(target, (str, Path)):
                refuse_sources(Path(target), self.clip.sources)
            return getattr(self._file_class(str(self.materialised())), name)(*args, **kwargs)

        return call_on_file

    def frames(self, start: int = 0) -> Iterator[np.ndarray]:
        """Iterate over the frames from number ``start``: uint8 RGB (H, W, 3)."""
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
        self._temp_directory.mkdir(parents=True, exist_ok=True)
        path = self._temp_directory / f"avatar_{self.identity}.mp4"
        clip = self.clip
        log.info("writing %d frames for a reader that needs a file", clip.frame_count)
        with self._progress(clip.frame_count, "Encoding") as bar:
            encode_frames(
                clip.frames(),
                path,
                frame_rate=clip.frame_rate,
                config=EncodingConfig(quality="high"),
                audio=clip.read_audio(),
                metadata=dict(clip.tags),
                on_frame=bar.update,
            )
        return path


class _NoBar:
    def update(self, done: int) -> None:
        pass


@contextmanager
def _unseen(total: int, label: str) -> Iterator[_NoBar]:
    yield _NoBar()
