"""Bring HDR and wide-gamut pictures to BT.709, through a table made of the formulas.

The table holds linear light, not clipped to what BT.709 can show, and the steep curve of displays
comes after it: between the table's colours, saturated ones would be far off otherwise.

HLG and PQ: ITU-R BT.2100. Reference white is at 203 cd/m2 (ITU-R BT.2408), highlights are
compressed by Hable's curve, as FFmpeg's filter ``tonemap=hable:desat=0`` does it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import av
import cv2
import numpy as np
from av.filter import Graph
from av.filter.context import FilterContext

from .orientation import side_data

SRGB, PQ, HLG = 13, 16, 18  # FFmpeg's numbers of transfers (ITU-T H.273)
_TRANSFERS = {PQ: "PQ", HLG: "HLG"}
_PRIMARIES = {9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}
# x, y of red, green and blue; white is D65.
_REC_709 = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
_REC_2020 = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
_CHROMATICITIES = {1: _REC_709, 9: _REC_2020, 11: _P3, 12: _P3}
_WHITE = (0.3127, 0.3290)
_GAMMA = 2.4  # of displays, ITU-R BT.1886
_REFERENCE_WHITE = 203.0  # cd/m2
_SIDE, _TABLE_SIDE = 64, 512  # colours a side; FFmpeg takes them as a picture ("Hald CLUT")
PLANES = "gbrpf32le"
_TICK = Fraction(1, 1000)
_ROWS = 32  # of a picture at a time, so that they stay in the processor's cache


@dataclass(frozen=True)
class Light:
    """What the numbers of pictures stand for.

    primaries, transfer: FFmpeg's numbers. peak: of the brightest part, in 100 cd/m2.
    """

    primaries: int
    transfer: int
    peak: float = 10.0

    @property
    def is_hdr(self) -> bool:
        return self.transfer in _TRANSFERS

    @property
    def is_ordinary(self) -> bool:
        """Whether pictures need nothing to be shown as BT.709."""
        return not self.is_hdr and self.primaries not in _PRIMARIES

    @property
    def note(self) -> str:
        """Say what is done to the pictures; empty for ordinary ones."""
        if self.is_hdr:
            return f"The HDR picture ({_TRANSFERS[self.transfer]}) was tone-mapped to BT.709."
        name = _PRIMARIES.get(self.primaries)
        return f"The colours were converted from {name} to BT.709." if name else ""


def light_of(first: av.VideoFrame, primaries: int, transfer: int) -> Light:
    """Return what the tags of a stream, and beside its first frame, say."""
    return Light(primaries, transfer, _peak(first) or Light.peak)


def _peak(frame: av.VideoFrame) -> float:
    """Return the peak stated beside a frame, in 100 cd/m2; 0 where there is none."""
    try:
        level = side_data(frame, "CONTENT_LIGHT_LEVEL")
        display = side_data(frame, "MASTERING_DISPLAY_METADATA")
    except ValueError:
        return 0.0
    if level and (brightest := struct.unpack_from("=I", level)[0]):
        return brightest / 100
    if not display:
        return 0.0
    # Ten fractions, the last of them the greatest luminance; then whether each kind is there.
    *_, top, bottom, _has_primaries, has_luminance = struct.unpack_from("=22i", display)
    return top / bottom / 100 if has_luminance and bottom else 0.0


class ColorMapper:
    """Turns decoded frames into BT.709 pictures. Keep one per file."""

    def __init__(self, size: tuple[int, int], light: Light) -> None:
        self._graph = Graph()
        self._source, self._light = self._input(size), light
        table = self._input((_TABLE_SIDE, _TABLE_SIDE))
        mapped, self._sink = (
            self._graph.add("haldclut", "clut=first"),
            self._graph.add("buffersink"),
        )
        self._source.link_to(mapped, 0, 0)
        table.link_to(mapped, 0, 1)
        mapped.link_to(self._sink)
        self._graph.configure()
        table.push(_stamped(_as_planes(_table(light)), 0))
        table.push(None)
        self._count = 0

    def _input(self, size: tuple[int, int]) -> FilterContext:
        form = av.VideoFormat(PLANES)
        return self._graph.add_buffer(width=size[0], height=size[1], format=form, time_base=_TICK)

    def __call__(self, frame: av.VideoFrame, out: np.ndarray) -> None:
        """Map a frame in the format PLANES, of the mapper's size, into ``out``.

        out: uint8 or uint16 (H, W, 3).
        """
        self._source.push(_stamped(frame, self._count))
        self._count += 1
        mapped = self._sink.pull()
        if not isinstance(mapped, av.VideoFrame):
            raise TypeError(f"Expected a picture of FFmpeg's filter, got {mapped!r}.")
        codes = _codes(self._light.transfer, out.dtype)
        planes = [_plane(mapped, index) for index in (2, 0, 1)]
        for first in range(0, len(out), _ROWS):
            rows = slice(first, first + _ROWS)
            cv2.merge([_looked_up(plane[rows], codes) for plane in planes], dst=out[rows])


@lru_cache(maxsize=4)
def _codes(transfer: int, depth: np.dtype[Any]) -> np.ndarray:
    """Return the integers of light whose square root is 0..1 in 65,536 steps.

    The curve of displays computed for every pixel takes longer than all the rest; between two such
    roots, unlike between two lights, it is nearly straight.
    """
    roots = np.linspace(0, 1, 1 << 16)
    most = np.iinfo(depth).max
    return np.rint(most * _coded(roots**2, transfer).ravel().clip(0, 1)).astype(depth)


def _looked_up(light: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return the integers of light, float32 (h, w)."""
    root = cv2.sqrt(np.maximum(light, 0))
    # Rounded and clipped: as many steps as there are codes.
    steps = cv2.addWeighted(root, 65535.0, root, 0.0, 0.0, dtype=cv2.CV_16U)
    return codes.take(np.asarray(steps, np.uint16))


def _stamped(frame: av.VideoFrame, tick: int) -> av.VideoFrame:
    frame.pts, frame.time_base = tick, _TICK
    return frame


def _plane(frame: av.VideoFrame, index: int) -> np.ndarray:
    plane = frame.planes[index]
    rows = np.frombuffer(memoryview(plane), np.float32).reshape(plane.height, -1)
    return rows[:, : plane.width]


def _as_planes(picture: np.ndarray) -> av.VideoFrame:
    frame = av.VideoFrame(picture.shape[1], picture.shape[0], PLANES)
    for index, channel in enumerate((1, 2, 0)):
        _plane(frame, index)[:] = picture[..., channel]
    return frame


@lru_cache(maxsize=4)
def _table(light: Light) -> np.ndarray:
    """Return the light of every colour, red running fastest: float32 (512, 512, 3)."""
    steps = np.linspace(0, 1, _SIDE)
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
    mapped = _linear_rec709(np.stack([red, green, blue], -1), light)
    return mapped.reshape(_TABLE_SIDE, _TABLE_SIDE, 3).astype(np.float32)


def to_rec709(colors: np.ndarray, light: Light) -> np.ndarray:
    """Return R'G'B' 0..1 of BT.709 for R'G'B' 0..1 (..., 3) coded as ``light`` says."""
    rows = _linear_rec709(colors, light).reshape(-1, 3)
    return _coded(rows, light.transfer).clip(0, 1).reshape(colors.shape)


def _linear_rec709(colors: np.ndarray, light: Light) -> np.ndarray:
    """Return linear RGB of BT.709, below 0 and above 1 where BT.709 cannot show it."""
    known = _CHROMATICITIES.get(light.primaries, _REC_2020 if light.is_hdr else _REC_709)
    to_ours = np.linalg.inv(_to_xyz(_REC_709)) @ _to_xyz(known)
    linear = _linear(colors, light.transfer) @ to_ours.T
    if light.is_hdr:
        brightest = np.maximum(linear.max(-1, keepdims=True), 1e-6)
        linear *= _hable(brightest) / _hable(np.array(light.peak)) / brightest
    return linear


def _coded(linear: np.ndarray, transfer: int) -> np.ndarray:
    """Return R'G'B' for linear RGB, with what lies below 0 as 0: for displays, or sRGB's."""
    shown = cv2.threshold(linear, 0, 0, cv2.THRESH_TOZERO)[1]
    curve = cv2.pow(shown, 1 / _GAMMA)
    if transfer != SRGB:
        return curve
    return np.maximum(1.055 * curve - 0.055, np.minimum(12.92 * shown, 0.04045))


def _linear(colors: np.ndarray, transfer: int) -> np.ndarray:
    """Return light in proportion to reference white."""
    if transfer == PQ:
        m1, m2 = 2610 / 16384, 2523 / 32
        c1, c2, c3 = 3424 / 4096, 2413 / 128, 2392 / 128
        power = colors ** (1 / m2)
        share = (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)
        return share * (10000 / _REFERENCE_WHITE)
    if transfer == HLG:
        a = 0.17883277
        b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
        scene = np.where(colors <= 0.5, colors**2 / 3, (np.exp((colors - c) / a) + b) / 12)
        return scene**1.2 * (1000 / _REFERENCE_WHITE)  # on a display of 1000 cd/m2
    if transfer == SRGB:
        return np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    return colors**_GAMMA


def _hable(light: np.ndarray) -> np.ndarray:
    a, b, c, d, e, f = 0.15, 0.50, 0.10, 0.20, 0.02, 0.30
    return (light * (light * a + b * c) + d * e) / (light * (light * a + b) + d * f) - e / f


def _to_xyz(corners: tuple[tuple[float, float], ...]) -> np.ndarray:
    """Return the (3, 3) matrix from linear RGB of these primaries to CIE XYZ."""
    whole = np.array([[x / y, 1.0, (1 - x - y) / y] for x, y in (*corners, _WHITE)])
    amounts = np.linalg.inv(whole[:3].T) @ whole[3]
    return whole[:3].T * amounts
