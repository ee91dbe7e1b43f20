"""Turns the drawn picture into paint: strokes along its forms, coarse outside, fine on the face.

Strokes follow the smoothed structure tensor and are laid in layers from broad to fine. Every stroke
is a bundle of bristles with its own tone and thickness; the thickness is lit at the end like paint.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .sculpture import Array


@dataclass(frozen=True)
class Layer:
    """One pass of a brush: sizes in pixels of the 1152 pixel drawing."""

    radius: float
    length: float
    spacing: float
    detail: tuple[float, float]  # where it may paint, by the detail map
    opacity: float
    jitter: float  # deviation of tone between strokes
    tolerance: float  # change of tone (8-bit steps) at which a stroke ends


LAYERS = (
    Layer(15, 120, 15, detail=(0.0, 0.25), opacity=1.0, jitter=0.050, tolerance=46),
    Layer(8, 70, 8.5, detail=(0.0, 0.45), opacity=0.9, jitter=0.035, tolerance=34),
    Layer(4.5, 42, 5.5, detail=(0.2, 0.80), opacity=0.75, jitter=0.020, tolerance=22),
    Layer(2.4, 24, 3.6, detail=(0.4, 0.93), opacity=0.6, jitter=0.012, tolerance=16),
)
STEPS = 9  # points of a stroke


def flow(picture: NDArray[np.uint8], sigma: float) -> tuple[Array, Array]:
    """Unit direction along which the picture changes least, (H, W) each."""
    grey = cv2.GaussianBlur(picture.astype(np.float32).mean(2), (0, 0), 1.5)
    gx, gy = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    xx, yy, xy = (cv2.GaussianBlur(p, (0, 0), sigma) for p in (gx * gx, gy * gy, gx * gy))
    angle = 0.5 * np.arctan2(2 * xy, xx - yy) + np.pi / 2
    return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)


def trails(starts: Array, along: tuple[Array, Array], step: float) -> Array:
    """Paths (N, STEPS, 2) from the starts along the flow, keeping each stroke's heading."""
    height, width = along[0].shape
    path = np.empty((len(starts), STEPS, 2), np.float32)
    point = starts.copy()
    heading = None
    for k in range(STEPS):
        path[:, k] = point
        x = np.clip(point[:, 0], 0, width - 1).astype(int)
        y = np.clip(point[:, 1], 0, height - 1).astype(int)
        move = np.stack([along[0][y, x], along[1][y, x]], 1)
        if heading is not None:
            move *= np.sign((move * heading).sum(1, keepdims=True) + 1e-9)
            move = 0.6 * move + 0.4 * heading
            move /= np.linalg.norm(move, axis=1, keepdims=True) + 1e-9
        heading = move
        point = point + move * step
    return path


def stroke_ends(paths: Array, source: NDArray[np.uint8], tolerance: float) -> NDArray[np.intp]:
    """Last point of each path before the picture's tone leaves the one it started with."""
    at = np.clip(paths.round().astype(int), 0, source.shape[0] - 1)
    tones = source[at[..., 1], at[..., 0]].astype(np.float32)
    away = np.abs(tones - tones[:, :1]).mean(2) > tolerance
    return np.where(away.any(1), away.argmax(1), STEPS) - 1


def paint_layer(
    canvas: NDArray[np.uint8],
    thickness: NDArray[np.uint8],
    source: NDArray[np.uint8],
    detail: Array,
    layer: Layer,
    rng: np.random.Generator,
) -> None:
    """Lay one layer of strokes onto canvas and thickness map."""
    side = source.shape[0]
    unit = side / 1152
    blurred = cv2.GaussianBlur(source, (0, 0), max(0.6, layer.radius * 0.45 * unit))
    smooth = np.asarray(blurred, np.uint8)
    grid = np.arange(0, side, layer.spacing * unit)
    starts = np.stack(np.meshgrid(grid, grid), -1).reshape(-1, 2)
    jitter = rng.uniform(-0.5, 0.5, starts.shape) * layer.spacing * unit
    starts = (starts + jitter).astype(np.float32)
    starts = starts[rng.permutation(len(starts))]
    at = np.clip(starts.round().astype(int), 0, side - 1)
    local = detail[at[:, 1], at[:, 0]]
    starts = starts[(local >= layer.detail[0]) & (local < layer.detail[1])]
    along = flow(source, max(3.0, layer.radius * 0.9) * unit)
    paths = trails(starts, along, layer.length / STEPS * unit)
    bristles = max(3, round(layer.radius * 0.9))
    width = max(1, round(2.6 * layer.radius * unit / bristles))
    offsets = np.linspace(-1, 1, bristles) * layer.radius * unit
    ends = stroke_ends(paths, smooth, layer.tolerance)
    for whole, end in zip(paths, ends, strict=True):
        if end < 2:
            continue
        start = np.clip(whole[0].round().astype(int), 0, side - 1)
        tone = smooth[start[1], start[0]].astype(np.float32) * (1 + rng.normal(0, layer.jitter))
        for line in bristle_lines(whole[: end + 1], offsets, rng):
            colour = tone * (1 + rng.normal(0, layer.jitter * 0.6)) + rng.normal(0, 1.2, 3)
            colour = np.clip(colour, 0, 255).tolist()
            cv2.polylines(canvas, [line], False, colour, width, cv2.LINE_AA, 4)
            body = int(np.clip(rng.normal(128, 46), 0, 255))
            cv2.polylines(thickness, [line], False, body, width, cv2.LINE_AA, 4)


def bristle_lines(path: Array, offsets: Array, rng: np.random.Generator) -> Iterator[Array]:
    """The bristles' lines beside a stroke's path, in sixteenths of a pixel, with ragged ends."""
    normal = np.gradient(path, axis=0)[:, ::-1] * (1, -1)
    normal = normal / (np.linalg.norm(normal, axis=1, keepdims=True) + 1e-6)
    count = len(path)
    for offset in offsets:
        first, last = rng.integers(0, 2), count - rng.integers(0, min(3, count - 1))
        yield ((path + normal * offset)[first:last] * 16).round().astype(np.int32)


def paint(picture: NDArray[np.uint8], detail: Array, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The picture (H, W, 3) as brushwork; ``detail`` 0..1 says where to stay close to it."""
    canvas = picture.copy()
    thickness = np.full(picture.shape[:2], 128, np.uint8)
    for layer in LAYERS:
        fresh, body = canvas.copy(), thickness.copy()
        paint_layer(fresh, body, picture, detail, layer, rng)
        cv2.addWeighted(canvas, 1 - layer.opacity, fresh, layer.opacity, 0, dst=canvas)
        cv2.addWeighted(thickness, 1 - layer.opacity, body, layer.opacity, 0, dst=thickness)
    keep = cv2.GaussianBlur(detail, (0, 0), picture.shape[0] / 250)[..., None]
    keep = np.clip((keep - 0.35) / 0.6, 0, 1) * 0.75
    mixed = canvas * (1 - keep) + picture * keep
    return finish(mixed.astype(np.float32), thickness, 1 - 0.8 * keep[..., 0])


def finish(picture: Array, thickness: NDArray[np.uint8], amount: Array) -> NDArray[np.uint8]:
    """Light the ridges of the paint from the upper left, and let the canvas show through."""
    body = cv2.GaussianBlur(thickness.astype(np.float32) / 255, (0, 0), 1.0)
    ridge = (body - np.roll(body, (2, 2), (0, 1))) * amount
    side = picture.shape[0]
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32) * (1152 / side)
    weave = np.sin(columns * 2.1) * np.sin(rows * 2.1)
    # The edges of the picture fall away a little, as under a gallery lamp.
    reach = np.hypot(columns / 576 - 0.98, rows / 576 - 0.85)
    light = 1 + 0.16 * np.clip(ridge, -0.3, 0.3) + 0.006 * weave
    light -= 0.14 * np.clip(reach - 0.75, 0, 1) ** 1.5
    return np.clip(picture * light[..., None], 0, 255).round().astype(np.uint8)
