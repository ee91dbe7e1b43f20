"""A drawn face whose mesh is known: flat skin, white eyes, dark irises and lashes, brows."""

from __future__ import annotations

import cv2
import numpy as np

from avatarvideo.musetalk.puppet.eye_shape import EYES

SKIN, WHITE, IRIS, LASHES, BROW = (
    (205, 160, 130),
    (240, 240, 238),
    (60, 80, 110),
    (30, 22, 20),
    (90, 60, 40),
)
SIZE = (256, 256)
EYE_WIDTH, EYE_GAP = 40.0, 0.36  # pixels; eye widths
CENTERS = ((88.0, 110.0), (168.0, 110.0))
POINTS = 478


def mesh_points(*, gap: float = EYE_GAP, scale: float = 1.0, narrow: float = 1.0) -> np.ndarray:
    """The mesh of that face, float64 (478, 2). narrow: shrinks the second eye's width."""
    points = np.full((POINTS, 2), (128.0, 140.0))
    points[[234, 454]] = (48.0, 140.0), (208.0, 140.0)  # cheeks
    points[[50, 205]] = (80.0, 150.0), (88.0, 165.0)
    points[[280, 425]] = (176.0, 150.0), (168.0, 165.0)
    points[[152, 10]] = (128.0, 230.0), (128.0, 40.0)  # chin, forehead
    for number, (eye, (cx, cy)) in enumerate(zip(EYES, CENTERS, strict=True)):
        width = EYE_WIDTH * (narrow if number else 1.0)
        points[list(eye.corners)] = (cx - width / 2, cy), (cx + width / 2, cy)
        for lid, way in ((eye.upper, -1), (eye.lower, 1)):
            along = np.linspace(-1, 1, len(lid) + 2)[1:-1]
            height = way * gap / 2 * EYE_WIDTH * (1 - along**2)
            points[list(lid)] = np.stack([cx + along * width / 2, cy + height], axis=1)
        across = np.linspace(-0.6, 0.6, len(eye.brow)) * width
        points[list(eye.brow)] = np.stack([cx + across, np.full_like(across, cy - 30)], axis=1)
    return points * scale


def planted_face() -> np.ndarray:
    """The picture, uint8 RGB (256, 256, 3)."""
    picture = np.full((*SIZE, 3), SKIN, np.uint8)
    for cx, cy in CENTERS:
        across = np.linspace(-1, 1, 41)
        lid = EYE_GAP / 2 * EYE_WIDTH * (1 - across**2)
        x = cx + across * EYE_WIDTH / 2
        outline = np.concatenate([np.stack([x, cy - lid], 1), np.stack([x, cy + lid], 1)[::-1]])
        white = np.zeros(SIZE, np.uint8)
        cv2.fillPoly(white, [np.rint(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        picture = _over(picture, WHITE, white)
        iris = np.zeros(SIZE, np.uint8)
        cv2.circle(iris, (round(cx), round(cy)), 7, 255, -1, cv2.LINE_AA)
        picture = _over(picture, IRIS, np.minimum(iris, white))
        lashes = np.zeros(SIZE, np.uint8)
        upper = np.rint(np.stack([x, cy - lid], 1) * 16).astype(np.int32)
        cv2.polylines(lashes, [upper], False, 255, 2, cv2.LINE_AA, 4)
        picture = _over(picture, LASHES, lashes)
        brow = np.zeros(SIZE, np.uint8)
        cv2.ellipse(brow, (round(cx), round(cy - 30)), (25, 4), 0, 0, 360, 255, -1, cv2.LINE_AA)
        picture = _over(picture, BROW, brow)
    return picture


def inside_eye(number: int, *, shrunk: float = 0.8) -> np.ndarray:
    """Bool (256, 256): the open eye's pixels, away from its edges."""
    cx, cy = CENTERS[number]
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    across = (columns - cx) / (shrunk * EYE_WIDTH / 2)
    lid = shrunk * EYE_GAP / 2 * EYE_WIDTH * (1 - across**2)
    return (np.abs(across) < 1) & (np.abs(rows - cy) < lid)


def turned(
    picture: np.ndarray, points: np.ndarray, degrees: float
) -> tuple[np.ndarray, np.ndarray]:
    """Turn picture and points about the picture's middle."""
    matrix = cv2.getRotationMatrix2D((SIZE[1] / 2 - 0.5, SIZE[0] / 2 - 0.5), degrees, 1.0)
    moved = cv2.warpAffine(picture, matrix, SIZE, flags=cv2.INTER_CUBIC, borderValue=SKIN)
    return moved, points @ matrix[:, :2].T + matrix[:, 2]


def _over(picture: np.ndarray, colour: tuple[int, int, int], cover: np.ndarray) -> np.ndarray:
    share = cover[:, :, None] / 255
    return np.rint(picture * (1 - share) + np.array(colour) * share).astype(np.uint8)
