"""A small picture of a frame, to show how far an encode is."""

from __future__ import annotations

import av
import cv2
import numpy as np

from ..color import on_white

LONGEST_SIDE = 512  # pixels


def small_picture(frame: np.ndarray | av.VideoFrame) -> np.ndarray:
    """Return a frame as uint8 RGB (H, W, 3) of at most 512 pixels a side.

    frame: uint8, uint16 or float32 0..1 (H, W, 3 or 4), which is not changed, or a decoded one.
    Transparency is laid on white.
    """
    if isinstance(frame, av.VideoFrame):
        width, height = _size(frame.width, frame.height)
        return frame.reformat(width, height, format="rgb24").to_ndarray()
    size = _size(frame.shape[1], frame.shape[0])
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    if small.dtype == np.float32:
        small = (np.nan_to_num(small) * 255 + 0.5).clip(0, 255).astype(np.uint8)
    elif small.dtype == np.uint16:
        small = (small >> 8).astype(np.uint8)
    return on_white(small) if small.shape[2] == 4 else small


def _size(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, LONGEST_SIDE / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))
