"""One output file that appears under its name only when it is complete."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, wait
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from ...errors import EncodeError
from ...pasted import url_to_write
from .packets import encode_picture

logger = logging.getLogger("avatarvideo.encoders.write.output_file")

TEMPORARY_PREFIX = ".avatarvideo-"
# What a killed process leaves: unfinished files, and markers of reserved numbers.
_LEFT_BEHIND = re.compile(re.escape(TEMPORARY_PREFIX) + r"([0-9a-f]{12}\.part|.+\.reserved)")
STALE_SECONDS = 24 * 3600  # an encode writes all the time, so nothing this old is in use
CLOSING_SECONDS = 0.3  # to wait for a slow encoder after a cancel; then it ends by itself
MAX_TIMESCALE = 2**31 - 1
MIN_TIMESCALE = 1000
MOV_FAMILY = ("mp4", "mov")


class PendingFile:
    """A file or folder under a temporary name, which may replace none of its ``sources``."""

    def __init__(self, path: Path, *, overwrite: bool = True, sources: Iterable[Path] = ()) -> None:
        self._sources = tuple(sources)
        refuse_sources(path, self._sources)
        self.path = path
        self.temporary = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(6)}.part")
        self._overwrite = overwrite
        remove_stale(path.parent)

    def place(self) -> None:
        """Rename it to its final name. Raises OSError when that is taken and may not be."""
        self.refuse_sources()
        if self._overwrite:
            self.temporary.replace(self.path)
            return
        try:
            os.link(self.temporary, self.path)  # fails, unlike a rename, when the name is taken
        except FileExistsError:
            raise
        except OSError:  # a file system without links
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL))
            self.temporary.replace(self.path)
        else:
            self.temporary.unlink()

    def refuse_sources(self) -> None:
        """Raise EncodeError where it would now replace a file it is made from."""
        refuse_sources(self.path, self._sources)

    def remove(self) -> None:
        """Delete what was written; may be called more than once."""
        with contextlib.suppress(OSError):
            if self.temporary.is_dir():
                shutil.rmtree(self.temporary)
            else:
                self.temporary.unlink()

    @contextlib.contextmanager
    def explaining(self, abort: Callable[[], None]) -> Generator[None]:
        """Call ``abort`` on any exception in the block; FFmpeg's and the system's are explained."""
        try:
            yield
        except (FFmpegError, OSError, ValueError) as error:
            abort()
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise EncodeError(f"Could not write {self.path.name!r}: {reason}.") from error
        except BaseException:
            abort()
            raise


def remove_stale(folder: Path, *, now: float | None = None) -> None:
    """Delete our own temporary files in a folder that are older than a day."""
    limit = (time.time() if now is None else now) - STALE_SECONDS
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not _LEFT_BEHIND.fullmatch(entry.name):
                continue
            with contextlib.suppress(OSError):
                if entry.stat(follow_symlinks=False).st_mtime >= limit:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                else:
                    Path(entry.path).unlink()
                logger.info("removed %s, left by a killed process", entry.path)


class OutputFile:
    """A container being written under a temporary name in the same folder.

    ``finish`` gives it its name, ``abort`` removes it. Raises EncodeError.
    rates: of the pictures and the audio, 1/s, the units in which the edit list should be exact.
    """

    def __init__(
        self,
        path: Path,
        muxer: str,
        metadata: dict[str, str],
        *,
        rates: Iterable[Fraction | int | None] = (),
        overwrite: bool = True,
        sources: Iterable[Path] = (),
    ) -> None:
        self.pending = PendingFile(path, overwrite=overwrite, sources=sources)
        self._container: OutputContainer | None = None
        options = _muxer_options(muxer, bool(metadata), rates)
        with self.pending.explaining(self.pending.remove):
            container = av.open(str(self.pending.temporary), "w", format=muxer, options=options)
        container.metadata.update(metadata)
        self._container = container

    @property
    def container(self) -> OutputContainer:
        """The open container."""
        if self._container is None:
            raise EncodeError(f"Expected an open output, but {self.pending.path.name!r} is closed.")
        return self._container

    def finish(self) -> None:
        """Write the trailer and give the file its name."""
        container, self._container = self.container, None
        with self.pending.explaining(self._fail):
            container.close()
            del container
            self.pending.place()

    def _fail(self) -> None:
        _close_leaked(self.pending.temporary)
        self.pending.remove()

    def abort(self) -> None:
        """Close without keeping anything; may be called more than once."""
        container = self._emptied()
        if container is not None:
            _close(container, self.pending)
            self.pending.remove()

    def abandon(self, submit: Callable[..., Future[None]], slow: VideoStream) -> None:
        """Abort soon, though an encoder finishes all it has. submit: for that encoder's thread."""
        container = self._emptied()
        if container is not None:
            wait([submit(_finish_and_close, slow, container, self.pending)], CLOSING_SECONDS)
            self.pending.remove()

    def _emptied(self) -> OutputContainer | None:
        container, self._container = self._container, None
        if container is not None:
            with contextlib.suppress(OSError):
                # Closing always writes the trailer, and for faststart moves everything in the file.
                os.truncate(self.pending.temporary, 0)
        return container


def _close(container: OutputContainer, pending: PendingFile) -> None:
    with contextlib.suppress(FFmpegError, OSError, ValueError):
        container.close()
    _close_leaked(pending.temporary)


def _close_leaked(path: Path) -> None:
    """Close what PyAV leaves open of a file whose header could not be written, on a full disk."""
    with contextlib.suppress(OSError):
        found = path.stat()
        for name in os.listdir("/dev/fd"):  # noqa: PTH208 - numbers, where the system has them
            with contextlib.suppress(OSError):
                if os.path.samestat(os.fstat(int(name)), found):
                    os.close(int(name))


def _finish_and_close(slow: VideoStream, container: OutputContainer, pending: PendingFile) -> None:
    # Closing would do the same, but hold Python's lock all the while.
    with contextlib.suppress(FFmpegError, OSError, ValueError):
        encode_picture(slow, None)
    _close(container, pending)
    pending.remove()  # again: some systems do not remove an open file


def _muxer_options(
    muxer: str, has_metadata: bool, rates: Iterable[Fraction | int | None]
) -> dict[str, str]:
    if muxer not in MOV_FAMILY:
        return {}
    # The default unit of 1/1000 s would round the audio's end in the edit list, and so the decoded
    # sample count, to a millisecond.
    scales = [rate.numerator for rate in rates if rate is not None]
    scale = math.lcm(*scales)
    if scale < MIN_TIMESCALE:
        scale *= -(-MIN_TIMESCALE // scale)
    if scale > MAX_TIMESCALE:
        scale = max(MIN_TIMESCALE, scales[-1])
    return {
        "movflags": "faststart+use_metadata_tags" if has_metadata else "faststart",
        "movie_timescale": str(scale),
    }


def checked_output(path: str | Path, *, overwrite: bool = True, is_folder: bool = False) -> Path:
    """Return the absolute path of a file that may be written. Raises EncodeError."""
    try:
        absolute = Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100 - links stay as named
        parent_is_folder = absolute.parent.is_dir()
        mode = absolute.stat().st_mode if absolute.exists() else stat.S_IFREG
    except (OSError, ValueError, RuntimeError) as error:
        raise EncodeError(f"Expected a file to write, got {str(path)[:200]!r}: {error}.") from error
    if not parent_is_folder:
        folder = str(absolute.parent)
        if os.path.lexists(folder):
            raise EncodeError(f"Expected a folder, but {folder!r} is a file: name another.")
        raise EncodeError(f"The folder {folder!r} does not exist: create it first.")
    if not overwrite and os.path.lexists(absolute):
        raise EncodeError(
            f"Expected a name that is free, but {absolute.name!r} is taken: choose another or "
            "allow overwriting."
        )
    if not stat.S_ISREG(mode) and not (is_folder and stat.S_ISDIR(mode)):
        raise EncodeError(f"Expected a file to write, but {absolute.name!r} is a folder or device.")
    return absolute


def refuse_url(path: str | Path) -> None:
    """Raise EncodeError where a result would be named by a URL: its folder would be made here."""
    if problem := url_to_write(str(path)):
        raise EncodeError(problem)


def partial_path(path: Path) -> Path:
    """Return the name for a result whose source ends early: a.mp4 becomes a.partial.mp4."""
    return path.with_name(f"{path.stem}.partial{path.suffix}")


def size_of(path: Path) -> int:
    """Return the bytes of a finished result: a file, or a PNG sequence's folder."""
    return sum(file.stat().st_size for file in (path.iterdir() if path.is_dir() else [path]))


def refuse_sources(path: Path, sources: Iterable[str | Path]) -> None:
    """Raise EncodeError where a result would replace a file it is made from.

    path: the result's file, or a PNG sequence's folder. Files are compared, not names: hard links,
    symbolic links and other spellings count as the same file.
    """
    path = Path(os.path.expanduser(path))  # noqa: PTH111 - accepts unknown users
    statuses = list(filter(None, map(_status, sources)))
    if not statuses or _status(path) is None:
        return
    replaced = [path, *(path.iterdir() if path.is_dir() else ())]
    for status in filter(None, map(_status, replaced)):
        if any(os.path.samestat(status, source) for source in statuses):
            which = "a folder with a file" if path.is_dir() else "a file"
            raise EncodeError(
                f"Expected an output other than the input, but {path.name!r} is {which} that the "
                "result is made from: choose another name, so that the original is not lost."
            )


def _status(path: str | Path) -> os.stat_result | None:
    try:
        return os.stat(os.path.expanduser(path))  # noqa: PTH111, PTH116 - as above
    except (OSError, ValueError):  # does not exist, so it cannot be replaced
        return None
