"""The sample video: the painted sitter breathes, sways a little and blinks once, mouth shut."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from .features import smooth
from .portrait import CENTRE, EYE_DISTANCE, with_lids

SIDE, FRAME_RATE, FRAME_COUNT = 512, Fraction(25), 75
LIDS = (0.4, 0.8, 1.0)  # how far closed, the drawn states
# The states' places in a blink, from the frame on which it starts (0 is open).
BLINK_START, BLINK = 38, (1, 2, 3, 3, 2, 2, 1)
SWAY, NOD, BREATH = 0.035, 0.018, 0.012  # eye distances
TILT, SWELL = np.radians(2.0), 0.010
PIVOT = 2.1  # height of the neck's root under the eyes, in eye distances


def motion(frame: int) -> tuple[float, float, float, float, float]:
    """Sideways, down, tilt (radians), scale and breath at a frame; the clip loops."""
    turn = 2 * np.pi * frame / FRAME_COUNT
    across = SWAY * np.sin(turn)
    down = NOD * np.sin(2 * turn + 0.8)
    tilt = 0.5 * TILT * (np.sin(turn + 0.5) + 0.35 * np.sin(2 * turn))
    return across, down, tilt, 1 + 0.5 * SWELL * np.sin(turn - 1.0), BREATH * np.sin(turn - 0.4)


def warp(picture: NDArray[np.uint8], frame: int) -> NDArray[np.uint8]:
    """Move the head rigidly and the shoulders by the breath; the wall's edges stay."""
    side = picture.shape[0]
    scale = side * EYE_DISTANCE
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32)
    x, y = (columns - side * CENTRE[0]) / scale, (rows - side * CENTRE[1]) / scale
    across, down, tilt, size, breath = motion(frame)
    # Source of a moved point: undo shift, tilt and scale about the neck's root.
    mx, my = x - across, y - PIVOT - down
    c, s = np.cos(tilt) / size, np.sin(tilt) / size
    sx, sy = c * mx + s * my, c * my - s * mx + PIVOT
    head = smooth(np.hypot(x / 1.15, (y - 0.1) / 1.25), 2.75, 1.75) * smooth(y, 3.2, 1.7)
    body = smooth(y, 2.2, 3.2) * (1 - head) * breath
    map_x = (x + (sx - x) * head) * scale + side * CENTRE[0]
    map_y = (y + (sy - y) * head + body) * scale + side * CENTRE[1]
    moved = cv2.remap(
        picture,
        map_x.astype(np.float32),
        map_y.astype(np.float32),
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return np.asarray(moved, np.uint8)


def frames(portrait: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """All frames (SIDE, SIDE, 3) of the clip."""
    states = [portrait, *with_lids(portrait, LIDS)]
    for frame in range(FRAME_COUNT):
        since = frame - BLINK_START
        state = BLINK[since] if 0 <= since < len(BLINK) else 0
        moved = warp(states[state], frame)
        small = cv2.resize(moved, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        yield np.asarray(small, np.uint8)


def write_clip(portrait: NDArray[np.uint8], path: Path) -> None:
    """Encode the clip as H.264 in BT.709, without sound."""
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        options = {"crf": "17", "preset": "veryslow", "tune": "animation"}
        stream = container.add_stream("libx264", rate=FRAME_RATE, options=options)
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        stream.time_base = 1 / FRAME_RATE
        context = stream.codec_context
        context.thread_count = 1  # the same bytes on any machine
        context.colorspace = context.color_primaries = context.color_trc = 1
        context.color_range = 1
        for index, picture in enumerate(frames(portrait)):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame = frame.reformat(
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                src_color_range=ColorRange.JPEG,
                dst_color_range=ColorRange.MPEG,
            )
            frame.pts, frame.time_base = index, 1 / FRAME_RATE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
