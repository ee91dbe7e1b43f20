"""Make whole pictures of those that are woven from two fields: one out for one in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction

import av
import cv2
import numpy as np
from av.error import EOFError as EndOfPictures
from av.filter import Graph

_FILTER, _OPTIONS = "bwdif", "mode=send_frame:deint=interlaced"
_NOT_YET = (BlockingIOError, EndOfPictures)
STILL, COMB = 3, 4  # of 255: noise of codecs, and how far a line must stand out
STILL_NOISE, COMB_NOISE = 4, 3  # the same in deviations of the picture's own noise
WHOLE = 1.5  # times rougher with the lines of another moment
_AROUND = np.ones((5, 5), np.uint8)
# Noise of deviation 1 comes out of these with 6, and with 4.05 by the median of its sizes.
_SECOND_DIFFERENCES = np.outer([1, -2, 1], [1, -2, 1]).astype(np.float32)


class _Weaver:
    """FFmpeg's deinterlacer for pictures of one kind; it answers one picture late."""

    def __init__(self, first: av.VideoFrame) -> None:
        self.kind = _kind(first)
        graph = Graph()
        self._source = graph.add_buffer(
            width=first.width,
            height=first.height,
            format=first.format,
            time_base=first.time_base or Fraction(1, av.time_base),
        )
        weave, self._sink = graph.add(_FILTER, _OPTIONS), graph.add("buffersink")
        self._source.link_to(weave)
        weave.link_to(self._sink)
        graph.configure()
        self._graph = graph  # it ends with its last reference
        self._waiting: deque[av.VideoFrame] = deque()
        self._before: av.VideoFrame | None = None

    def pictures(self, frame: av.VideoFrame | None) -> Iterator[av.VideoFrame]:
        """Yield those that are ready after one more; None takes the last ones."""
        if frame is not None:
            self._waiting.append(frame)
        self._source.push(frame)
        while True:
            try:
                made = self._sink.pull()
            except _NOT_YET:
                return
            if isinstance(made, av.VideoFrame):
                now = self._waiting.popleft()
                after = self._waiting[0] if self._waiting else now
                if now.interlaced_frame and _kind(made) == self.kind:
                    _keep_what_is_whole(made, (self._before or now, now, after))
                self._before = now
                made.pts = now.pts  # the filter counts in half ticks
                if now.time_base is not None:
                    made.time_base = now.time_base
                yield made


def _kind(frame: av.VideoFrame) -> tuple[str, int, int]:
    return frame.format.name, frame.width, frame.height


def _keep_what_is_whole(made: av.VideoFrame, source: tuple[av.VideoFrame, ...]) -> None:
    """Put back what shows no comb or stays where it is: nothing of it needs to be guessed.

    source: the picture before, the one that ``made`` was made of, and the next.
    """
    parts = made.format.components
    if not made.format.is_planar or len(parts) != len(made.planes):
        return
    whole = False
    for index, part in enumerate(parts):
        depth = np.dtype(np.uint8 if part.bits <= 8 else np.uint16)
        out = _plane(made, index, depth)
        planes = [_plane(frame, index, depth) for frame in source]
        level, noise = 1 << max(0, part.bits - 8), _noise(planes[1])
        still = max(STILL * level, STILL_NOISE * noise)
        comb = max(COMB * level, COMB_NOISE * noise)
        whole = whole or (index == 0 and _is_whole(planes, still))
        np.copyto(out, planes[1], where=whole or _combed(planes, still, comb) == 0)


def _plane(frame: av.VideoFrame, index: int, depth: np.dtype) -> np.ndarray:
    plane = frame.planes[index]
    rows = np.asarray(memoryview(plane)).view(depth).reshape(plane.height, -1)
    return rows[:, : plane.width]


def _noise(plane: np.ndarray) -> float:
    """Return the deviation of a plane's noise, by what no line or edge explains.

    Of one field alone, so that combs are not taken for noise; the median leaves out details.
    """
    field = plane[::2].astype(np.float32)
    return float(np.median(np.abs(cv2.filter2D(field, -1, _SECOND_DIFFERENCES)))) / 4.05


def _is_whole(planes: list[np.ndarray], still: float) -> bool:
    """Tell whether a flagged plane is of one moment: with another's lines it would comb more."""
    before, now, after = (plane.astype(np.int32) for plane in planes)
    other = after if np.array_equal(before, now) else before
    moves = (np.abs(now - other) > still).astype(np.uint8)
    moved = cv2.dilate(moves, np.ones((3, 1), np.uint8))[1:-1] > 0  # of both fields
    if not moved.any():
        return True
    mixed = [now.copy(), now.copy()]
    for parity, weave in enumerate(mixed):
        weave[parity::2] = other[parity::2]
    return WHOLE * _roughness(now, moved) < min(_roughness(each, moved) for each in mixed)


def _roughness(lines: np.ndarray, where: np.ndarray) -> float:
    return float(np.abs(2 * lines[1:-1] - lines[:-2] - lines[2:])[where].mean())


def _combed(planes: list[np.ndarray], still: float, comb: float) -> np.ndarray:
    """Return where a plane moves and its lines stand out, widened a little: uint8 (H, W).

    planes: before, now, after. still: what moves differs by more. comb: and stands out so far.
    """
    before, now, after = planes
    moved = cv2.max(cv2.absdiff(now, before), cv2.absdiff(now, after)) > still
    lines = cv2.copyMakeBorder(now, 1, 1, 0, 0, cv2.BORDER_REFLECT_101).astype(np.int32)
    stands_out = (lines[1:-1] - lines[:-2]) * (lines[1:-1] - lines[2:]) > comb**2
    return cv2.dilate((moved & stands_out).astype(np.uint8), _AROUND)


def deinterlaced(
    frames: Iterable[av.VideoFrame], found: Callable[[], None] = lambda: None
) -> Iterator[av.VideoFrame]:
    """Yield the frames; those flagged as interlaced become progressive.

    Frames before the first of those are handed on as they are. found: called for the first one.
    """
    weaver: _Weaver | None = None
    for frame in frames:
        if weaver is None and not frame.interlaced_frame:
            yield frame
            continue
        if weaver is None:
            found()
        elif weaver.kind != _kind(frame):
            yield from weaver.pictures(None)
            weaver = None
        weaver = weaver or _Weaver(frame)
        yield from weaver.pictures(frame)
    if weaver is not None:
        yield from weaver.pictures(None)
