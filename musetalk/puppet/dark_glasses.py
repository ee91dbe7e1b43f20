"""Whether eyes are behind dark glasses, where lids of skin would be wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .eye_shape import EyeShape

CHEEKS = (50, 205, 280, 425)  # points of the mesh in the middle of each cheek
SIDE = 0.15  # half the side of the patch that is looked at there, in eye widths
BELOW = (0.12, 0.32)  # the strip below the lower lid, in eye widths
LEAST_SHARE = 0.51  # of the cheeks' brightness; in deep shadow it was never under 0.53


def are_behind_dark_glasses(
    frame: np.ndarray, points: np.ndarray, eyes: Sequence[EyeShape]
) -> bool:
    """Tell by the brightness below both eyes, which is skin, against the cheeks'.

    frame: uint8 RGB (H, W, 3). points: of the face mesh (478, 2), pixels.
    """
    side = SIDE * float(np.mean([eye.width for eye in eyes]))
    square = np.stack(np.meshgrid(*[np.linspace(-side, side, 9)] * 2), axis=-1).reshape(-1, 2)
    cheeks = [np.median(_brightness(frame, points[number] + square)) for number in CHEEKS]
    strips = [np.median(_brightness(frame, _below(eye))) for eye in eyes]
    return bool(np.mean(strips) < LEAST_SHARE * np.median(cheeks))


def _below(eye: EyeShape) -> np.ndarray:
    """Return picture points (N, 2) on the skin below an eye."""
    x, down = np.linspace(0.2, 0.8, 24)[None, :], np.linspace(*BELOW, 8)[:, None]
    lower = eye.at(x)[1] + down
    places = eye.to_picture(np.broadcast_to(x, lower.shape), lower)
    return np.stack(places, axis=-1).reshape(-1, 2)


def _brightness(frame: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the mean of red, green and blue at the nearest pixels (N,)."""
    height, width = frame.shape[:2]
    columns, rows = np.rint(places).astype(int).T
    return frame[np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)].mean(axis=1)
