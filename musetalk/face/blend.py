"""Put a generated face into its frame: which pixels change, how softly, and the mixing.

Masks and mixing are those of TMElyralab/MuseTalk (MIT) with Pillow's and OpenCV's rounding. Changed
against it: mask and frame's share are made once per source frame, and in the face box only.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from ..interfaces import ParsingMode
from .crop import FaceBox, stretch_face

PARSING_SIZE = 512  # pixels on each side of the parsed picture; kernels and widths are meant in it
SKIN, NOSE, NECK = 1, 10, 14  # classes of the face parser
LIPS_AND_MOUTH = (11, 12, 13)  # what is between the lips, the upper one, the lower one
MOST_INSIDE = 0.05  # of the lips' area, where they are shut
AROUND = 1.5  # the parser sees this much more than the face box
BLUR_RATIO = 0.05  # of the parsed square's side; MuseTalk's realtime script takes 0.1
CHEEK_EROSIONS = 2
CONE_ROWS, TAIL_ROWS = 21, 12  # of the kernel that grows the skin towards the mouth


@dataclass(frozen=True)
class MaskSettings:
    """How the replaced part of a face is chosen.

    mode: "jaw" is MuseTalk 1.5's, "raw" that of 1.0.
    left_cheek_width, right_cheek_width: pixels from the middle of the parsed picture that keep
        their full width; further out the replaced part shrinks.
    """

    mode: ParsingMode = "jaw"
    left_cheek_width: int = 90
    right_cheek_width: int = 90


def parsed_square(box: FaceBox) -> FaceBox:
    """Return the square around a face box that the face parser sees; it may leave the frame."""
    x, y = (box.x0 + box.x1) // 2, (box.y0 + box.y1) // 2
    half = int(max(box.width, box.height) // 2 * AROUND)
    return FaceBox(x - half, y - half, x + half, y + half)


def cut_square(frame: np.ndarray, box: FaceBox) -> np.ndarray:
    """Return uint8 RGB (2 s, 2 s, 3): the frame inside ``parsed_square(box)``, black beyond it."""
    square = parsed_square(box)
    height, width = frame.shape[:2]
    x0, y0 = max(square.x0, 0), max(square.y0, 0)
    x1, y1 = min(square.x1, width), min(square.y1, height)
    above, below, left, right = y0 - square.y0, square.y1 - y1, x0 - square.x0, square.x1 - x1
    return cv2.copyMakeBorder(frame[y0:y1, x0:x1], above, below, left, right, cv2.BORDER_CONSTANT)


def replaced_region(parts: np.ndarray, settings: MaskSettings) -> np.ndarray:
    """Return uint8 (512, 512), 255 where the face is replaced, of the parser's classes likewise."""
    if settings.mode == "jaw":
        return _jaw_region(parts, settings)
    kept = (SKIN, *LIPS_AND_MOUTH, NECK) if settings.mode == "neck" else (SKIN, *LIPS_AND_MOUTH)
    return np.where(np.isin(parts, kept), np.uint8(255), np.uint8(0))


def _jaw_region(parts: np.ndarray, settings: MaskSettings) -> np.ndarray:
    skin = np.where(parts == SKIN, np.uint8(255), np.uint8(0))
    grown = cv2.dilate(skin, _skin_kernel())
    flat = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (35, 3))
    shrunk = cv2.erode(grown, flat, iterations=CHEEK_EROSIONS)
    middle = PARSING_SIZE // 2
    columns = np.arange(PARSING_SIZE)
    left = columns <= middle - settings.left_cheek_width
    cheeks = left | (columns >= middle + settings.right_cheek_width)
    region = np.where(cheeks[None, :], shrunk, grown)
    region[parts == NOSE] = 0
    region[np.isin(parts, LIPS_AND_MOUTH)] = 255
    return region


@functools.cache
def _skin_kernel() -> np.ndarray:
    """A cone over a bar, uint8 (33, 33): skin grows 16 pixels up, 10 sideways and 6 down."""
    side = CONE_ROWS + TAIL_ROWS
    kernel = np.zeros((side, side), np.uint8)
    middle = side // 2
    for row in range(CONE_ROWS // 2, side):
        reach = min(row, CONE_ROWS - 1) - CONE_ROWS // 2
        kernel[row, middle - reach : middle + reach + 1] = 1
    kernel.flags.writeable = False
    return kernel


def lips_are_shut(parts: np.ndarray) -> bool:
    """Say whether the parser's classes (H, W) show lips with next to nothing between them."""
    inside, upper, lower = (int((parts == part).sum()) for part in LIPS_AND_MOUTH)
    return upper > 0 and lower > 0 and inside <= MOST_INSIDE * (upper + lower)


def face_mask(region: np.ndarray, box: FaceBox, *, blur_ratio: float = BLUR_RATIO) -> np.ndarray:
    """Return uint8 (h, w) over the face box: how much of each pixel is replaced, 255 being all.

    region: uint8 (512, 512) over the parsed square. Nothing above the square's middle is
    replaced, but for the blur, which is the square's and reaches over that line.
    """
    square = parsed_square(box)
    side = square.width
    resized = Image.fromarray(region).resize((side, side), Image.Resampling.BICUBIC)
    inside = FaceBox(box.x0 - square.x0, box.y0 - square.y0, box.x1 - square.x0, box.y1 - square.y0)
    mask = np.zeros((side, side), np.uint8)
    mask[inside.area] = np.asarray(resized)[inside.area]
    mask[: side // 2] = 0
    kernel = int(blur_ratio * side // 2 * 2) + 1
    return cv2.GaussianBlur(mask, (kernel, kernel), 0)[inside.area].copy()


def given_mask(mask: np.ndarray, box: FaceBox) -> np.ndarray:
    """Return the user's mask, float32 (H, W) 0..1 over the frame, as uint8 (h, w) over the box."""
    return np.rint(mask[box.area].clip(0, 1) * 255).astype(np.uint8)


class Backdrop:
    """One source frame, uint8 RGB (H, W, 3), with its mask, uint8 (h, w), for faces in turn."""

    def __init__(
        self, frame: np.ndarray, box: FaceBox, mask: np.ndarray, exact: np.ndarray | None = None
    ) -> None:
        self.frame = frame
        self.box = box
        self._exact = exact  # as in stretch_face
        self._touched: FaceBox | None = None
        if not mask.any():
            return
        # Half of the mask is empty by its nature: only its own rectangle is computed.
        x, y, width, height = cv2.boundingRect(mask)
        self._touched = FaceBox(x, y, x + width, y + height)
        part = frame[box.area][self._touched.area].astype(np.uint16)
        weight = mask[self._touched.area].astype(np.uint16)[:, :, None]
        # Written out for all three colours: to repeat it in every product takes 15 times as long.
        self._weight = np.repeat(weight, 3, axis=2)
        self._share = part * (255 - self._weight) + np.uint16(128)
        self._mixed, self._high = np.empty_like(part), np.empty_like(part)

    def with_face(self, crop: np.ndarray, share: float = 1.0) -> np.ndarray:
        """Return a new frame with a generated crop, uint8 RGB (256, 256, 3), in its place.

        share: of what is generated; the rest is the frame's own.
        """
        if self._touched is None:
            return self.frame.copy()
        return self.with_fitted(stretch_face(crop, self.box, self._exact), share)

    def with_fitted(self, picture: np.ndarray, share: float = 1.0) -> np.ndarray:
        """Return a new frame with a picture of the whole box, uint8 RGB (h, w, 3); see above."""
        frame = self.frame.copy()
        if self._touched is None:
            return frame
        face = picture[self._touched.area]
        # Pillow's division by 255, exact to the last bit; every sum fits 16 bits.
        mixed = self._mixed
        np.copyto(mixed, face)
        mixed *= self._weight
        mixed += self._share
        mixed += np.right_shift(mixed, 8, out=self._high)
        mixed >>= 8
        part = frame[self.box.area][self._touched.area]
        if share < 1:
            mixed = cv2.addWeighted(mixed.astype(np.uint8), share, part, 1 - share, 0)
        part[...] = mixed
        return frame
