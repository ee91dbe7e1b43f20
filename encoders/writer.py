"""Write frames and sound as one video file: exact rate and count, tagged colours, sound in step."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from ..errors import EncodeError
from ..media import AudioClip
from .audio_codecs import AudioFeed, audio_codec_for, encoded_rate, track_of
from .color import BT709, RANGE_LIMITED, YuvConverter, to_uint8
from .interfaces import EncodingConfig
from .outputs import MOV_FAMILY, OutputFile, checked_output, timescales_for
from .presets import codec_for, container_for, encoder_options
from .sound import AudioTrack

logger = logging.getLogger("avatarvideo.encoders.writer")


class VideoWriter:
    """Writes frames (and sound) to a file that appears under its name when it is complete.

    Use it as a context manager. On an exception, cancel included, the encoder is closed without
    flushing and nothing is left. ``write`` takes uint8 RGB (H, W, 3), ``write_float`` float32 RGB
    0..1. Odd sizes are padded by one pixel, repeating the edge, where the pixel format needs even
    ones. All the sound is written, whatever the number of frames. Raises EncodeError.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        width: int,
        height: int,
        frame_rate: Fraction,
        config: EncodingConfig | None = None,
        audio: AudioClip | AudioTrack | None = None,
        metadata: dict[str, str] | None = None,
        container: str | None = None,
    ) -> None:
        """width, height: pixels of the frames given. container: None takes the file's suffix."""
        self.path = checked_output(path)
        self.config = config or EncodingConfig()
        self.container_name = container_for(self.path.suffix, container)
        self.spec = codec_for(self.config, self.container_name)
        self.pixel_format = self.spec.pixel_formats[min(self.spec.pixel_formats)]
        self.options = encoder_options(self.spec, self.config)
        self.frame_rate = frame_rate
        self.width, self.height = padded_size(width, height, self.pixel_format)
        self.frame_count = 0
        self._source_size = (width, height)
        self._track = track_of(audio) if isinstance(audio, AudioClip) else audio
        self._audio_codec = audio_codec_for(self.config.audio_codec, self.container_name)
        self._metadata = dict(metadata or {})
        self._output: OutputFile | None = None
        self._video: VideoStream | None = None
        self._audio: AudioFeed | None = None
        self._to_yuv = YuvConverter(self.width, self.height, self.pixel_format)
        self._padded = np.empty((self.height, self.width, 3), np.uint8)
        self._rounded: np.ndarray | None = None

    def __enter__(self) -> VideoWriter:
        rate = encoded_rate(self._track, self._audio_codec) if self._track else None
        self._output = OutputFile(
            self.path,
            self.container_name,
            self._metadata,
            timescales_for(self.frame_rate, rate),
        )
        try:
            self._open_streams(self._output)
        except (FFmpegError, OSError, ValueError) as error:
            explained = self._output.explained(error)
            self._abort()
            raise explained from error
        except BaseException:
            self._abort()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None or self._output is None:
            self._abort()
            return
        try:
            self._finish(self._output)
        except (FFmpegError, OSError, ValueError) as failure:
            explained = self._output.explained(failure)
            self._abort()
            raise explained from failure
        except BaseException:
            self._abort()
            raise

    def write(self, frame: np.ndarray) -> None:
        """Add one frame, uint8 RGB (H, W, 3)."""
        width, height = self._source_size
        if frame.shape != (height, width, 3) or frame.dtype != np.uint8:
            raise EncodeError(
                f"Expected frame {self.frame_count} as uint8 {(height, width, 3)}, got "
                f"{frame.dtype} {frame.shape}."
            )
        self._encode(self._to_yuv(self._even(frame)))

    def write_float(self, frame: np.ndarray) -> None:
        """Add one frame, float32 RGB (H, W, 3), 0..1; rounded to 8 bits, NaN becomes black."""
        if self._rounded is None or self._rounded.shape != frame.shape:
            self._rounded = np.empty(frame.shape, np.uint8)
        to_uint8(frame, self._rounded)
        self.write(self._rounded)

    def _even(self, frame: np.ndarray) -> np.ndarray:
        width, height = self._source_size
        if (self.width, self.height) == (width, height):
            return np.ascontiguousarray(frame)
        padded = self._padded
        padded[:height, :width] = frame
        padded[height:, :width] = frame[-1:]
        padded[:, width:] = padded[:, width - 1 : width]
        return padded

    def _encode(self, frame: av.VideoFrame) -> None:
        if self._video is None or self._output is None:
            raise EncodeError("Expected an open writer: use it in a with statement.")
        frame.pts = self.frame_count
        frame.time_base = 1 / self.frame_rate
        try:
            self._output.container.mux(self._video.encode(frame))
            if self._audio is not None:
                self._audio.advance((self.frame_count + 1) / self.frame_rate)
        except (FFmpegError, OSError, ValueError) as error:
            raise self._output.explained(error) from error
        self.frame_count += 1

    def _open_streams(self, output: OutputFile) -> None:
        self._video = self._add_video(output.container)
        if self._track is not None:
            self._audio = AudioFeed(
                output.container, self._track, self._audio_codec, self.config.audio_bitrate
            )

    def _add_video(self, container: OutputContainer) -> VideoStream:
        stream = container.add_stream(
            self.spec.encoder, rate=self.frame_rate, options=dict(self.options)
        )
        if not isinstance(stream, VideoStream):
            raise EncodeError(f"Expected a video encoder, {self.spec.encoder!r} is none.")
        context = stream.codec_context
        context.width, context.height = self.width, self.height
        context.pix_fmt = self.pixel_format
        context.time_base = 1 / self.frame_rate
        context.colorspace = BT709
        context.color_range = RANGE_LIMITED
        context.color_primaries = BT709
        context.color_trc = BT709
        if self.spec.tag and self.container_name in MOV_FAMILY:
            context.codec_tag = self.spec.tag
        return stream

    def _finish(self, output: OutputFile) -> None:
        if self._video is None or not self.frame_count:
            raise EncodeError(f"Expected at least one frame for {self.path.name!r}, got none.")
        output.container.mux(self._video.encode(None))
        if self._audio is not None:
            self._audio.finish()
        self._video = self._audio = None
        output.finish()

    def _abort(self) -> None:
        # Encoder threads end when the last reference to their stream goes, not at close.
        self._video = self._audio = None
        if self._output is not None:
            self._output.abort()


def padded_size(width: int, height: int, pixel_format: str) -> tuple[int, int]:
    """Return the coded size: odd sides grow by a pixel where chroma is subsampled that way."""
    if width < 1 or height < 1:
        raise EncodeError(f"Expected a picture size above zero, got {width}x{height}.")
    across = 2 if "420" in pixel_format or "422" in pixel_format else 1
    down = 2 if "420" in pixel_format else 1
    return -(-width // across) * across, -(-height // down) * down
