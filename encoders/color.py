"""Colour: the matrix of a file's pictures, and exact conversion to RGB and back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import av
import cv2
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import VideoReformatter

from ..errors import MediaError
from ..host.machine import usable_cpus
from .orientation import Orientation, orientation_of
from .profiles import ColorProfile
from .tone_map import HLG, PLANES, PQ, ColorMapper, Light

# FFmpeg's numbers. swscale and AVFrame count matrices differently, hence the table.
SPC_RGB = 0
BT709 = 1
UNSPECIFIED = 2
RANGE_LIMITED, RANGE_FULL = 1, 2
HDR_TRANSFERS = (PQ, HLG)
_SWS_MATRIX = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
SWS_BT709, SWS_BT601 = 1, 5
_UNREAD = {8: "YCgCo", 11: "YDzDx", 14: "ICtCp", 15: "IPT-C2"}  # swscale takes them for others
# bicubic | accurate rounding | full chroma in both directions; older PyAV has no names for them.
ACCURATE = 4 | 0x40000 | 0x2000 | 0x4000

# The encoder's threads use the CPU; threads for the conversion as well only add switches.
# Older PyAV has no such argument and never uses any.
_MAJOR = int(av.__version__.split(".")[0])
SERIAL = {"threads": 1} if _MAJOR >= 17 else {}
# With many CPUs a large picture is converted in parallel bands: one thread would be slower than the
# encoder is with the others.
CPUS_PER_BAND = 4
MAX_BANDS = 4
MIN_BAND_PIXELS = 1 << 18

# Channels and depth of an array -> FFmpeg's name.
_PACKED: dict[tuple[np.dtype, int], str] = {
    (np.dtype(np.uint8), 3): "rgb24",
    (np.dtype(np.uint8), 4): "rgba",
    (np.dtype(np.uint16), 3): "rgb48le",
    (np.dtype(np.uint16), 4): "rgba64le",
}


@dataclass(frozen=True)
class ColorCoding:
    """How a frame is coded: swscale's matrix number and FFmpeg's range number."""

    matrix: int
    color_range: int


@dataclass(frozen=True)
class Colors:
    """The tags of YUV pictures, in FFmpeg's numbers."""

    matrix: int = BT709
    primaries: int = BT709
    transfer: int = BT709

    @property
    def is_hdr(self) -> bool:
        return self.transfer in HDR_TRANSFERS


def coding_of(frame: av.VideoFrame) -> ColorCoding:
    """Return the matrix and range of a decoded frame; untagged, what players assume.

    Raises MediaError for codings that are not read.
    """
    if unread := _UNREAD.get(int(frame.colorspace)):
        raise MediaError(
            f"Expected pictures coded as YCbCr or RGB, found {unread}: export the video as HDR10, "
            "HLG or SDR."
        )
    matrix = _SWS_MATRIX.get(int(frame.colorspace))
    if matrix is None:
        # As mpv and browsers do: untagged HD is BT.709, untagged SD is BT.601.
        is_hd = frame.width >= 1280 or frame.height > 576
        matrix = SWS_BT709 if is_hd else SWS_BT601
    full = frame.format.name.startswith("yuvj") or frame.format.is_rgb
    full = full or int(frame.color_range) == RANGE_FULL
    return ColorCoding(matrix, RANGE_FULL if full else RANGE_LIMITED)


class RgbConverter:
    """Converts decoded frames to uint8 RGB (H, W, 3), upright. Keep one per file: it caches tables.

    width, height: pixels as coded, before rotation; frames of another size are scaled.
    transparent: return RGBA (H, W, 4). deep: return uint16. orientation: of all frames; None takes
    what each one states. light: what is brought to BT.709; None leaves the colours. profile: of all
    frames, brought to sRGB.
    """

    def __init__(
        self,
        width: int,
        height: int,
        *,
        transparent: bool = False,
        deep: bool = False,
        orientation: Orientation | None = None,
        light: Light | None = None,
        profile: ColorProfile | None = None,
    ) -> None:
        self._profile = profile or ColorProfile()
        self._size = (width, height)
        self._depth = np.dtype(np.uint16 if deep else np.uint8)
        self._packed = _PACKED[self._depth, 4 if transparent else 3]
        self._orientation = orientation
        self._reformatter, self._opaque = VideoReformatter(), VideoReformatter()
        self._mapper = (
            None if light is None or light.is_ordinary else ColorMapper(self._size, light)
        )

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        orientation = self._orientation or orientation_of(frame)
        mapper = self._mapper
        picture = self._plain(frame) if mapper is None else self._mapped(frame, mapper)
        picture = self._profile.of_array(picture)
        return picture if orientation.is_upright else orientation.upright(picture)

    def _plain(self, frame: av.VideoFrame) -> np.ndarray:
        return self._as(frame, self._packed, self._reformatter).to_ndarray()

    def _mapped(self, frame: av.VideoFrame, mapper: ColorMapper) -> np.ndarray:
        width, height = self._size
        picture = np.empty((height, width, 3), self._depth)
        mapper(self._as(frame, PLANES, self._opaque), picture)
        if "a" not in self._packed:
            return picture
        return np.dstack([picture, self._plain(frame)[..., 3]])

    def _as(self, frame: av.VideoFrame, form: str, reformatter: VideoReformatter) -> av.VideoFrame:
        width, height = self._size
        if (frame.format.name, frame.width, frame.height) == (form, width, height):
            return frame
        coding = coding_of(frame)
        return reformatter.reformat(
            frame,
            width=width,
            height=height,
            format=form,
            src_colorspace=coding.matrix,
            # RGB has no matrix, but PyAV before 17 sets nothing at all when both are the same.
            dst_colorspace=SWS_BT601 if coding.matrix == SWS_BT709 else SWS_BT709,
            src_color_range=coding.color_range,
            dst_color_range=RANGE_FULL,
            interpolation=ACCURATE,
        )


def is_transparent(frame: av.VideoFrame) -> bool:
    """Tell whether any pixel of a frame is not opaque."""
    if not any(part.is_alpha for part in frame.format.components):
        return False
    return bool(frame.to_ndarray(format="rgba")[..., 3].min(initial=255) < 255)


def on_white(picture: np.ndarray) -> np.ndarray:
    """Return RGBA (H, W, 4), uint8 or uint16, composited on white as RGB (H, W, 3)."""
    most = int(np.iinfo(picture.dtype).max)
    wide, half, bits = (np.uint16, 128, 8) if most == 255 else (np.uint32, 32768, 16)
    alpha = picture[..., 3:].astype(wide)
    mixed = picture[..., :3] * alpha + (most * (most - alpha) + half)
    return ((mixed + (mixed >> bits)) >> bits).astype(picture.dtype)


def to_integers(picture: np.ndarray, out: np.ndarray) -> None:
    """Round float32 0..1 (H, W, C) into ``out``, uint8 or uint16; NaN becomes 0.

    One pass that scales, rounds and clips: NumPy's five passes take four times as long, and torch's
    threads on a busy machine longer than the encoder.
    """
    scale, depth = (255.0, cv2.CV_8U) if out.dtype == np.uint8 else (65535.0, cv2.CV_16U)
    rows = picture.reshape(picture.shape[0], -1)
    flat = out.reshape(out.shape[0], -1)
    cv2.addWeighted(rows, scale, rows, 0.0, 0.0, dst=flat, dtype=depth)


def _bt709_limited() -> np.ndarray:
    """Return the (3, 4) matrix from RGB 0..255 to Y, Cb, Cr with offsets (ITU-R BT.709-6)."""
    red, blue = 0.2126, 0.0722
    luma = np.array([red, 1 - red - blue, blue])
    cb = (np.array([0, 0, 1]) - luma) / (2 * (1 - blue))
    cr = (np.array([1, 0, 0]) - luma) / (2 * (1 - red))
    scaled = np.stack([luma * 219, cb * 224, cr * 224]) / 255
    return np.column_stack([scaled, [16, 128, 128]])


class FrameConverter:
    """Converts RGB pictures to tagged frames of one pixel format and size; YUV is BT.709 limited.

    bands: of a picture, converted in parallel; None takes ``bands_for``.
    """

    def __init__(
        self,
        width: int,
        height: int,
        pixel_format: str,
        colors: Colors | None = None,
        *,
        bands: int | None = None,
    ) -> None:
        self._size = (width, height)
        self._format = pixel_format
        self._colors = colors or Colors()
        self._reformatter = VideoReformatter()
        self._matrix = _bt709_limited()
        self._bands = bands or bands_for(width, height)
        self._threads: ThreadPoolExecutor | None = None
        self._yuv = np.empty((0, 0, 3), np.uint8)
        self._chroma = np.empty((0, 0, 3), np.uint8)

    def __call__(self, picture: np.ndarray) -> av.VideoFrame:
        """picture: uint8 or uint16 (H, W, 3 or 4), C-contiguous, at the converter's size."""
        if self._format == "yuv420p" and picture.dtype == np.uint8 and picture.shape[2] == 3:
            return self._subsampled(picture)
        packed = _PACKED[picture.dtype, picture.shape[2]]
        frame = av.VideoFrame.from_ndarray(picture, format=packed)
        return self.convert(frame, ColorCoding(SWS_BT709, RANGE_FULL))

    def _subsampled(self, picture: np.ndarray) -> av.VideoFrame:
        # As exact as swscale with its accurate flags, in a quarter of the time.
        width, height = self._size
        if self._yuv.shape != picture.shape:
            self._yuv = np.empty(picture.shape, np.uint8)
            self._chroma = np.empty((height // 2, width // 2, 3), np.uint8)
        frame = av.VideoFrame(width, height, "yuv420p")  # never reused: encoders may keep it
        fill = partial(self._fill, [plane_view(frame, index) for index in range(3)], picture)
        if self._bands == 1:
            fill(0, height)
            return tagged(frame)
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._bands, thread_name_prefix="avatarvideo-color")
        bounds = [2 * (height // 2 * i // self._bands) for i in range(self._bands)] + [height]
        list(self._threads.map(fill, bounds[:-1], bounds[1:]))  # raises what a band raised
        return tagged(frame)

    def _fill(self, planes: list[np.ndarray], picture: np.ndarray, first: int, end: int) -> None:
        """Convert the rows first to end; first is even, and so is end unless it is the last."""
        yuv, chroma = self._yuv[first:end], self._chroma[first // 2 : end // 2]
        cv2.transform(picture[first:end], self._matrix, dst=yuv)
        cv2.resize(yuv, chroma.shape[1::-1], dst=chroma, interpolation=cv2.INTER_AREA)
        cv2.extractChannel(yuv, 0, dst=planes[0][first:end])
        for index in (1, 2):
            cv2.extractChannel(chroma, index, dst=planes[index][first // 2 : end // 2])

    def close(self) -> None:
        """End the threads; the converter can still be used."""
        if self._threads is not None:
            self._threads.shutdown()
            self._threads = None

    def convert(self, frame: av.VideoFrame, coding: ColorCoding) -> av.VideoFrame:
        """Return any frame, coded as ``coding`` says, in this converter's format and size."""
        width, height = self._size
        out = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format=self._format,
            src_colorspace=coding.matrix,
            dst_colorspace=_SWS_MATRIX.get(self._colors.matrix, SWS_BT709),
            src_color_range=coding.color_range,
            dst_color_range=RANGE_FULL if is_rgb(self._format) else RANGE_LIMITED,
            interpolation=ACCURATE,
            **SERIAL,
        )
        return tagged(out, self._colors)


def bands_for(width: int, height: int, cpus: int | None = None) -> int:
    """Return how many bands to convert in parallel. cpus: None takes this machine's."""
    most = min(MAX_BANDS, (cpus or usable_cpus()) // CPUS_PER_BAND)
    return max(1, min(most, width * height // MIN_BAND_PIXELS))


def is_rgb(pixel_format: str) -> bool:
    """Tell whether a pixel format is RGB rather than YUV."""
    return av.VideoFormat(pixel_format).is_rgb


def plane_view(frame: av.VideoFrame, index: int) -> np.ndarray:
    """Return the bytes of one 8-bit plane as a writable uint8 (height, width) view."""
    plane = frame.planes[index]
    rows = np.asarray(memoryview(plane)).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]


Tagged = TypeVar("Tagged", av.VideoFrame, VideoCodecContext)


def tagged(target: Tagged, colors: Colors | None = None) -> Tagged:
    """Tag a frame or an encoder: by default BT.709, in limited range for YUV."""
    colors = colors or Colors()
    rgb = target.format is not None and target.format.is_rgb
    target.colorspace = SPC_RGB if rgb else colors.matrix
    target.color_range = RANGE_FULL if rgb else RANGE_LIMITED
    if hasattr(target, "color_primaries"):  # frames have none before PyAV 17
        target.color_primaries = colors.primaries
        target.color_trc = colors.transfer
    return target


def is_deep(pixel_format: str) -> bool:
    """Tell whether one of FFmpeg's pixel formats has more than 8 bits a channel."""
    return any(part.bits > 8 for part in av.VideoFormat(pixel_format).components)
