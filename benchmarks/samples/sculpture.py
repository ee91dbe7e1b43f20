"""The sitter's head and shoulders as one smooth implicit surface, and how light meets it.

Units: one eye distance. Origin midway between the pupils, x to the picture's right, y down, z
towards the viewer. Distances are estimates, so tracing takes shortened steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Field = Callable[[Array, Array, Array], Array]
Vector = tuple[float, float, float]

STEP = 0.8  # share of the estimated distance that one tracing step dares to take
NEAR, FAR = 2.3, -2.2  # z where rays start and give up


def ellipsoid(x: Array, y: Array, z: Array, centre: Vector, radii: Vector) -> Array:
    """Estimate of the signed distance to an axis-aligned ellipsoid."""
    u, v, w = ((p - c) / r for p, c, r in zip((x, y, z), centre, radii, strict=True))
    near = np.sqrt(u * u + v * v + w * w) + 1e-6
    slope = np.sqrt((u / radii[0]) ** 2 + (v / radii[1]) ** 2 + (w / radii[2]) ** 2) + 1e-6
    return near * (near - 1) / slope


def capsule(
    x: Array, y: Array, z: Array, a: Vector, b: Vector, radii: tuple[float, float]
) -> Array:
    """Signed distance to a segment from a to b whose radius changes linearly."""
    d = np.subtract(b, a)
    t = ((x - a[0]) * d[0] + (y - a[1]) * d[1] + (z - a[2]) * d[2]) / float(d @ d)
    t = np.clip(t, 0, 1)
    gap = (x - a[0] - t * d[0]) ** 2 + (y - a[1] - t * d[1]) ** 2 + (z - a[2] - t * d[2]) ** 2
    return np.sqrt(gap) - (radii[0] + t * (radii[1] - radii[0]))


def join(a: Array, b: Array, k: float) -> Array:
    """Union of two distances, rounded over a width of k."""
    h = np.maximum(k - np.abs(a - b), 0) / k
    return np.minimum(a, b) - h * h * (k / 4)


def carve(a: Array, b: Array, k: float) -> Array:
    """Distance a with b removed, rounded over a width of k."""
    return -join(-a, b, k)


def bell(x: Array, y: Array, centre: tuple[float, float], widths: tuple[float, float]) -> Array:
    """Gaussian bump of height one."""
    return np.exp(-(((x - centre[0]) / widths[0]) ** 2) - ((y - centre[1]) / widths[1]) ** 2)


def skull_and_face(side: Array, y: Array, z: Array) -> Array:
    """Cranium, face oval, cheeks, jaw and chin; side is the absolute x."""
    d = ellipsoid(side, y, z, (0, -0.66, -0.22), (1.13, 1.24, 1.42))
    d = join(d, ellipsoid(side, y, z, (0, 0.46, 0.16), (0.97, 1.34, 1.00)), 0.50)
    d = join(d, ellipsoid(side, y, z, (0.60, 0.42, 0.55), (0.38, 0.30, 0.40)), 0.50)
    d = join(d, ellipsoid(side, y, z, (0.42, 0.82, 0.62), (0.36, 0.42, 0.42)), 0.50)
    d = join(d, ellipsoid(side, y, z, (0.30, 1.20, 0.44), (0.34, 0.36, 0.42)), 0.50)
    d = join(d, ellipsoid(side, y, z, (0, 1.62, 0.78), (0.27, 0.24, 0.30)), 0.55)
    return join(d, ellipsoid(side, y, z, (0, 1.08, 0.74), (0.40, 0.46, 0.47)), 0.45)


def sockets_and_lids(d: Array, side: Array, y: Array, z: Array) -> Array:
    """Brow ridge, hollows of the eyes and the balls under the lids."""
    d = join(d, capsule(side, y, z, (0.20, -0.30, 0.96), (0.70, -0.32, 0.74), (0.13, 0.12)), 0.40)
    d = carve(d, ellipsoid(side, y, z, (0.50, -0.03, 1.29), (0.40, 0.20, 0.33)), 0.24)
    d = carve(d, ellipsoid(side, y, z, (0.24, 0.0, 1.27), (0.12, 0.16, 0.16)), 0.22)
    return join(d, ellipsoid(side, y, z, (0.50, 0.005, 0.785), (0.28, 0.215, 0.235)), 0.14)


def nose(d: Array, side: Array, y: Array, z: Array) -> Array:
    """Bridge, tip, wings and nostrils."""
    d = join(d, capsule(side, y, z, (0, -0.16, 1.03), (0, 0.44, 1.34), (0.10, 0.115)), 0.28)
    d = join(d, ellipsoid(side, y, z, (0, 0.53, 1.41), (0.140, 0.120, 0.15)), 0.14)
    d = join(d, ellipsoid(side, y, z, (0.152, 0.592, 1.235), (0.098, 0.098, 0.15)), 0.12)
    d = join(d, capsule(side, y, z, (0, 0.58, 1.42), (0, 0.70, 1.22), (0.05, 0.05)), 0.08)
    return carve(d, ellipsoid(side, y, z, (0.088, 0.672, 1.36), (0.050, 0.030, 0.10)), 0.05)


def throat_and_shoulders(x: Array, y: Array, z: Array) -> Array:
    """Neck with its two tendons, and torso."""
    side = np.abs(x)
    d = capsule(side * 1.04, y, z * 0.95, (0, 1.0, -0.45), (0, 2.9, -0.55), (0.60, 0.66))
    torso = ellipsoid(side, y, z, (0, 4.45, -0.72), (2.75, 1.85, 0.98))
    torso = join(torso, ellipsoid(side, y, z, (2.15, 3.85, -0.75), (0.90, 0.86, 0.75)), 0.5)
    d = join(d, torso, 0.95)
    return join(d, capsule(side, y, z, (0.60, 1.2, -0.25), (0.12, 2.65, 0.02), (0.06, 0.05)), 0.28)


@dataclass(frozen=True)
class Pose:
    """Turn of the head about its vertical and forward axes, in radians.

    width, height: of the head, against the one that is sculpted.
    """

    yaw: float = 0.0
    roll: float = 0.0
    width: float = 1.0
    height: float = 1.0

    def to_head(self, x: Array, y: Array, z: Array) -> tuple[Array, Array, Array]:
        """Picture coordinates into the head's own; the pivot is the top of the neck."""
        cr, sr, cy, sy = np.cos(self.roll), np.sin(self.roll), np.cos(self.yaw), np.sin(self.yaw)
        y = y - 1.6
        x, y = (cr * x + sr * y).astype(np.float32), (cr * y - sr * x).astype(np.float32)
        z, x = (sy * x + cy * z).astype(np.float32), (cy * x - sy * z).astype(np.float32)
        return x / np.float32(self.width), y / np.float32(self.height) + 1.6, z


@dataclass(frozen=True)
class Sculpture:
    """The sitter: a posed head with relief (height over head x, y) on a still body."""

    pose: Pose
    relief: Callable[[Array, Array], Array]

    def head(self, x: Array, y: Array, z: Array) -> Array:
        """Distance to the head alone, picture coordinates in."""
        x, y, z = self.pose.to_head(x, y, z)
        side = np.abs(x)
        d = sockets_and_lids(skull_and_face(side, y, z), side, y, z)
        d = nose(d, side, y, z)
        return d - self.relief(x, y) * np.clip((z - 0.2) * 2, 0, 1)

    def __call__(self, x: Array, y: Array, z: Array) -> Array:
        return join(self.head(x, y, z), throat_and_shoulders(x, y, z), 0.10)


def trace(field: Field, x: Array, y: Array, *, steps: int = 70) -> tuple[Array, NDArray[np.bool_]]:
    """March parallel rays from the viewer; returns z and where something was hit (both (N,))."""
    z = np.full_like(x, NEAR)
    hit = np.zeros(x.shape, bool)
    active = np.arange(x.size)
    for _ in range(steps):
        d = field(x[active], y[active], z[active])
        z[active] -= STEP * d
        arrived = d < 0.0015
        hit[active[d < 0.02]] = True  # grazing rays may run out of steps just above the surface
        active = active[~arrived & (z[active] > FAR)]
        if active.size == 0:
            break
    return z, hit & (z > FAR)


def normals(field: Field, x: Array, y: Array, z: Array, *, eps: float = 0.006) -> Array:
    """Unit surface normals (N, 3) by the four-point tetrahedron difference."""
    total = np.zeros((x.size, 3), np.float32)
    for corner in ((1, -1, -1), (-1, -1, 1), (-1, 1, -1), (1, 1, 1)):
        cx, cy, cz = (np.float32(eps * c) for c in corner)
        total += field(x + cx, y + cy, z + cz)[:, None] * np.array(corner, np.float32)
    return total / (np.linalg.norm(total, axis=1, keepdims=True) + 1e-9)


def openness(field: Field, points: Array, normal: Array) -> Array:
    """How much of the sky a point sees, 0..1, from distances along its normal."""
    closed = np.zeros(points.shape[0], np.float32)
    for reach, weight in ((0.05, 1.4), (0.12, 1.0), (0.25, 0.65), (0.45, 0.38), (0.8, 0.18)):
        p = points + normal * np.float32(reach)
        closed += weight * np.maximum(reach - field(p[:, 0], p[:, 1], p[:, 2]), 0) / reach * 0.42
    return np.clip(1 - closed, 0, 1)


def sunlight(field: Field, points: Array, direction: Array, *, softness: float = 9.0) -> Array:
    """Share of a large lamp seen from each point, 0..1 (penumbra from the nearest miss)."""
    lit = np.ones(points.shape[0], np.float32)
    travel = np.full(points.shape[0], 0.05, np.float32)
    for _ in range(22):
        p = points + direction * travel[:, None]
        d = field(p[:, 0], p[:, 1], p[:, 2])
        lit = np.minimum(lit, 0.5 + 0.5 * softness * d / travel)
        travel += np.clip(d, 0.03, 0.22)
    lit = np.clip(lit, 0, 1)
    return lit * lit * (3 - 2 * lit)
