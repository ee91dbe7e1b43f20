"""A picture of what was found: the face box, the lips, and a line saying how or why not."""

from __future__ import annotations

import cv2
import numpy as np

from ...media import FaceLocation, LipShape

BOX_COLOUR = (90, 200, 255)
LIP_COLOUR = (80, 255, 120)
CORNER_COLOUR = (255, 220, 60)
DOUBT_COLOUR = (255, 110, 90)
SUBPIXEL_BITS = 3
FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_overlay(frame: np.ndarray, location: FaceLocation) -> np.ndarray:
    """Return a copy of a uint8 RGB picture with box, lip borders and the method drawn on it."""
    drawn = np.ascontiguousarray(frame).copy()
    thickness = max(1, round(max(frame.shape[:2]) / 500))
    if location.box is not None:
        x0, y0, x1, y1 = (round(edge) for edge in location.box)
        colour = BOX_COLOUR if location.lips is not None else DOUBT_COLOUR
        cv2.rectangle(drawn, (x0, y0), (x1, y1), colour, thickness, cv2.LINE_AA)
    if location.lips is not None:
        _draw_lips(drawn, location.lips, thickness)
    _write_line(drawn, location)
    return drawn


def lip_points(lips: LipShape) -> np.ndarray:
    """Return the four borders of a mouth as picture points: (4, 33, 2), pixels."""
    start = np.array(lips.corners[:2])
    across = np.array(lips.corners[2:]) - start
    down = np.array([-across[1], across[0]])
    along = np.linspace(0, 1, lips.curves.shape[1])
    return start + along[None, :, None] * across + lips.curves[..., None] * down


def _draw_lips(drawn: np.ndarray, lips: LipShape, thickness: int) -> None:
    scale = 1 << SUBPIXEL_BITS
    points = np.rint(lip_points(lips) * scale).astype(np.int32)
    borders = points if lips.parted else points[[0, 1, 3]]
    thin = max(1, min(thickness, round(lips.width / 60)))
    for border in borders:
        cv2.polylines(drawn, [border], False, LIP_COLOUR, thin, cv2.LINE_AA, SUBPIXEL_BITS)
    radius = max(2, round(lips.width / 25))
    for x, y in (lips.corners[:2], lips.corners[2:]):
        cv2.circle(drawn, (round(x), round(y)), radius, CORNER_COLOUR, thin, cv2.LINE_AA)


def _write_line(drawn: np.ndarray, location: FaceLocation) -> None:
    """Write who found the lips, or in a line for each of its parts why nobody did."""
    height, width = drawn.shape[:2]
    if location.lips is not None:
        lines, colour = [f"{location.method}, {location.confidence:.0%}"], LIP_COLOUR
    else:
        lines, colour = location.reason.split("; "), DOUBT_COLOUR
    size, thickness = max(0.35, height / 1200), max(1, round(height / 700))
    widest = max(cv2.getTextSize(line, FONT, size, thickness)[0][0] for line in lines)
    size *= min(1.0, (width - 12) / widest)
    high = cv2.getTextSize(lines[0], FONT, size, thickness)[0][1]
    band = high + 14
    drawn[max(0, height - band * len(lines)) :] //= 3
    for number, line in enumerate(reversed(lines)):
        place = (6, height - band * number - band // 2 + high // 2)
        cv2.putText(drawn, line, place, FONT, size, colour, thickness, cv2.LINE_AA)
