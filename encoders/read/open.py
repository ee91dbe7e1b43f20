"""Open untrusted media files: regular files only, no network, no playlists, no endless waits."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import ExitError, FFmpegError
from av.video.stream import VideoStream

from ...errors import MediaError
from ...pasted import existing, url_problem
from .index_claims import check_claims, lacks_index
from .still_kinds import head_of, kind_of, refuse_as_video, refuse_unread, refuse_webp

# For tags that are no UTF-8; from 19 on PyAV opens such files by itself and knows no such option.
_LENIENT_TAGS: dict[str, Any] = (  # Any: of another type in each release
    {"metadata_errors": "surrogateescape"} if int(av.__version__.split(".")[0]) < 19 else {}
)

# Demuxers that read one file and nothing else. Playlists (hls, dash, concat, sdp), numbered
# pictures (image2) and text formats stay off: they make FFmpeg open what the file names.
MEDIA_FORMATS = (
    "mov,mp4,matroska,webm,avi,flv,mpegts,mpeg,ogg,asf,nut,mxf,ivf,gif,apng,webp,webp_anim,dv,"
    "wav,w64,aiff,flac,mp3,aac,ac3,eac3,amr,au,caf,wv,tta,ape,yuv4mpegpipe"
)
OPEN_TIMEOUT_SECONDS = 20.0
READ_TIMEOUT_SECONDS = 20.0
MAX_FRAME_PIXELS = 80_000_000  # 240 MB as RGB; 8K UHD has 33 million
MAX_STREAMS = 64
MAX_CHANNELS = 16
SAMPLE_RATES = range(100, 768_001)

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def checked_input(path: str | Path) -> Path:
    """Return the absolute path of a regular file with something in it. Raises MediaError."""
    try:
        plain = existing(path).expanduser()
        absolute = Path(os.path.abspath(plain))  # noqa: PTH100 - links stay as named
        status = absolute.stat()
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MediaError(
            url_problem(str(path))
            or f"Expected a media file, but could not open {_shown(path)}: {reason}."
        ) from error
    for is_kind, kind in _KINDS:
        if is_kind(status.st_mode):
            raise MediaError(f"Expected a media file, but {_shown(path)} is {kind}.")
    if not status.st_size:
        raise MediaError(
            f"Expected a media file, but {_shown(path)} is empty (0 bytes): copy or download it "
            "again."
        )
    return absolute


def _shown(path: str | Path) -> str:
    text = str(path)
    return repr(text if len(text) <= 200 else f"{text[:120]}...{text[-60:]}")


@contextmanager
def open_media(path: str | Path) -> Generator[InputContainer]:
    """Open an audio or video file for a block. Raises MediaError where FFmpeg cannot read it."""
    container = open_container(path)
    try:
        yield container
    finally:
        close_container(container)


def close_container(container: InputContainer) -> None:
    """Close a file; a damaged one may fail once more, and what is wrong with it was said before."""
    with contextlib.suppress(FFmpegError, OSError):
        container.close()


def open_container(
    path: str | Path, timeouts: tuple[float, float] = (OPEN_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS)
) -> InputContainer:
    """Open a media file, which the caller closes. timeouts: seconds for opening it and a read."""
    absolute, head = checked_input(path), b""
    try:
        head = head_of(absolute)
        refuse_webp(absolute.name, head)
        kind = kind_of(head)
        refuse_as_video(absolute.name, kind, streams=0)
        check_claims(absolute)
        container = av.open(
            str(absolute),
            mode="r",
            # For the frames that are decoded to find out what the streams are.
            options={"max_pixels": str(MAX_FRAME_PIXELS)},
            container_options={
                "protocol_whitelist": "file",
                "format_whitelist": MEDIA_FORMATS,
                "max_streams": str(MAX_STREAMS),
            },
            timeout=timeouts,
            **_LENIENT_TAGS,
        )
    except (FFmpegError, OSError, ValueError) as error:
        refuse_unread(absolute.name, head)
        raise unreadable(absolute, error) from error
    if kind is not None:
        refuse_as_video(absolute.name, kind, len(container.streams))
    return container


def has_codec(stream: AudioStream | VideoStream) -> bool:
    """Say whether FFmpeg knows a stream's codec; PyAV's types do not tell that it may not."""
    return getattr(stream, "codec_context", None) is not None


@contextmanager
def explaining(container: InputContainer) -> Generator[None]:
    """Raise MediaError, naming the file, for what reading it raises in the block."""
    try:
        yield
    except (FFmpegError, OSError, ValueError) as error:
        raise unreadable(Path(container.name), error) from error


def unreadable(path: Path, error: BaseException) -> MediaError:
    """Return the sentence for a file FFmpeg failed on, whatever kind of exception it was."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if isinstance(error, ExitError):  # what FFmpeg says when the time for a read is over
        reason = f"nothing came for {READ_TIMEOUT_SECONDS:.0f} s"
    elif _ends_before_index(path):
        return MediaError(
            f"Expected the whole of {path.name!r}, but its end is missing and with it its index, "
            "without which nothing can be read: copy or download it again."
        )
    return MediaError(
        f"Expected a readable media file, but {path.name!r} is damaged or in a format that is not "
        f"supported ({reason}): play it in a media player or convert it again."
    )


def _ends_before_index(path: Path) -> bool:
    try:
        return lacks_index(path)
    except OSError:
        return False


def check_frame_size(width: int, height: int, what: str) -> None:
    """Refuse frames that are empty or too large, from the header, before anything is decoded."""
    if width < 1 or height < 1:
        # Also what FFmpeg says of pictures that are above its limit, which is ours.
        raise MediaError(
            f"Expected 1 to {MAX_FRAME_PIXELS // 1_000_000} million pixels a frame, but {what} has "
            f"no size that can be read ({width}x{height}): convert it again."
        )
    if width * height > MAX_FRAME_PIXELS:
        raise MediaError(
            f"Expected at most {MAX_FRAME_PIXELS // 1_000_000} million pixels a frame, but {what} "
            f"has {width}x{height}: scale it down first."
        )
