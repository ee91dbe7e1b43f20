"""The sample portrait, from sculpture to canvas."""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from . import eyes, features, hair, skin
from .sculpture import Array, Pose, Sculpture, normals, openness, sunlight, trace
from .skin import Surface, mix, srgb

POSE = Pose(yaw=0.05, roll=0.022)
EYE_DISTANCE, CENTRE = 0.1510, (0.5, 0.405)  # shares of the picture's side


def scan(side: int, *, closed: float = 0.0) -> Surface:
    """Trace the sitter into a square picture of ``side`` pixels."""
    scale = side * EYE_DISTANCE
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32)
    x = ((columns + 0.5 - side * CENTRE[0]) / scale).ravel()
    y = ((rows + 0.5 - side * CENTRE[1]) / scale).ravel()
    field = Sculpture(POSE, partial(features.relief, closed=closed))
    z, hit = trace(field, x, y)
    index = np.flatnonzero(hit)
    points = np.stack([x, y, z], 1)[index]
    normal = normals(field, *points.T)
    head = np.stack(POSE.to_head(x, y, z), 0)
    picture = {"sky": np.zeros(side * side, np.float32), "lit": np.zeros(side * side, np.float32)}
    picture["sky"][index] = openness(field, points, normal)
    picture["lit"][index] = sunlight(field, points + normal * np.float32(0.01), skin.KEY.direction)
    full = np.zeros((side * side, 3), np.float32)
    full[index] = normal
    shape = (side, side)
    return Surface(
        *(head[i].reshape(shape) for i in range(3)),
        full.reshape(*shape, 3),
        picture["sky"].reshape(shape),
        picture["lit"].reshape(shape),
        hit.astype(np.float32).reshape(shape),
        scale,
    )


def to_pixels(points: Array, side: int, depth: float = 0.0) -> Array:
    """Head-space points (P, 2) lying at ``depth`` before the ears, to pixels."""
    c, s = np.cos(POSE.roll), np.sin(POSE.roll)
    x = points[:, 0] * np.cos(POSE.yaw) + depth * np.sin(POSE.yaw)
    y = points[:, 1] - 1.6
    turned = np.stack([c * x - s * y, s * x + c * y + 1.6], 1)
    return turned * (side * EYE_DISTANCE) + side * np.array(CENTRE)


def draw_hair(
    canvas: NDArray[np.uint8], mask: NDArray[np.uint8], rng: np.random.Generator, per_lock: int = 90
) -> None:
    """Draw all strands onto an 8-bit sRGB canvas and their cover onto ``mask``."""
    side = canvas.shape[0]
    guides = hair.Guides()
    thick = max(1, round(side / 1100))
    for lock in hair.locks(rng):
        for offset in rng.permutation(np.linspace(-1, 1, per_lock)):
            path = hair.strand(guides, lock, float(offset), rng)
            colour = hair.strand_colour(
                path, lock, float(offset), float(rng.normal()), skin.KEY.direction
            )
            colour = (np.clip(colour, 0, 1) ** (1 / 2.2) * 255).round()
            pixels = (to_pixels(path, side) * 16).round().astype(np.int32)
            cv2.polylines(mask, [pixels], False, 255, thick, cv2.LINE_AA, 4)
            for a, b, c in zip(pixels[:-1], pixels[1:], colour, strict=False):
                cv2.line(canvas, a.tolist(), b.tolist(), c.tolist(), thick, cv2.LINE_AA, 4)


def hair_cover(side: int, seed: int) -> Array:
    """Where hair will lie, 0..1, without colouring it."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((side, side), np.uint8)
    guides = hair.Guides()
    for lock in hair.locks(rng):
        for offset in np.linspace(-1, 1, 14):
            path = hair.strand(guides, lock, float(offset), rng)
            pixels = (to_pixels(path, side) * 16).round().astype(np.int32)
            cv2.polylines(mask, [pixels], False, 255, max(2, side // 140), cv2.LINE_AA, 4)
    return mask.astype(np.float32) / 255


def backdrop(side: int, rng: np.random.Generator) -> Array:
    """Loose grey-green wall, lighter behind the shaded cheek (linear RGB)."""
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32) / side
    glow = np.exp(-(((columns - 0.78) / 0.5) ** 2) - ((rows - 0.38) / 0.55) ** 2)
    wall = mix(srgb(58, 66, 66), srgb(150, 156, 142), np.clip(glow * 0.9, 0, 1))
    cloud = (
        skin.cloudy((side, side), side * 0.06, rng) * 0.6
        + skin.cloudy((side, side), side * 0.02, rng) * 0.4
    )
    return wall * (1 + 0.10 * cloud)[..., None]


def dress(surface: Surface, picture: Array, rng: np.random.Generator) -> Array:
    """Clothe the shoulders below a shallow round neckline."""
    side = picture.shape[0]
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32)
    x = (columns - side * CENTRE[0]) / surface.scale
    y = (rows - side * CENTRE[1]) / surface.scale
    edge = 2.98 - 0.42 * np.clip(np.abs(x) / 1.1, 0, 1.4) ** 2.2
    cloth = features.smooth(y, edge - 0.012, edge + 0.012) * surface.mask
    n = surface.normal
    key = np.clip((n @ skin.KEY.direction + 0.1) / 1.1, 0, 1) * surface.lit
    room = 0.20 * surface.open_sky
    folds = skin.cloudy((side, side), side * 0.035, rng)
    tone = srgb(196, 176, 150) * (key * 0.95 + room + 0.05 * folds * (0.3 + key))[..., None]
    hem = np.exp(-(((y - edge - 0.05) / 0.02) ** 2))
    tone = tone * (1 - 0.25 * hem)[..., None]
    shade = 1 - 0.5 * np.exp(-np.clip(edge - y, 0, 1) / 0.05) * (y < edge)
    return mix(picture * shade[..., None], tone, cloth)


def strokes_over(
    picture: Array, strokes: list[tuple[Array, float, float]], colour: Array, depth: float
) -> Array:
    """Fine hairs over a linear picture; each stroke is head-space points, width, opacity."""
    side = picture.shape[0]
    cover = np.zeros((side, side), np.float32)
    for points, width, opacity in strokes:
        layer = np.zeros((side, side), np.uint8)
        pixels = to_pixels(points, side, depth)
        box = np.s_[
            int(pixels[:, 1].min()) - 4 : int(pixels[:, 1].max()) + 6,
            int(pixels[:, 0].min()) - 4 : int(pixels[:, 0].max()) + 6,
        ]
        fixed = (pixels * 16).round().astype(np.int32)
        thickness = max(1, round(width * side * EYE_DISTANCE))
        cv2.polylines(layer, [fixed[:4]], False, 255, thickness, cv2.LINE_AA, 4)
        cv2.polylines(layer, [fixed[3:]], False, 190, max(1, thickness - 1), cv2.LINE_AA, 4)
        cover[box] = 1 - (1 - cover[box]) * (1 - opacity * layer[box] / 255)
    return mix(picture, colour, cover)


def to_srgb(picture: Array) -> NDArray[np.uint8]:
    """Linear RGB through a soft shoulder to 8-bit sRGB."""
    bright = picture * 1.12
    bright = np.where(bright > 0.7, 0.7 + 0.3 * np.tanh((bright - 0.7) / 0.3), bright)
    return (np.clip(bright, 0, 1) ** (1 / 2.2) * 255).round().astype(np.uint8)


def render(side: int, *, closed: float = 0.0, seed: int = 7) -> NDArray[np.uint8]:
    """The whole portrait (side, side, 3), before canvas and strokes."""
    rng = np.random.default_rng(seed)
    surface = scan(side, closed=closed)
    albedo = skin.paint_lips(skin.complexion(surface, rng), surface, rng)
    picture = skin.illuminate(surface, albedo) + skin.gloss(surface, rng)
    brow_base = brow_shadow(surface)
    picture = mix(picture, srgb(70, 46, 34), 0.42 * brow_base)
    picture = strokes_over(picture, eyes.brow_strokes(rng), srgb(48, 30, 22), 1.0)
    picture = eyes.paint_eyes(picture, surface, closed=closed, gaze=(0.012, 0.0), rng=rng)
    picture = strokes_over(picture, eyes.lash_strokes(closed, rng), skin.LASH, 0.97)
    cover = hair_cover(side, seed)
    e = surface.scale
    shifted = cv2.warpAffine(cover, np.float32([[1, 0, 0.05 * e], [0, 1, 0.09 * e]]), (side, side))
    shadow = (
        cv2.GaussianBlur(shifted, (0, 0), 0.075 * e) * 0.55
        + cv2.GaussianBlur(cover, (0, 0), 0.03 * e) * 0.25
    )
    picture = picture * (
        1 - np.clip(shadow, 0, 1)[..., None] * np.array([0.62, 0.75, 0.80], np.float32)
    )
    picture = dress(surface, picture, rng)
    wall = backdrop(side, rng)
    mask = cv2.GaussianBlur(surface.mask, (0, 0), 0.7)
    picture = mix(wall, picture, mask)
    # Hair behind the neck.
    behind = cv2.GaussianBlur(
        cv2.fillPoly(
            np.zeros((side, side), np.uint8),
            [
                to_pixels(
                    np.float32([[-1.3, 0], [1.3, 0], [1.35, 3.3], [-1.35, 3.3]]), side
                ).astype(np.int32)
            ],
            255,
        ).astype(np.float32)
        / 255,
        (0, 0),
        0.05 * e,
    )
    picture = mix(picture, srgb(24, 15, 12), behind * (1 - mask))
    canvas = to_srgb(picture)
    draw_hair(canvas, np.zeros((side, side), np.uint8), np.random.default_rng(seed))
    return canvas


def brow_shadow(surface: Surface) -> Array:
    """Soft tone under the brow hairs."""
    side = np.abs(surface.x)
    u = np.clip((side - 0.215) / 0.66, 0, 1)
    arch = (
        -0.300
        - 0.085 * np.sin(np.pi * np.minimum(u / 1.25, 1.0)) ** 1.2
        + 0.165 * np.maximum(u - 0.62, 0)
    )
    half = 0.058 * (1 - 0.72 * u) * (0.55 + 0.45 * np.minimum(u / 0.15, 1))
    inside = features.smooth(side, 0.17, 0.27) * features.smooth(side, 0.90, 0.80)
    return inside * features.smooth(np.abs(surface.y - arch - 0.02), half * 1.25, half * 0.3)
