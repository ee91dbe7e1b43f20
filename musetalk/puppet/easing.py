"""One curve that starts and ends slowly."""

from __future__ import annotations

import numpy as np


def eased(value: np.ndarray) -> np.ndarray:
    """Return 0 below 0, 1 above 1 and a smooth step between."""
    value = np.clip(value, 0, 1)
    return value * value * (3 - 2 * value)
