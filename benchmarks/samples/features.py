"""Where the features of the face lie: lids, irises, brows and lips as curves over head x and y.

The same curves shape the surface (``relief``) and carry the colour, so edges of form and
paint agree. Units: eye distances, origin between the pupils, y down. ``side`` is the absolute x.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .sculpture import Array, bell

EYE_X, EYE_HALF_WIDTH = 0.50, 0.275
IRIS_RADIUS, PUPIL_RADIUS = 0.112, 0.044
MOUTH_Y, MOUTH_HALF_WIDTH = 1.115, 0.40


def smooth(value: Array, low: float | Array, high: float | Array) -> Array:
    """Smooth step from 0 at ``low`` to 1 at ``high`` (either order)."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


@dataclass(frozen=True)
class Lids:
    """Vertical positions over one eye, each (N,), and ``along`` from -1 (inner) to 1 (outer)."""

    along: Array
    upper: Array
    lower: Array
    crease: Array

    @property
    def opened(self) -> Array:
        """Height between the lids, 0 beyond the corners."""
        return np.maximum(self.lower - self.upper, 0)


def lids(side: Array, *, closed: float = 0.0) -> Lids:
    """Lid curves; ``closed`` 0 is the open eye, 1 a blink."""
    along = (side - EYE_X) / EYE_HALF_WIDTH
    inside = np.clip(1 - along * along, 0, 1)
    base = 0.012 - 0.017 * along
    lower = base + 0.074 * inside**0.85 * (1 + 0.22 * along)
    upper = base - 0.113 * inside**0.68 * (1 - 0.12 * along)
    upper = upper + closed * (lower - 0.010 * inside - upper)
    reach = np.clip(1 - (along / 1.18) ** 2, 0, 1)
    crease = base - (0.166 - 0.055 * closed) * reach**0.55 * (1 + 0.02 * along) + 0.012
    return Lids(along, upper, lower, crease)


@dataclass(frozen=True)
class Lips:
    """Borders of the closed lips, each (N,), and ``along`` from -1 to 1 between the corners."""

    along: Array
    upper: Array
    seam: Array
    lower: Array


def lips(x: Array) -> Lips:
    """Lip curves: a shallow cupid's bow, full lower lip, corners turned up a little."""
    along = x / MOUTH_HALF_WIDTH
    inside = np.clip(1 - along * along, 0, 1)
    base = MOUTH_Y + 0.006 - 0.036 * np.abs(along) ** 2.6
    seam = base + 0.012 * np.exp(-((along / 0.20) ** 2))
    seam = seam - 0.008 * np.exp(-(((np.abs(along) - 0.42) / 0.22) ** 2))
    bow = 0.022 * np.exp(-((along / 0.14) ** 2)) - 0.010 * np.exp(
        -(((np.abs(along) - 0.27) / 0.2) ** 2)
    )
    upper = base - 0.108 * inside**0.85 + bow * inside
    lower = base + 0.152 * inside**0.60
    return Lips(along, upper, seam, lower)


def mouth_relief(x: Array, y: Array) -> Array:
    """Height of lips, seam, philtrum and the hollow above the chin."""
    mouth = lips(x)
    inside = np.clip(1 - mouth.along**2, 0, 1)
    up = np.clip((mouth.seam - y) / (mouth.seam - mouth.upper + 1e-3), 0, 1)
    down = np.clip((y - mouth.seam) / (mouth.lower - mouth.seam + 1e-3), 0, 1)
    full = np.sqrt(inside)
    height = 0.040 * full * np.sin(np.pi * up**0.8) + 0.062 * full * np.sin(np.pi * down**0.75)
    height += 0.008 * full * np.exp(-(((y - mouth.upper + 0.012) / 0.020) ** 2))
    fade = smooth(np.abs(mouth.along), 1.12, 0.90)
    height -= 0.020 * fade * np.exp(-(((y - mouth.seam) / 0.016) ** 2))
    side = np.abs(x)
    height -= 0.022 * bell(side, y, (MOUTH_HALF_WIDTH + 0.03, MOUTH_Y - 0.01), (0.045, 0.06))
    height -= 0.040 * bell(x, y, (0, 1.37), (0.26, 0.075))
    height -= 0.014 * bell(x, y, (0, 0.87), (0.045, 0.13))
    return height + 0.007 * bell(side, y, (0.085, 0.90), (0.030, 0.12))


def eye_relief(side: Array, y: Array, closed: float) -> Array:
    """Height of the lids over the eyeball, their crease and the soft bag below."""
    eye = lids(side, closed=closed)
    within = smooth(np.abs(eye.along), 1.25, 0.85)
    over = y - eye.upper
    height = 0.020 * within * smooth(over, 0.004, -0.008) * smooth(over, -0.11, -0.02)
    height -= 0.024 * within * np.exp(-(((y - eye.crease) / 0.020) ** 2))
    under = y - eye.lower
    height += 0.008 * within * smooth(under, -0.002, 0.012) * smooth(under, 0.09, 0.02)
    return height - 0.006 * within * np.exp(-(((under - 0.085) / 0.030) ** 2))


def relief(x: Array, y: Array, *, closed: float = 0.0) -> Array:
    """Height over the bare head at head x and y."""
    side = np.abs(x)
    fold = np.abs((side - 0.30) - (y - 0.62) * 0.42)
    fold = np.exp(-((fold / 0.06) ** 2)) * bell(side, y, (0.38, 0.80), (0.25, 0.22))
    # The crease that sets the wing of the nose off from the cheek.
    wing = np.hypot((side - 0.150) / 0.112, (y - 0.595) / 0.105)
    wing = np.exp(-(((wing - 1) / 0.16) ** 2)) * smooth(side, 0.16, 0.24) * smooth(y, 0.49, 0.58)
    height = mouth_relief(x, y) + eye_relief(side, y, closed) - 0.012 * fold - 0.010 * wing
    return height.astype(np.float32)
