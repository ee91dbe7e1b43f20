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
    small = _eight_bits(cv2.resize(frame, size, interpolation=cv2.INTER_AREA))
    return on_white(small) if small.shape[2] == 4 else small


def _eight_bits(picture: np.ndarray) -> np.ndarray:
    if picture.dtype == np.float32:
        np.nan_to_num(picture, copy=False)
        return (picture * 255 + 0.5).clip(0, 255).astype(np.uint8)
    return (picture >> 8).astype(np.uint8) if picture.dtype == np.uint16 else picture


def _size(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, LONGEST_SIDE / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))
