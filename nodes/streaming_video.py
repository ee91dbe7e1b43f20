"""The VIDEO our nodes return: frames on demand, and one finished file for other packs' nodes.

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
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from ..encoders.encoder import encode_frames
from ..encoders.interfaces import EncodingConfig
from ..encoders.write.output_file import refuse_sources
from ..host.contract import Progress
from ..media import Clip

log = logging.getLogger("avatarvideo.nodes.streaming_video")


class StreamingVideo:
    """A clip whose frames are made when they are read.

    clip: its frames and audio, released when this object is garbage collected.
    file_class: the host's file-backed video, made from a path; unknown calls go to it.
    temp_directory: where the finished file goes when one is needed.
    progress: opens a progress bar while that file is made; an exception in its update ends it.
    identity: never the same as another video's, past ones included.
    """

    def __init__(
        self,
        clip: Clip,
        *,
        file_class: Callable[[str], Any],
        temp_directory: Path,
        progress: Callable[[int, str], AbstractContextManager[Progress]] | None = None,
    ) -> None:
        self.clip = clip
        self.identity = secrets.token_hex(8)
        self._file_class = file_class
        self._temp_directory = temp_directory
        self._progress = progress
        self._file: Path | None = None
        self._lock = threading.Lock()
        if clip.release is not None:
            weakref.finalize(self, clip.release)

    def __repr__(self) -> str:
        return f"<video {self.clip.width}x{self.clip.height}, {self.clip.frame_count} frames>"

    def __getattr__(self, name: str) -> Any:
        # Hosts look objects up for attributes of models: only public methods of the host's own
        # class are there, and nothing is encoded before one of them is called.
        if name.startswith("_") or not callable(getattr(self._file_class, name, None)):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

        def call_on_file(*args: Any, **kwargs: Any) -> Any:
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
        self._temp_directory.mkdir(parents=True, exist_ok=True)
        path = self._temp_directory / f"avatar_{self.identity}.mp4"
        clip = self.clip
        log.info("writing %d frames for a reader that needs a file", clip.frame_count)
        opening = self._progress(clip.frame_count, "Encoding") if self._progress else nullcontext()
        with opening as bar:
            encode_frames(
                clip.frames(),
                path,
                frame_rate=clip.frame_rate,
                config=EncodingConfig(quality="high"),
                audio=clip.read_audio(),
                metadata=dict(clip.tags),
                on_frame=None if bar is None else bar.update,
            )
        return path
