"""Colour: which matrix a file's pictures are coded with, and the exact way to RGB and back."""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np
from av.video.reformatter import VideoReformatter

# FFmpeg's numbers. swscale and AVFrame count matrices differently, hence the table.
BT709 = 1
UNSPECIFIED = 2
RANGE_LIMITED, RANGE_FULL = 1, 2
_SWS_MATRIX = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
SWS_BT709, SWS_BT601 = 1, 5
# bicubic | accurate rounding | full chroma in both directions; as an integer because older
# releases have no names for the flags.
ACCURATE = 4 | 0x40000 | 0x2000 | 0x4000


@dataclass(frozen=True)
class ColorCoding:
    """How a frame is coded: swscale's matrix number and FFmpeg's range number."""

    matrix: int
    color_range: int


def coding_of(frame: av.VideoFrame) -> ColorCoding:
    """Return the matrix and range of a decoded frame; players' habits where it does not say."""
    matrix = _SWS_MATRIX.get(int(frame.colorspace))
    if matrix is None:
        # The rule of mpv and browsers: untagged HD is BT.709, untagged SD is BT.601.
        is_hd = frame.width >= 1280 or frame.height > 576
        matrix = SWS_BT709 if is_hd else SWS_BT601
    full = int(frame.color_range) == RANGE_FULL or frame.format.name.startswith("yuvj")
    return ColorCoding(matrix, RANGE_FULL if full else RANGE_LIMITED)


class RgbConverter:
    """Decoded frames to uint8 RGB (H, W, 3), upright. Keep one per file: it caches tables."""

    def __init__(self, width: int, height: int) -> None:
        """width, height: pixels as coded, before rotation; frames of another size are scaled."""
        self._size = (width, height)
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        width, height = self._size
        coding = coding_of(frame)
        rotation = frame.rotation
        if not frame.format.is_rgb or frame.format.name != "rgb24" or frame.width != width:
            frame = self._reformatter.reformat(
                frame,
                width=width,
                height=height,
                format="rgb24",
                src_colorspace=coding.matrix,
                dst_colorspace=coding.matrix,
                src_color_range=RANGE_FULL if frame.format.is_rgb else coding.color_range,
                dst_color_range=RANGE_FULL,
                interpolation=ACCURATE,
            )
        picture = frame.to_ndarray()
        turns = quarter_turns(rotation)
        return np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture


def quarter_turns(rotation: float) -> int:
    """Return how many quarter turns, anticlockwise, bring a frame upright (0 to 3)."""
    return round(rotation / 90) % 4


class YuvConverter:
    """Uint8 RGB pictures to BT.709 limited-range frames of one pixel format and size."""

    def __init__(self, width: int, height: int, pixel_format: str) -> None:
        self._size = (width, height)
        self._format = pixel_format
        self._reformatter = VideoReformatter()

    def __call__(self, picture: np.ndarray) -> av.VideoFrame:
        """picture: uint8 RGB (H, W, 3), C-contiguous, at the converter's size."""
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        return self.convert(frame, ColorCoding(SWS_BT709, RANGE_FULL))

    def convert(self, frame: av.VideoFrame, coding: ColorCoding) -> av.VideoFrame:
        """Return any frame, coded as ``coding`` says, in this converter's format and size."""
        width, height = self._size
        out = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format=self._format,
            src_colorspace=coding.matrix,
            dst_colorspace=SWS_BT709,
            src_color_range=coding.color_range,
            dst_color_range=RANGE_LIMITED,
            interpolation=ACCURATE,
        )
        out.colorspace = BT709
        out.color_range = RANGE_LIMITED
        return out
