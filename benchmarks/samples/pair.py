"""The sample picture of two people: both sitters side by side before one wall."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 1024, 576
SEAM = 30  # pixels over which one half of the wall becomes the other


def side_by_side(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return two square portraits as one picture; the right one is mirrored.

    So both are lit from outside and turn to each other, and the light on the wall is between them.
    """
    one, other = (reduced(each) for each in (left, right[:, ::-1]))
    fade = np.linspace(1, 0, SEAM)[None, :, None]
    seam = one[:, -SEAM:] * fade + other[:, :SEAM] * (1 - fade)
    whole = np.concatenate([one[:, :-SEAM], seam, other[:, SEAM:]], axis=1)
    cut = (whole.shape[1] - WIDTH) // 2
    return whole[:, cut : cut + WIDTH].round().clip(0, 255).astype(np.uint8)


def reduced(portrait: NDArray[np.uint8]) -> NDArray[np.float64]:
    small = cv2.resize(portrait, (HEIGHT, HEIGHT), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float64)
