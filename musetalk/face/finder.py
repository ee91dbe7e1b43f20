"""Where a face and its lips are in a picture, with no weights: refused rather than guessed.

The user's own points come first, then an installed mediapipe with models, then face candidates
(OpenCV's cascade where there is one, else our own search) that the lip template has to confirm.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ...errors import MediaError
from ...media import Box, FaceLocation, LipCorners
from ..lips.held_corners import locate_by_corners
from ..lips.search import find_face, judge_square
from ..lips.tracking import LipTracker
from .overlay import draw_overlay

__all__ = ["FaceLocation", "LipTracker", "draw_overlay", "locate_face"]

log = logging.getLogger("avatarvideo.musetalk.face.finder")

BOX_MARGIN = 0.25  # of the user's box is looked at around it
LEAST_BOX = 8  # pixels


def locate_face(
    frame: np.ndarray,
    *,
    face_index: int = 0,
    corners: LipCorners | None = None,
    box: Box | None = None,
    check: Callable[[], None] = lambda: None,
) -> FaceLocation:
    """Return face box and lips of one person in a picture.

    frame: uint8 RGB (H, W, 3). face_index: by size, 0 is the largest face.
    corners: lip corners known to the user; box: a face box known to the user; both in pixels.
    check: called before each step of a search; what it raises ends it.
    Raises MediaError for another kind of picture, and for corners or a box outside of it.
    """
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise MediaError(f"Expected a picture uint8 (H, W, 3), got {frame.dtype} {frame.shape}.")
    if corners is not None:
        location = locate_by_corners(frame, corners)
    elif box is not None:
        location = _inside(frame, box, check)
    else:
        location = find_face(frame, face_index, check=check)
    log.info("face: %s: %s", location.method, location.reason)
    return location


def _inside(frame: np.ndarray, box: Box, check: Callable[[], None]) -> FaceLocation:
    """Locate the face inside the user's box."""
    height, width = frame.shape[:2]
    seen = box.clamped(width, height)
    if not (seen.width >= LEAST_BOX and seen.height >= LEAST_BOX):  # false with NaN too
        raise MediaError(
            f"Expected a face box of at least {LEAST_BOX}x{LEAST_BOX} pixels inside the "
            f"{width}x{height} picture, got {tuple(box)}: give x0,y0,x1,y1 in its pixels."
        )
    margin = BOX_MARGIN * max(seen.width, seen.height)
    wide = Box(seen.x0 - margin, seen.y0 - margin, seen.x1 + margin, seen.y1 + margin)
    x0, y0, x1, y1 = (round(edge) for edge in wide.clamped(width, height))
    found = find_face(np.ascontiguousarray(frame[y0:y1, x0:x1]), 0, check=check)
    if found.lips is not None:
        return _shifted(found, x0, y0)
    return judge_square(frame, seen)


def _shifted(location: FaceLocation, dx: float, dy: float) -> FaceLocation:
    lips, box = location.lips, location.box
    if lips is not None:
        c = lips.corners
        lips = replace(lips, corners=LipCorners(c.x0 + dx, c.y0 + dy, c.x1 + dx, c.y1 + dy))
    if box is not None:
        box = Box(box.x0 + dx, box.y0 + dy, box.x1 + dx, box.y1 + dy)
    return replace(location, lips=lips, box=box)
