"""Hair as some thousands of strands that follow guide curves, gathered into locks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .sculpture import Array
from .skin import srgb

ROOT, BODY, SHEEN = srgb(22, 13, 10), srgb(66, 40, 27), srgb(196, 140, 92)

# Control points from the parting to the ends, inner (beside the face) to outer (outline).
RIGHT = (
    (
        (-0.20, -1.36),
        (0.22, -1.25),
        (0.66, -0.92),
        (0.93, -0.35),
        (1.00, 0.30),
        (0.99, 1.00),
        (0.90, 1.70),
        (0.76, 2.35),
        (0.80, 3.00),
        (0.92, 3.55),
    ),
    (
        (-0.19, -1.52),
        (0.30, -1.47),
        (0.86, -1.06),
        (1.11, -0.40),
        (1.19, 0.30),
        (1.20, 1.05),
        (1.14, 1.80),
        (1.02, 2.45),
        (1.02, 3.05),
        (1.10, 3.60),
    ),
    (
        (-0.17, -1.76),
        (0.38, -1.80),
        (1.02, -1.34),
        (1.32, -0.55),
        (1.41, 0.25),
        (1.43, 1.05),
        (1.40, 1.85),
        (1.30, 2.55),
        (1.26, 3.15),
        (1.30, 3.65),
    ),
    (
        (-0.14, -1.93),
        (0.40, -2.02),
        (1.10, -1.60),
        (1.45, -0.75),
        (1.56, 0.15),
        (1.60, 1.05),
        (1.60, 1.95),
        (1.54, 2.65),
        (1.46, 3.20),
        (1.44, 3.65),
    ),
)
LEFT = (
    (
        (-0.24, -1.36),
        (-0.44, -1.25),
        (-0.76, -0.90),
        (-0.96, -0.35),
        (-1.00, 0.30),
        (-0.98, 1.00),
        (-0.90, 1.70),
        (-0.78, 2.35),
        (-0.84, 3.00),
        (-0.98, 3.55),
    ),
    (
        (-0.24, -1.52),
        (-0.52, -1.46),
        (-0.92, -1.06),
        (-1.13, -0.42),
        (-1.19, 0.30),
        (-1.19, 1.05),
        (-1.14, 1.80),
        (-1.05, 2.45),
        (-1.08, 3.05),
        (-1.18, 3.60),
    ),
    (
        (-0.23, -1.76),
        (-0.60, -1.76),
        (-1.08, -1.34),
        (-1.34, -0.58),
        (-1.41, 0.25),
        (-1.42, 1.05),
        (-1.39, 1.85),
        (-1.32, 2.55),
        (-1.32, 3.15),
        (-1.36, 3.65),
    ),
    (
        (-0.20, -1.93),
        (-0.66, -1.98),
        (-1.18, -1.58),
        (-1.47, -0.78),
        (-1.56, 0.15),
        (-1.59, 1.05),
        (-1.58, 1.95),
        (-1.55, 2.65),
        (-1.52, 3.20),
        (-1.50, 3.65),
    ),
)
SAMPLES = 72


def catmull_rom(points: Array, count: int) -> Array:
    """Smooth curve through points (P, 2), sampled ``count`` times."""
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    at = np.linspace(0, len(points) - 1 - 1e-6, count)
    i, t = at.astype(int), (at % 1)[:, None]
    p0, p1, p2, p3 = (padded[i + k] for k in range(4))
    return 0.5 * (
        2 * p1
        + (p2 - p0) * t
        + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2
        + (3 * p1 - p0 - 3 * p2 + p3) * t**3
    )


@dataclass(frozen=True)
class Lock:
    """One lock: centre line across the guides, its tone and wave."""

    side: int
    across: float
    width: float
    tone: float
    wave: float
    phase: float


def locks(rng: np.random.Generator, count: int = 34) -> list[Lock]:
    """Locks of both sides, outer ones first so that inner ones lie on top."""
    out = []
    for i in range(count):
        across = 1 - (i + 0.5) / count
        for side in (0, 1):
            a = float(np.clip(across + rng.normal(0, 0.025), 0, 1))
            out.append(
                Lock(
                    side,
                    a,
                    rng.uniform(0.035, 0.075),
                    rng.normal(0, 0.16),
                    rng.uniform(0.018, 0.045),
                    rng.uniform(0, 6.3),
                )
            )
    return out


class Guides:
    """Interpolates a strand's path between the drawn guides."""

    def __init__(self) -> None:
        self.curves = [
            np.stack([catmull_rom(np.array(g, np.float64), SAMPLES) for g in side])
            for side in (RIGHT, LEFT)
        ]

    def path(self, side: int, across: Array) -> Array:
        """Path (SAMPLES, 2) whose place between the guides may change along it."""
        at = np.clip(across, 0, 1) * (len(RIGHT) - 1 - 1e-6)
        i, t = at.astype(int), (at % 1)[:, None]
        rows = np.arange(SAMPLES)
        return self.curves[side][i, rows] * (1 - t) + self.curves[side][i + 1, rows] * t


def strand(guides: Guides, lock: Lock, offset: float, rng: np.random.Generator) -> Array:
    """One strand at ``offset`` (-1..1) within its lock."""
    t = np.linspace(0, 1, SAMPLES)
    gather = 0.35 + 0.9 * np.clip(1 - np.abs(t - 0.35) / 0.55, 0, 1)
    across = lock.across + lock.width * offset * gather + rng.normal(0, 0.006)
    path = guides.path(lock.side, across)
    sway = np.sin(t * 15 + lock.phase) * lock.wave * np.clip((t - 0.30) * 2.4, 0, 1.2)
    path[:, 0] += sway * (1 if lock.side == 0 else -1) + rng.normal(0, 0.004)
    path[:, 1] += rng.normal(0, 0.006)
    stop = int(SAMPLES * rng.uniform(0.90, 1.0))
    return path[:stop]


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


def strand_colour(path: Array, lock: Lock, offset: float, tone: float, lamp: Array) -> Array:
    """Linear colour along a strand (P, 3): hair reflects by its direction, not by its facing."""
    n = volume_normal(path)
    flat = np.gradient(path, axis=0)
    dz = -(n[:, 0] * flat[:, 0] + n[:, 1] * flat[:, 1]) / n[:, 2]
    tangent = np.concatenate([flat, dz[:, None]], 1)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9
    half = lamp + np.array([0, 0, 1])
    half /= np.linalg.norm(half)
    facing = np.clip(0.30 + 0.75 * (n @ lamp), 0, 1)
    along = np.sqrt(np.clip(1 - (tangent @ lamp) ** 2, 0, 1))
    sheen = np.sqrt(np.clip(1 - (tangent @ half + 0.04 * tone) ** 2, 0, 1)) ** 42
    round_lock = (
        1 - 0.45 * abs(offset) ** 1.5 - 0.18 * offset * np.sign(lamp[0]) * (-1 if lock.side else 1)
    )
    lit = facing * along * round_lock * (1 + 0.55 * lock.tone + 0.16 * tone)
    t = np.linspace(0, 1, len(path))
    root = np.clip(0.55 + t * 5, 0, 1)
    colour = ROOT + (BODY - ROOT) * np.clip(lit * 1.15, 0, 1.6)[:, None]
    colour = (
        colour
        + SHEEN
        * (0.30 * sheen * facing**1.5 * round_lock * (1 + 0.5 * lock.tone + 0.35 * tone))[:, None]
    )
    return np.clip(colour * root[:, None], 0, 1)
