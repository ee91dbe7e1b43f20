"""What MuseTalk does to a frame, written from its description with the libraries it uses.

Slow and plain on purpose: the tests compare the package with it.
"""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image


def box_of_landmarks(
    points: np.ndarray, detected: tuple[int, int, int, int], bbox_shift: int = 0
) -> tuple[int, int, int, int]:
    """The face box: points (68, 2) float, the detector's box already whole pixels."""
    whole = [(int(x), int(y)) for x, y in points.tolist()]
    ys = [y + bbox_shift if index == 29 else y for index, (_, y) in enumerate(whole)]
    xs = [x for x, _ in whole]
    distance = max(ys) - ys[29]
    box = (min(xs), max(0, ys[29] - distance), max(xs), max(ys))
    if box[3] - box[1] <= 0 or box[2] - box[0] <= 0 or box[0] < 0:
        return detected
    return box


def jaw_kernel() -> np.ndarray:
    kernel = np.zeros((33, 33), np.uint8)
    for row in range(10, 21):
        ones = 2 * (row - 10) + 1
        kernel[row, 16 - ones // 2 : 16 + ones // 2 + 1] = 1
    kernel[21:33, 6:27] = 1
    assert kernel.sum() == 373
    return kernel


def region_of(parts: np.ndarray, mode: str, left: int = 90, right: int = 90) -> np.ndarray:
    """The replaced part, uint8 (512, 512) of 0 and 255."""
    if mode != "jaw":
        classes = [1, 11, 12, 13] + ([14] if mode == "neck" else [])
        return (np.isin(parts, classes) * 255).astype(np.uint8)
    skin = ((parts == 1) * 255).astype(np.uint8)
    grown = cv2.dilate(skin, jaw_kernel(), iterations=1)
    plus = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (35, 3))
    assert plus.sum(axis=1).tolist() == [1, 35, 1]
    shrunk = cv2.erode(grown, plus, iterations=2)
    cheek = np.zeros((512, 512), np.uint8)
    cv2.rectangle(cheek, (0, 0), (256 - left, 512), 255, -1)
    cv2.rectangle(cheek, (256 + right, 0), (512, 512), 255, -1)
    region = cv2.bitwise_or(
        cv2.bitwise_and(shrunk, cheek), cv2.bitwise_and(grown, cv2.bitwise_not(cheek))
    )
    replaced = (region == 255) & (parts != 10)
    return ((replaced | np.isin(parts, [11, 12, 13])) * 255).astype(np.uint8)


def square_around(box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = box
    x, y = (x0 + x1) // 2, (y0 + y1) // 2
    half = int((max(x1 - x0, y1 - y0) // 2) * 1.5)
    return x - half, y - half, x + half, y + half


def seen_by_the_parser(frame: np.ndarray, box: tuple[int, int, int, int]) -> Image.Image:
    return Image.fromarray(frame).crop(square_around(box))


def blend(
    frame: np.ndarray,
    crop: np.ndarray,
    box: tuple[int, int, int, int],
    region: np.ndarray,
    blur: float = 0.05,
) -> np.ndarray:
    """The frame with a generated crop, uint8 RGB (256, 256, 3), blended in over the whole frame."""
    x0, y0, x1, y1 = box
    face = Image.fromarray(cv2.resize(crop, (x1 - x0, y1 - y0)))
    body = Image.fromarray(frame)
    left, top, _, _ = square = square_around(box)
    large = body.crop(square)
    mask = Image.fromarray(region).resize(large.size)
    inside = (x0 - left, y0 - top, x1 - left, y1 - top)
    only_face = Image.new("L", large.size, 0)
    only_face.paste(mask.crop(inside), inside)
    width, height = large.size
    upper = int(height * 0.5)
    talking = Image.new("L", large.size, 0)
    talking.paste(only_face.crop((0, upper, width, height)), (0, upper))
    size = int(blur * width // 2 * 2) + 1
    soft = Image.fromarray(cv2.GaussianBlur(np.array(talking), (size, size), 0))
    large.paste(face, inside)
    body.paste(large, square[:2], soft)
    return np.array(body)
