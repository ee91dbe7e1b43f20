"""More pixels of a picture where a pose enlarges it, which bilinear resampling leaves soft."""

from __future__ import annotations

import cv2
import numpy as np

# How many times the area of a pixel is shown: up to the first the picture's own pixels are sharp
# enough, from the second on the finer ones alone are shown.
LEAST_ENLARGED, FULLY_ENLARGED = 1.05, 1.3
SMALLEST_AREA = (
    0.1  # of a pixel; less is the edge of the opening, where two pixels are no neighbours
)
SOFTENED = 3  # pixels: the border between both kinds


def show_finer(
    warped: np.ndarray, x: np.ndarray, y: np.ndarray, finer: np.ndarray, scale: float
) -> None:
    """Show pixels of an enlarged picture, uint8 (s h, s w, 3), where a warp enlarges, in place.

    warped: uint8 (H, W, 3), taken from the picture (h, w, 3) at x, y, float32 (H, W) each.
    scale: s.
    """
    share = enlarged_share(x, y)
    rows, columns = np.flatnonzero(share.any(axis=1)), np.flatnonzero(share.any(axis=0))
    if not rows.size:
        return
    near = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    # The middle of a pixel stays where it is.
    there_x, there_y = (((each[near] + 0.5) * scale - 0.5) for each in (x, y))
    kernel, border = cv2.INTER_LINEAR, cv2.BORDER_REPLICATE
    sampled = cv2.remap(finer, there_x, there_y, kernel, borderMode=border)
    weight = share[near]
    warped[near] = cv2.blendLinear(sampled, warped[near].copy(), weight, 1 - weight)


def enlarged_share(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return float32 (H, W): 1 where a warp shows far more pixels than it takes, 0 elsewhere.

    x, y: float32 (H, W), from where each pixel is taken.
    """
    down_x, across_x = (np.gradient(x, axis=axis) for axis in (0, 1))
    down_y, across_y = (np.gradient(y, axis=axis) for axis in (0, 1))
    area = across_x * down_y - down_x * across_y  # of the picture, in one pixel of the warp
    is_warp = area > SMALLEST_AREA
    enlarged = np.divide(1, area, out=np.zeros_like(area), where=is_warp)
    share = (enlarged - LEAST_ENLARGED) / (FULLY_ENLARGED - LEAST_ENLARGED)
    return cv2.blur(np.clip(share, 0, 1).astype(np.float32), (SOFTENED, SOFTENED))
