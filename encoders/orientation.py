"""Which way up a picture is stored: the eight orientations of a display matrix."""

from __future__ import annotations

import contextlib
import ctypes
import math
import struct
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.error import FFmpegError
from av.filter import Graph

PROFILE = "ICC_PROFILE"  # PyAV's name
_EXIF, _PROFILE = 31, 15  # FFmpeg's numbers of what lies beside a frame
_TICK = Fraction(1, 1000)
_MATRIX = struct.Struct("=9i")  # a b u, c d v, x y w: where (x, y) of a picture is shown


@dataclass(frozen=True)
class Orientation:
    """How a stored picture becomes upright.

    turns: quarter turns anticlockwise, 0 to 3, first; mirrored: then left and right are swapped.
    """

    turns: int = 0
    mirrored: bool = False

    @property
    def is_upright(self) -> bool:
        return not self.turns and not self.mirrored

    def size(self, stored: tuple[int, int]) -> tuple[int, int]:
        """Return the (width, height) shown of a stored one."""
        return (stored[1], stored[0]) if self.turns % 2 else stored

    def upright(self, picture: np.ndarray) -> np.ndarray:
        """Return a stored picture (H, W, C) as shown, C-contiguous."""
        turned = np.rot90(picture, self.turns)
        return np.ascontiguousarray(turned[:, ::-1] if self.mirrored else turned)


UPRIGHT = Orientation()


def side_data(frame: av.VideoFrame, kind: str) -> bytes:
    """Return what lies beside a frame, empty for nothing.

    Raises ValueError where PyAV has no name for something else there.
    """
    beside = _plain(frame, keeps_profile=kind == PROFILE).side_data
    found = beside.get(kind)
    if found is not None and kind == PROFILE:
        # PyAV would free its name, which the frame frees too: never let go of it.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(beside))
    return b"" if found is None else bytes(found)


def _plain(frame: av.VideoFrame, *, keeps_profile: bool) -> av.VideoFrame:
    """Return the picture without what PyAV must not see beside it, or the frame itself.

    It has no name for EXIF, of which FFmpeg has made a matrix; and of a colour profile's name it
    frees what the frame frees too, which ends the process.
    """
    profile = () if keeps_profile else (_PROFILE,)
    for kinds in ((_EXIF, *profile), profile):  # older FFmpegs have no EXIF there
        with contextlib.suppress(FFmpegError, ValueError):
            return filtered(frame, *(("sidedata", f"mode=delete:type={kind}") for kind in kinds))
    return frame


def filtered(frame: av.VideoFrame, *filters: tuple[str, str]) -> av.VideoFrame:
    """Return what FFmpeg's filters, names and arguments, make of one frame.

    Raises FFmpegError, a BlockingIOError among them where they hold it back.
    """
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=_TICK
    )
    chain = [graph.add(name, arguments) for name, arguments in filters]
    graph.link_nodes(source, *chain, graph.add("buffersink")).configure()
    graph.vpush(frame)
    return graph.vpull()


def orientation_of(frame: av.VideoFrame) -> Orientation:
    """Return the orientation that a decoded frame states, to the nearest quarter turn."""
    try:
        data = side_data(frame, "DISPLAYMATRIX")
    except ValueError:
        return Orientation(round(frame.rotation / 90) % 4)  # all that can be read then
    if len(data) < _MATRIX.size:
        return UPRIGHT
    a, b, _, c, d, *_ = _MATRIX.unpack_from(data)
    mirrored = a * d < b * c
    if mirrored:
        a, c = -a, -c
    # The columns may be scaled.
    across, down = math.hypot(a, c), math.hypot(b, d)
    if not across or not down:
        return UPRIGHT
    return Orientation(round(math.atan2(-b / down, a / across) / (math.pi / 2)) % 4, mirrored)
