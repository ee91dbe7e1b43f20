"""From a fitted mouth to the outline that is handed on: the seam found exactly, closed or open."""

from __future__ import annotations

import numpy as np

from ...media import LIP_CURVE_POINTS, LipCorners, LipShape
from .face_frame import FaceFrame
from .lip_maps import PIXELS_PER_EYE, LipMaps
from .lip_template import BOW, GAP, HALF, INSIDE, Grid, LipFit, corner_points, curve_offsets

U = np.linspace(-1, 1, LIP_CURVE_POINTS)
SEAM_REACH = 0.05  # e to either side of the template's line
BENDING = 0.35  # price of one step per column on the dark path, in spreads of light
BRIGHTER = 0.1  # teeth are lighter than the lips by this much log luminance
PALER = 0.4  # and less red, in the map's units
TOOTHED_COLUMNS = 0.6  # of the columns must show teeth
OPEN_GAP = 0.12  # mouth widths: a gap as high as this is open without teeth too
OPEN_HOLE = 0.05  # and so filled (the template's term)


def lip_shape(maps: LipMaps, frame: FaceFrame, fit: LipFit) -> LipShape:
    """Return the outline of a fitted mouth in picture coordinates."""
    parted = _is_open(maps, fit)
    curves = curve_offsets(fit.candidate[None], U)[0]
    if not parted:
        curves = _shut(curves, _dark_path(maps, fit))
    corners = frame.to_picture(corner_points(fit.candidate))
    return LipShape(
        LipCorners(*(float(value) for value in corners.ravel())),
        (curves / fit.width).astype(np.float32),
        parted,
    )


def _shut(curves: np.ndarray, seam: np.ndarray) -> np.ndarray:
    """Put both inner borders on the seam and keep the outer ones outside of it."""
    least = 0.02 * (1 - U**2)
    return np.stack(
        [np.minimum(curves[0], seam - least), seam, seam, np.maximum(curves[3], seam + least)]
    )


def _is_open(maps: LipMaps, fit: LipFit) -> bool:
    candidate = fit.candidate[None]
    grid = Grid(maps.light.shape, candidate)
    middle = curve_offsets(candidate, INSIDE)
    light, red = maps.light.ravel(), maps.red.ravel()
    lips = np.concatenate([grid.at(INSIDE, (middle[:, i] + middle[:, i + 1]) / 2) for i in (0, 2)])
    threshold = np.median(light[lips]) + BRIGHTER / maps.light_spread
    paler = np.median(red[lips]) - PALER
    depths = np.linspace(0.15, 0.85, 7)
    between = np.concatenate(
        [grid.at(INSIDE, middle[:, 1] * (1 - k) + middle[:, 2] * k) for k in depths]
    )
    teeth = ((light[between] > threshold) & (red[between] < paler)).any(axis=0)
    # A gap narrower than the patch's own blur holds no teeth that could be seen.
    wide_enough = fit.candidate[GAP] > 3 / PIXELS_PER_EYE
    if wide_enough and float(teeth.mean()) >= TOOTHED_COLUMNS:
        return True
    return bool(fit.candidate[GAP] > OPEN_GAP * fit.width and fit.term("hole") > OPEN_HOLE)


def _dark_path(maps: LipMaps, fit: LipFit) -> np.ndarray:
    """Return the darkest smooth line from corner to corner: offsets in e at U."""
    candidate = fit.candidate
    count = max(9, round(2 * candidate[HALF] * PIXELS_PER_EYE / 2))
    u = np.linspace(-0.96, 0.96, count)
    reach = round(SEAM_REACH * PIXELS_PER_EYE)
    steps = np.arange(-reach, reach + 1) / PIXELS_PER_EYE
    line = (candidate[BOW] + candidate[GAP] / 2) * (1 - u**2)
    grid = Grid(maps.light.shape, candidate[None])
    light = maps.light.ravel()
    cost = np.stack([light[grid.at(u, (line + step)[None])[0]] for step in steps], axis=1)
    chosen = line + steps[_cheapest_path(cost)]
    return _smooth_through_corners(u, chosen)


def _cheapest_path(cost: np.ndarray) -> np.ndarray:
    """Return one column index per row (T, K) of the path of least cost and bending."""
    rows, levels = cost.shape
    price = BENDING * np.abs(np.arange(levels)[:, None] - np.arange(levels)[None])
    total = cost[0]
    came = np.zeros((rows, levels), np.int64)
    for row in range(1, rows):
        paths = total[:, None] + price
        came[row] = paths.argmin(0)
        total = paths.min(0) + cost[row]
    path = np.empty(rows, np.int64)
    path[-1] = total.argmin()
    for row in range(rows - 1, 0, -1):
        path[row - 1] = came[row, path[row]]
    return path


def _smooth_through_corners(u: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Fit the quartic that is zero at both corners and return it at U."""

    def basis(at: np.ndarray) -> np.ndarray:
        return (1 - at**2)[:, None] * np.stack([np.ones_like(at), at, at**2], axis=1)

    coefficients = np.linalg.lstsq(basis(u), offsets, rcond=None)[0]
    return basis(U) @ coefficients
