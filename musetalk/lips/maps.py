"""What the lip template looks at: an upright patch round the mouth and the maps made of it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ...media import Box
from .frame import FaceFrame, upright_patch

PIXELS_PER_EYE = 96
REGION = Box(-0.85, 0.45, 0.85, 1.85)  # e: nose tip to chin, cheek to cheek
BLUR = 1.3  # pixels of the patch, as are all widths below
VALLEY_SLOPE = 5.0
VALLEY_LINE = 1.5
VALLEY_ALONG = 2.5
STEP = 0.05 * PIXELS_PER_EYE  # derivatives are differences over 0.05 e
LEAST_LIGHT_SPREAD = 0.05
LEAST_RED_SPREAD = 0.012
RED_LIMIT = 2.5
FLOOR = 6.0  # added before logarithms: darker than that is noise
CHEEKS_AND_CHIN = (
    Box(-0.75, 0.60, -0.45, 1.00),
    Box(0.45, 0.60, 0.75, 1.00),
    Box(-0.25, 1.50, 0.25, 1.75),
)
MOUTH_AREA = Box(-0.5, 0.8, 0.5, 1.5)


@dataclass(frozen=True, eq=False)
class LipMaps:
    """Maps over REGION, float32 (H, W), 96 pixels per e.

    valley, light: dark horizontal lines; log luminance against the skin; in spreads of the light.
    red: redness against the skin in its own scale, -2.5..2.5.
    light_step, red_step: change towards the chin per 0.05 e.
    colours: log R, G, B (H, W, 3), plain. light_spread: the scale that was divided by.
    skin_red, skin_yellow: log R/G and log G/B of cheeks and chin.
    """

    valley: np.ndarray
    light: np.ndarray
    red: np.ndarray
    light_step: np.ndarray
    red_step: np.ndarray
    colours: np.ndarray
    light_spread: float
    skin_red: float
    skin_yellow: float


def make_lip_maps(picture: np.ndarray, frame: FaceFrame) -> LipMaps:
    """Resample the mouth region of a uint8 RGB picture upright and measure it."""
    patch = upright_patch(picture, frame, region=REGION, pixels_per_eye=PIXELS_PER_EYE)
    patch = cv2.GaussianBlur(patch.astype(np.float32), (0, 0), BLUR)
    colours = np.log(patch + FLOOR)
    luminance = np.log(patch @ np.array([0.299, 0.587, 0.114], np.float32) + FLOOR)
    redness = colours[..., 0] - colours[..., 1]
    skin = np.concatenate([cut(colours, box).reshape(-1, 3) for box in CHEEKS_AND_CHIN])
    skin_light = np.concatenate([cut(luminance, box).ravel() for box in CHEEKS_AND_CHIN])
    skin_redness = skin[:, 0] - skin[:, 1]
    light_spread = max(float(cut(luminance, MOUTH_AREA).std()), LEAST_LIGHT_SPREAD)
    light = (luminance - np.median(skin_light)) / light_spread
    red = (redness - np.median(skin_redness)) / _red_spread(redness, skin_redness)
    red = np.clip(red, -RED_LIMIT, RED_LIMIT)
    middle = np.median(skin, axis=0)
    return LipMaps(
        valley=_valley(light),
        light=light,
        red=red,
        light_step=_step(light),
        red_step=_step(red),
        colours=colours,
        light_spread=light_spread,
        skin_red=float(middle[0] - middle[1]),
        skin_yellow=float(middle[1] - middle[2]),
    )


def _red_spread(redness: np.ndarray, skin_redness: np.ndarray) -> float:
    """Return the scale of redness: the skin's own deviation or half the mouth area's spread."""
    deviation = float(np.median(np.abs(skin_redness - np.median(skin_redness))))
    low, high = np.percentile(cut(redness, MOUTH_AREA), (10, 90))
    return max(deviation, float(high - low) / 2, LEAST_RED_SPREAD)


def cut(values: np.ndarray, box: Box) -> np.ndarray:
    """Return the part of a map inside a box given in e."""
    x0, x1 = (round((x - REGION.x0) * PIXELS_PER_EYE) for x in (box.x0, box.x1))
    y0, y1 = (round((y - REGION.y0) * PIXELS_PER_EYE) for y in (box.y0, box.y1))
    return values[y0:y1, x0:x1]


def _valley(light: np.ndarray) -> np.ndarray:
    wide = cv2.GaussianBlur(light, (0, 0), sigmaX=VALLEY_ALONG, sigmaY=VALLEY_SLOPE)
    return wide - cv2.GaussianBlur(light, (0, 0), sigmaX=VALLEY_ALONG, sigmaY=VALLEY_LINE)


def _step(values: np.ndarray) -> np.ndarray:
    slope = cv2.Sobel(values, cv2.CV_32F, 0, 1, ksize=5, scale=1 / 128)  # per pixel
    return slope * STEP
