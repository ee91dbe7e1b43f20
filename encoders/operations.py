"""Work on files without holding them: encode again, resize, put other sound under the pictures."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError

from ..errors import EncodeError
from ..media import parse_frame_rate
from .interfaces import EncodingConfig
from .outputs import checked_output
from .presets import container_for
from .reader import VideoReader
from .remux import copy_with_audio
from .sound import AudioTrack, decode_audio, has_sound
from .sources import checked_input, open_container, open_media
from .streams import picture_stream
from .writer import VideoWriter

OnFrame = Callable[[int], None]


def refuse_same_file(source: Path, output: Path) -> None:
    """Raise EncodeError when the result would replace the file it is made from."""
    if output.exists() and os.path.samefile(source, output):  # noqa: PTH121 - also hard links
        raise EncodeError(
            f"Expected an output other than the input, both are {output.name!r}: choose another "
            "name, so that the original is not lost."
        )


def transcode(
    source: str | Path,
    output: str | Path,
    config: EncodingConfig,
    *,
    size: tuple[int, int] | None = None,
    on_frame: OnFrame | None = None,
) -> VideoWriter:
    """Encode a video again, sound included; size: (width, height) in pixels, None keeps it.

    Returns the finished writer. Raises MediaError and EncodeError.
    """
    source, output = checked_input(source), checked_output(output)
    refuse_same_file(source, output)
    reader = VideoReader(source)
    width, height = size or (reader.width, reader.height)
    rate = parse_frame_rate(config.fps) if config.fps else reader.frame_rate
    with sound_of(source) as track:
        writer = VideoWriter(
            output, width=width, height=height, frame_rate=rate, config=config, audio=track
        )
        with writer, contextlib.closing(_at_rate(reader, rate)) as frames:
            for count, frame in enumerate(frames, 1):
                writer.write(_resized(frame, width, height))
                if on_frame is not None:
                    on_frame(count)
    return writer


@contextlib.contextmanager
def sound_of(source: Path) -> Iterator[AudioTrack | None]:
    """Open a file's sound, decoded while it is read; None when it has none."""
    container = open_container(source)
    try:
        yield decode_audio(container, source.name) if has_sound(container) else None
    finally:
        with contextlib.suppress(FFmpegError, OSError):
            container.close()


def _at_rate(reader: VideoReader, rate: Fraction) -> Generator[np.ndarray, None, None]:
    """Yield frames at another rate: each moment shows the picture the source shows then."""
    written = 0
    for shown, frame in enumerate(reader.frames(), 1):
        end = shown / reader.frame_rate
        while written / rate < end:
            yield frame
            written += 1


def _resized(frame: np.ndarray, width: int, height: int) -> np.ndarray:
    if frame.shape[:2] == (height, width):
        return frame
    picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
    return picture.reformat(width=width, height=height, interpolation=4).to_ndarray()


def replace_audio(
    video: str | Path, audio: str | Path, output: str | Path, config: EncodingConfig
) -> int:
    """Put other sound under a video whose packets are copied as they are. Returns the packets."""
    video, audio, output = checked_input(video), checked_input(audio), checked_output(output)
    refuse_same_file(video, output)
    refuse_same_file(audio, output)
    container_name = container_for(output.suffix, None)
    with open_media(video) as pictures, open_media(audio) as sound:
        stream = picture_stream(pictures, video.name)
        track = decode_audio(sound, audio.name)
        return copy_with_audio(
            pictures,
            stream,
            track,
            output=output,
            container_name=container_name,
            config=config,
        )
