"""Eyes and brows painted over the lit face: ball, iris, lids' edges, lashes and brow hairs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from . import features
from .sculpture import Array
from .skin import CARUNCLE, LASH, SCLERA, Surface, Tones, mix

smooth = features.smooth
PUPIL = np.full(3, 0.004, np.float32)
Stroke = tuple[Array, float, float]  # head-space points (P, 2), width, opacity


def iris_colour(dx: Array, dy: Array, r: Array, tones: Tones) -> Array:
    """Colour of the irises by offset from their centre and radius (1 at the rim)."""
    angle = np.arctan2(dy, dx)
    fibres = sum(np.sin(angle * k + p) for k, p in ((17, 0.3), (29, 1.9), (43, 4.0), (61, 2.2))) / 4
    # Light that enters from above gathers in the lower half of the iris.
    glow = 0.42 * smooth(dx * 0.45 + dy, -0.06, 0.09) * smooth(r, 1.0, 0.6)
    glow = glow + 0.16 * fibres * smooth(r, 0.3, 0.7)
    iris = mix(tones.iris, tones.iris_glow, np.clip(glow, 0, 1))
    ring = 0.35 * np.exp(-(((r - 0.55) / 0.14) ** 2)) * (0.6 + 0.4 * fibres)
    iris = mix(iris, tones.iris_glow * 0.9, ring)
    iris = mix(iris, tones.iris_rim, smooth(r, 0.72, 1.0))
    edge = r * features.IRIS_RADIUS - features.PUPIL_RADIUS
    return mix(iris, PUPIL, smooth(edge, 0.008, -0.006))


def ball(surface: Surface, gaze: tuple[float, float]) -> Array:
    """Colour of the eyeballs everywhere (H, W, 3), before light falls on them."""
    x, y = surface.x, surface.y
    dx = x - np.where(x < 0, -features.EYE_X, features.EYE_X) - gaze[0]
    dy = y - (gaze[1] - 0.010)
    r = np.hypot(dx, dy) / features.IRIS_RADIUS
    off = np.abs(np.abs(x) - features.EYE_X) / features.EYE_HALF_WIDTH
    white = SCLERA * (1.0 - 0.42 * np.clip(off, 0, 1.2) ** 2)[..., None]
    inner = smooth(features.EYE_X - np.abs(x), 0.165, 0.225)
    white = mix(white, CARUNCLE, 0.85 * inner)
    white = mix(white, CARUNCLE, 0.16 * np.clip(off, 0, 1) ** 2)
    return mix(white, iris_colour(dx, dy, r, surface.tones), smooth(r, 1.07, 0.95))


def paint_eyes(
    picture: Array, surface: Surface, *, closed: float, gaze: tuple[float, float]
) -> Array:
    """Put eyes into the lit picture (linear RGB)."""
    x, y, side = surface.x, surface.y, np.abs(surface.x)
    eye = features.lids(side, closed=closed)
    face = surface.z > 0.4
    valid = face & (np.abs(eye.along) < 1.25)
    opening = smooth(y, eye.upper - 0.006, eye.upper + 0.006) * smooth(
        y, eye.lower + 0.006, eye.lower - 0.006
    )
    opening = opening * (np.abs(eye.along) < 1) * smooth(eye.opened, 0.004, 0.02) * face
    # The ball is rounder than the face: light it by its own normal, from the left.
    nx = np.clip((x - np.where(x < 0, -features.EYE_X, features.EYE_X)) / 0.30, -0.9, 0.9)
    lit = np.clip(0.76 - 0.26 * nx - 0.5 * y, 0.1, 1.2)
    lid_shadow = 1 - 0.62 * np.exp(-np.clip(y - eye.upper, 0, 1) / 0.030)
    local = np.where(x < 0, 1.0, 0.86).astype(np.float32)
    white = ball(surface, gaze) * (lit * lid_shadow * local)[..., None]
    picture = mix(picture, white, opening)
    return paint_rims(picture, surface, eye, valid, gaze, opening)


def paint_rims(
    picture: Array,
    surface: Surface,
    eye: features.Lids,
    valid: NDArray[np.bool_],
    gaze: tuple[float, float],
    opening: Array,
) -> Array:
    """Lash lines, wet lower rim, crease and catchlights."""
    x, y = surface.x, surface.y
    ends = smooth(np.abs(eye.along), 1.08, 0.88) * valid
    out = (eye.along + 1) / 2
    rim = np.exp(-(((y - eye.lower - 0.004) / 0.010) ** 2)) * ends * smooth(eye.opened, 0.0, 0.03)
    picture = mix(picture, np.array([0.62, 0.36, 0.30], np.float32) * 0.9, 0.40 * rim)
    under = np.exp(-(((y - eye.lower - 0.022) / 0.012) ** 2)) * ends
    picture = mix(picture, LASH, under * (0.10 + 0.30 * smooth(out, 0.3, 1.0)))
    thick = 0.013 + 0.013 * smooth(out, 0.05, 0.8)
    line = np.exp(-(np.abs((y - eye.upper + 0.006) / thick) ** 2.5)) * ends
    picture = mix(picture, LASH, np.clip(0.96 * line, 0, 1))
    crease = (
        np.exp(-(((y - eye.crease) / 0.013) ** 2)) * smooth(np.abs(eye.along), 1.15, 0.75) * valid
    )
    picture = mix(picture, LASH, 0.50 * crease)
    for dx, dy, r, strength in ((-0.040, -0.046, 0.020, 0.95), (0.050, 0.046, 0.026, 0.02)):
        cx = np.where(x < 0, -features.EYE_X, features.EYE_X) + gaze[0]
        spot = smooth(
            np.hypot((x - cx - dx) / 1.0, (y - gaze[1] + 0.010 - dy) / 1.15), r + 0.006, r - 0.008
        )
        picture = mix(picture, np.array([1.0, 0.98, 0.95], np.float32), strength * spot * opening)
    return picture


def lash_strokes(closed: float, rng: np.random.Generator) -> list[Stroke]:
    """Upper lashes of both eyes: head-space polylines (P, 2), width and opacity."""
    strokes = []
    for sign in (-1, 1):
        for s in np.linspace(-0.75, 1.0, 62):
            s = s + rng.normal(0, 0.03)
            side = np.array([features.EYE_X + features.EYE_HALF_WIDTH * min(s, 1.0)], np.float32)
            root = features.lids(side, closed=closed)
            length = (0.018 + 0.052 * np.clip((s + 1) / 2, 0, 1) ** 1.5) * rng.uniform(0.5, 1.1)
            lean = 0.20 + 0.85 * s + rng.normal(0, 0.12)
            t = np.linspace(0, 1, 7)
            rise = -length * (0.25 * t + 0.55 * t * t) * (1 - 1.55 * closed)
            px = side[0] + length * lean * t
            py = root.upper[0] - 0.006 + rise
            strokes.append((np.stack([sign * px, py], 1).astype(np.float32), 0.006, 0.42))
    return strokes


def brow_curve(u: Array) -> tuple[Array, Array]:
    """Centre line and half height of the brow at ``u`` (0 at the nose, 1 at the temple)."""
    arch = -0.290 - 0.080 * np.sin(np.pi * np.minimum(u / 1.25, 1.0)) ** 1.2
    arch = arch + 0.165 * np.maximum(u - 0.62, 0)
    return arch, 0.054 * (1 - 0.74 * u) * (0.55 + 0.45 * np.minimum(u / 0.15, 1))


def brow_shadow(surface: Surface) -> Array:
    """Soft tone under the brow hairs, 0..1."""
    side = np.abs(surface.x)
    arch, half = brow_curve(np.clip((side - 0.215) / 0.66, 0, 1))
    inside = smooth(side, 0.17, 0.30) * smooth(side, 0.90, 0.80)
    return inside * smooth(np.abs(surface.y - arch - 0.005), half * 1.35, half * 0.2)


def brow_strokes(rng: np.random.Generator) -> list[Stroke]:
    """Brow hairs of both sides: rising near the nose, lying flat towards the temple."""
    strokes = []
    t = np.linspace(0, 1, 6)
    for sign in (-1, 1):
        for _ in range(420):
            u, v = rng.beta(1.1, 1.15), rng.uniform(-1, 1)
            arch, half = brow_curve(np.asarray(u))
            angle = np.interp(u, [0, 0.25, 0.7, 1], [-1.25, -0.55, 0.10, 0.50])
            bend = angle + v * 0.30 + rng.normal(0, 0.12) + 0.35 * t
            length = rng.uniform(0.05, 0.10) * (1 - 0.35 * u)
            px = 0.215 + 0.66 * u + np.cumsum(np.cos(bend)) * length / 6
            py = arch + half * v + np.cumsum(np.sin(bend)) * length / 6
            opacity = rng.uniform(0.15, 0.42) * (0.5 + 0.5 * min(u / 0.2, 1))
            strokes.append((np.stack([sign * px, py], 1).astype(np.float32), 0.008, opacity))
    return strokes
