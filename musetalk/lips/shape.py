"""From a fitted mouth to the outline that is handed on: the seam found exactly, closed or open."""

from __future__ import annotations

import numpy as np

from ...media import LIP_CURVE_POINTS, LipCorners, LipShape
from .frame import FaceFrame
from .maps import PIXELS_PER_EYE, LipMaps
from .template import BOW, GAP, HALF, Grid, LipFit, corner_points, curve_offsets

U = np.linspace(-1, 1, LIP_CURVE_POINTS)
SEAM_REACH = 0.05  # e to either side of the template's line
BENDING = 0.35  # price of one step per column on the dark path, in spreads of light
# Teeth show where the mouth is nearly as light as the skin and clearly less red (map units).
# Tried on 137 mouths: 41 % of those open by a tenth of their width or more, 1 % of closed ones.
TEETH_LIGHT = -0.3
TEETH_RED = -0.5
TEETH_COLUMNS = np.linspace(-0.75, 0.75, 13)
TEETH_DEPTHS = np.linspace(0.12, 0.84, 26)  # between the outer borders
TEETH_HEIGHT = 0.1  # of the depths: a column with teeth
TOOTHED = 0.4  # of the columns: a mouth with teeth
HYSTERESIS = 0.1  # of the columns more or less, against the frame before
LIP_LEFT = 0.02  # e: an outer border stays at least this far outside the inner one


def lip_shape(
    maps: LipMaps, frame: FaceFrame, fit: LipFit, *, was_parted: bool | None = None
) -> LipShape:
    """Return the outline of a fitted mouth in picture coordinates.

    was_parted: what it was one frame earlier, so that a doubtful mouth does not flicker.
    """
    curves = curve_offsets(fit.candidate[None], U)[0]
    share, gap = _teeth(maps, fit)
    lean = 0.0 if was_parted is None else (-HYSTERESIS if was_parted else HYSTERESIS)
    parted = share >= TOOTHED + lean
    if parted:
        lower = curves[1] + max(gap, float(fit.candidate[GAP])) * np.maximum(1 - U**2, 0) ** 0.8
        curves = _inside_out(curves[0], curves[1], lower, curves[3])
    else:
        seam = _dark_path(maps, fit)
        curves = _inside_out(curves[0], seam, seam, curves[3])
    corners = frame.to_picture(corner_points(fit.candidate))
    return LipShape(
        LipCorners(*(float(value) for value in corners.ravel())),
        (curves / fit.width).astype(np.float32),
        parted,
    )


def _inside_out(
    upper: np.ndarray, inner: np.ndarray, lower_inner: np.ndarray, lower: np.ndarray
) -> np.ndarray:
    """Stack the four borders with the outer ones outside the inner ones."""
    least = LIP_LEFT * (1 - U**2)
    upper, lower = np.minimum(upper, inner - least), np.maximum(lower, lower_inner + least)
    return np.stack([upper, inner, lower_inner, lower])


def _teeth(maps: LipMaps, fit: LipFit) -> tuple[float, float]:
    """Return the share of columns that show teeth, and the gap in e that reaches below them."""
    candidate = fit.candidate[None]
    grid = Grid(maps.light.shape, candidate)
    borders = curve_offsets(candidate, TEETH_COLUMNS)[0]
    depths = borders[0] + TEETH_DEPTHS[:, None] * (borders[3] - borders[0])
    index = np.concatenate([grid.at(TEETH_COLUMNS, row[None]) for row in depths])
    teeth = (maps.light.ravel()[index] > TEETH_LIGHT) & (maps.red.ravel()[index] < TEETH_RED)
    toothed = teeth.mean(0) >= TEETH_HEIGHT
    if not toothed.any():
        return 0.0, 0.0
    lowest = len(depths) - 1 - teeth[::-1].argmax(0)
    bottom = depths[lowest, np.arange(len(TEETH_COLUMNS))]
    gaps = (bottom - borders[1]) / (1 - TEETH_COLUMNS**2) ** 0.8
    return float(toothed.mean()), max(0.0, float(np.median(gaps[toothed])))


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
    rows = len(cost)
    levels: int = cost.shape[1]
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
