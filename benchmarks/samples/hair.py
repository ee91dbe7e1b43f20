"""Hair as some thousands of strands that follow guide curves, gathered into locks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .sculpture import Array


@dataclass(frozen=True)
class Style:
    """Hair's colours (linear RGB) and its length.

    ends: height to which it falls; None leaves it as long as the guides.
    """

    root: Array
    body: Array
    sheen: Array
    ends: float | None = None


# Control points from the parting to the ends; columns run from the inner curve, beside the face, to
# the outline. x is given for the sitter's left half (picture right) and for the other half apart,
# because the parting is off centre.
HEIGHTS = (
    (-1.28, -1.52, -1.82, -2.06),
    (-1.24, -1.52, -1.84, -2.06),
    (-0.95, -1.12, -1.42, -1.64),
    (-0.42, -0.48, -0.62, -0.84),
    (0.26, 0.26, 0.22, 0.12),
    (0.96, 1.00, 1.02, 1.00),
    (1.60, 1.72, 1.80, 1.84),
    (2.18, 2.32, 2.44, 2.52),
    (2.72, 2.86, 2.98, 3.04),
    (3.14, 3.30, 3.40, 3.42),
)
RIGHT = (
    (-0.36, -0.36, -0.36, -0.36),
    (0.14, 0.18, 0.26, 0.32),
    (0.70, 0.86, 1.00, 1.10),
    (0.95, 1.12, 1.32, 1.47),
    (1.01, 1.20, 1.42, 1.58),
    (1.00, 1.22, 1.48, 1.66),
    (0.90, 1.18, 1.50, 1.72),
    (0.80, 1.08, 1.42, 1.68),
    (0.86, 1.08, 1.34, 1.54),
    (1.02, 1.16, 1.32, 1.42),
)
LEFT = (
    (-0.34, -0.34, -0.33, -0.30),
    (-0.52, -0.58, -0.66, -0.70),
    (-0.78, -0.92, -1.10, -1.20),
    (-0.97, -1.13, -1.34, -1.48),
    (-1.01, -1.20, -1.42, -1.58),
    (-0.99, -1.20, -1.46, -1.64),
    (-0.91, -1.17, -1.47, -1.68),
    (-0.84, -1.10, -1.42, -1.64),
    (-0.92, -1.14, -1.38, -1.55),
    (-1.10, -1.24, -1.38, -1.47),
)
FALL = 0.2  # height from which on hair of another length is shortened
SAMPLES = 96
STRANDS = 90  # per lock
FLYAWAYS = 150

Placement = Callable[[Array], Array]


def spline(points: Array, count: int) -> Array:
    """Cubic B-spline from the first to the last of points (P, 2), sampled ``count`` times."""
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    at = np.linspace(0, len(points) - 1 - 1e-6, count)
    i, t = at.astype(int), (at % 1)[:, None]
    weights = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, 3 * (t + t**2 - t**3) + 1, t**3)
    return np.asarray(sum(padded[i + k] * w for k, w in enumerate(weights))) / 6


@dataclass(frozen=True)
class Lock:
    """One lock: its place across the guides, its tone and wave."""

    side: int
    across: float
    width: float
    tone: float
    wave: float
    phase: float


def locks(rng: np.random.Generator, count: int = 30) -> list[Lock]:
    """Locks of both sides, outer ones first so that inner ones lie on top."""
    out = []
    for i in range(count):
        for side in (0, 1):
            across = float(np.clip(1 - (i + 0.5) / count + rng.normal(0, 0.04), 0.03, 1.0))
            # Neighbouring locks swing together, a little out of step.
            phase = 5.0 * across + 2.1 * side + rng.normal(0, 0.45)
            wave = rng.uniform(0.045, 0.085)
            out.append(
                Lock(side, across, rng.uniform(0.03, 0.085), rng.normal(0, 0.22), wave, phase)
            )
    return out


class Guides:
    """Interpolates a strand's path between the drawn guides."""

    def __init__(self, style: Style) -> None:
        self.curves = []
        heights = np.array(HEIGHTS)
        if style.ends is not None:
            short = (style.ends - FALL) / (heights.max() - FALL)
            heights = np.where(heights > FALL, FALL + (heights - FALL) * short, heights)
        for side in (RIGHT, LEFT):
            points = np.stack([np.array(side), heights], -1).transpose(1, 0, 2)
            self.curves.append(np.stack([spline(guide, SAMPLES) for guide in points]))

    def path(self, side: int, across: Array) -> Array:
        """Path (SAMPLES, 2) whose place between the guides may change along it."""
        guides = self.curves[side]
        at = np.clip(across, -0.12, 1.12) * (len(guides) - 1)
        i = np.clip(at.astype(int), 0, len(guides) - 2)
        t, rows = (at - i)[:, None], np.arange(SAMPLES)
        return guides[i, rows] * (1 - t) + guides[i + 1, rows] * t


def strand(guides: Guides, lock: Lock, offset: float, rng: np.random.Generator) -> Array:
    """Path (P, 2) of one strand at ``offset`` (-1..1) within its lock."""
    t = np.linspace(0, 1, SAMPLES)
    gather = np.interp(t, [0, 0.12, 0.45, 0.8, 1], [1.5, 1.3, 1.0, 0.75, 0.16])
    across = lock.across + lock.width * offset * gather + rng.normal(0, 0.005)
    path = guides.path(lock.side, across)
    swing = np.clip((t - 0.22) * 1.9, 0, 1.25)
    path[:, 0] += np.sin(t * 17 + lock.phase) * lock.wave * swing * (1 - 2 * lock.side)
    path[:, 1] += np.cos(t * 17 + lock.phase) * lock.wave * 0.4 * swing
    path += rng.normal(0, 0.005, 2)
    start = int(rng.integers(0, 3))
    stop = int(SAMPLES * (1 - 0.16 * abs(offset) ** 1.5 - rng.uniform(0, 0.07)))
    return path[start:stop]


def flyaway(guides: Guides, rng: np.random.Generator) -> tuple[Lock, Array]:
    """A loose hair that leaves the outline for a while."""
    lock = Lock(int(rng.integers(2)), rng.normal(1.03, 0.02), 0.03, 0.3, 0.05, rng.uniform(0, 6.3))
    path = strand(guides, lock, 0.0, rng)
    t = np.linspace(0, 1, len(path))
    path[:, 0] += (np.sin(t * rng.uniform(4, 9) + lock.phase) * 0.05 * t) * (1 - 2 * lock.side)
    start = int(rng.uniform(0.0, 0.6) * len(path))
    return lock, path[start : start + int(rng.uniform(0.2, 0.4) * SAMPLES)]


def volume_normal(path: Array) -> Array:
    """Rough outward normal of the hair's mass at head points (P, 2) -> (P, 3)."""
    x, y = path[:, 0], path[:, 1]
    top = np.stack([x / 1.6, (y + 0.30) / 1.75], 1)
    side = np.stack(
        [np.clip((np.abs(x) - 1.20) / 0.46, -1, 1) * np.sign(x), np.full_like(x, 0.05)], 1
    )
    down = np.clip((y + 0.9) / 1.2, 0, 1)[:, None]
    flat = top * (1 - down) + side * down
    z = np.sqrt(np.clip(1 - (flat**2).sum(1), 0.06, 1))
    n = np.concatenate([flat, z[:, None]], 1)
    return n / np.linalg.norm(n, axis=1, keepdims=True)


def strand_colour(
    path: Array, lock: Lock, offset: float, tone: float, lamp: Array, style: Style
) -> Array:
    """Linear colour along a strand (P, 3): hair reflects by its direction, not by its facing."""
    n = volume_normal(path)
    flat = np.gradient(path, axis=0)
    dz = -(n[:, 0] * flat[:, 0] + n[:, 1] * flat[:, 1]) / n[:, 2]
    tangent = np.concatenate([flat, dz[:, None]], 1)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9
    half = lamp + np.array([0, 0, 1])
    half /= np.linalg.norm(half)
    facing = np.clip(0.26 + 0.80 * (n @ lamp), 0.06, 1)
    along = np.sqrt(np.clip(1 - (tangent @ lamp) ** 2, 0, 1))
    grown = np.linspace(0, len(path) / SAMPLES, len(path))
    sheen = (
        np.clip(grown * 9 - 0.4, 0, 1)
        * np.sqrt(np.clip(1 - (tangent @ half + 0.05 * tone + 0.05) ** 2, 0, 1)) ** 34
    )
    lean = offset * (1 if lock.side else -1)  # which flank of the lock turns to the lamp
    rounded = 1 - 0.50 * abs(offset) ** 1.6 + 0.22 * lean
    lit = facing * along * rounded * (1 + 0.9 * lock.tone + 0.16 * tone)
    gloss = sheen * facing**1.5 * rounded * (1 + 0.6 * lock.tone + 0.4 * tone)
    colour = style.root + (style.body - style.root) * np.clip(lit * 1.25, 0, 1.8)[:, None]
    colour = colour + style.sheen * (0.55 * gloss)[:, None]
    fade = np.clip(0.45 + grown * 6, 0, 1)  # dark at the parting
    return np.clip(colour * fade[:, None], 0, 1)


def draw(
    canvas: NDArray[np.uint8],
    place: Placement,
    lamp: Array,
    rng: np.random.Generator,
    style: Style,
) -> None:
    """Draw all strands onto an 8-bit sRGB canvas; ``place`` turns head points into pixels."""
    guides = Guides(style)
    thick = max(1, round(canvas.shape[0] / 1000))
    for lock in locks(rng):
        for offset in rng.permutation(np.linspace(-1, 1, STRANDS)):
            path = strand(guides, lock, float(offset), rng)
            tone = float(rng.normal())
            colour = strand_colour(path, lock, float(offset), tone, lamp, style)
            draw_strand(canvas, place(path), colour, thick)
    veil = canvas.copy()
    for _ in range(FLYAWAYS):
        lock, path = flyaway(guides, rng)
        draw_strand(veil, place(path), strand_colour(path, lock, 0.0, 1.0, lamp, style), 1)
    cv2.addWeighted(canvas, 0.55, veil, 0.45, 0, dst=canvas)


def draw_strand(canvas: NDArray[np.uint8], pixels: Array, colour: Array, thick: int) -> None:
    """One strand with its colour changing along it."""
    fixed = (pixels * 16).round().astype(np.int32).tolist()
    paint = (np.clip(colour, 0, 1) ** (1 / 2.2) * 255).round().tolist()
    for a, b, c in zip(fixed[:-1], fixed[1:], paint, strict=False):
        cv2.line(canvas, a, b, c, thick, cv2.LINE_AA, 4)


def cover(side: int, place: Placement, rng: np.random.Generator, style: Style) -> Array:
    """Where hair will lie in a picture of ``side`` pixels, 0..1."""
    mask = np.zeros((side, side), np.uint8)
    guides = Guides(style)
    for lock in locks(rng):
        for offset in np.linspace(-1, 1, 14):
            pixels = place(strand(guides, lock, float(offset), rng))
            fixed = (pixels * 16).round().astype(np.int32)
            cv2.polylines(mask, [fixed], False, 255, max(2, side // 150), cv2.LINE_AA, 4)
    return mask.astype(np.float32) / 255
