"""A log-mel as a picture to look at."""

from __future__ import annotations

import cv2
import numpy as np

HEIGHT = 240  # pixels: three for each of the 80 bands
MAX_WIDTH = 1600
MIN_WIDTH = 64


def draw_spectrogram(log_mel: np.ndarray) -> np.ndarray:
    """Return float32 (80, frames) as uint8 RGB (240, W, 3), low notes at the bottom."""
    span = float(np.ptp(log_mel))
    level = (log_mel - log_mel.min()) / (span if span else 1.0)
    width = min(max(log_mel.shape[1] * 2, MIN_WIDTH), MAX_WIDTH)
    grey = cv2.resize(
        (level[::-1] * 255).astype(np.uint8), (width, HEIGHT), interpolation=cv2.INTER_AREA
    )
    return cv2.cvtColor(cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
