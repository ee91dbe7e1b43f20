"""What surrounds the sitter: the wall behind, and a knitted jumper."""

from __future__ import annotations

import numpy as np

from . import skin
from .features import smooth
from .sculpture import Array, bell
from .skin import Surface, cloudy, mix, srgb

WALL_DARK, WALL_LIGHT = srgb(38, 52, 54), srgb(128, 144, 134)


def wall(side: int, rng: np.random.Generator) -> Array:
    """Loose grey-green wall, lighter behind the shaded cheek (linear RGB)."""
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32) / side
    glow = bell(columns, rows, (0.86, 0.36), (0.46, 0.50))
    cloud = cloudy((side, side), side * 0.07, rng) + 0.6 * cloudy((side, side), side * 0.025, rng)
    colour = mix(WALL_DARK, WALL_LIGHT, np.clip(glow + 0.06 * cloud, 0, 1))
    warm = cloudy((side, side), side * 0.09, rng)
    tint = np.array([0.07, 0.0, -0.07], np.float32) * warm[..., None]
    return colour * (1 + 0.08 * cloud[..., None] + tint)


def neckline(x: Array) -> Array:
    """Height of the jumper's upper edge at picture x."""
    return 2.72 - 0.40 * np.clip(np.abs(x) / 1.05, 0, 1.5) ** 2.0


def dress(surface: Surface, picture: Array, rng: np.random.Generator) -> Array:
    """Clothe the shoulders below a round ribbed neckline."""
    below = surface.picture_y - neckline(surface.picture_x)
    cloth = smooth(below, -0.014, 0.014) * surface.mask
    light = wool_light(surface, below) * (1 + 0.10 * folds(surface, rng))
    wool = mix(surface.tones.wool_shade, surface.tones.wool, np.clip(light * 1.25, 0, 1))
    tone = wool * np.clip(light, 0.05, 2)[..., None]
    under = 1 - 0.45 * np.exp(-np.clip(-below, 0, 1) / 0.045) * (below < 0)
    return mix(picture * under[..., None], tone, cloth)


def wool_light(surface: Surface, below: Array) -> Array:
    """Brightness of the knit: lamp, room, ribs of the band and stitches."""
    x, y, n = surface.picture_x, surface.picture_y, surface.normal
    band = smooth(below, 0.175, 0.155)
    ribs = np.sin(np.arctan2(x, 1.15 - below) * 80) * band
    knit = np.sin(x * 60 + 0.6 * np.sin(y * 90)) * (1 - band)
    key = np.clip((n @ skin.KEY.direction + 0.10) / 1.10, 0, 1) * surface.lit
    rim = np.clip(n @ skin.RIM.direction, 0, 1) ** 2 * 0.25
    falloff = 1 - 0.38 * smooth(y, 2.7, 4.2) - 0.16 * smooth(x, 0.0, 3.0)
    light = (key * 1.05 + 0.17 * surface.open_sky + rim) * falloff
    groove = 0.35 * np.exp(-(((below - 0.175) / 0.020) ** 2))
    edge = 0.22 * np.exp(-(((below - 0.02) / 0.022) ** 2))
    return light * (1 + 0.14 * ribs + 0.03 * knit - groove + edge)


# Where the wool drags: from (x, y) to (x, y), depth and half width.
DRAGS = (
    ((-1.05, 2.55), (-2.05, 3.15), 1.0, 0.10),
    ((-0.85, 2.85), (-1.70, 3.70), 0.8, 0.12),
    ((0.95, 2.60), (1.95, 3.10), 0.9, 0.10),
    ((0.80, 2.90), (1.75, 3.65), 1.0, 0.12),
    ((-0.35, 3.10), (-0.75, 3.95), 0.5, 0.12),
    ((0.45, 3.15), (0.65, 3.95), 0.6, 0.11),
    ((-2.35, 3.05), (-2.45, 3.95), 0.9, 0.13),
    ((2.40, 3.10), (2.45, 3.95), 0.8, 0.13),
)


def folds(surface: Surface, rng: np.random.Generator) -> Array:
    """Shading of soft folds, about -2..2: light on the lamp's flank, dark on the other."""
    x, y = surface.picture_x, surface.picture_y
    total = 0.5 * cloudy(x.shape, 0.16 * surface.scale, rng)
    for (ax, ay), (bx, by), depth, width in DRAGS:
        dx, dy = bx - ax, by - ay
        t = np.clip(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy), -0.2, 1.2)
        across = ((x - ax) * dy - (y - ay) * dx) / np.hypot(dx, dy)
        across = across + 0.05 * np.sin(t * 5 + ax)
        swell = np.exp(-((t - 0.5) ** 2) / 0.16)
        off = (x - ax - t * dx) ** 2 + (y - ay - t * dy) ** 2
        total -= 2.6 * depth * swell * across / width * np.exp(-off / width**2) * np.sign(dy)
    return total
