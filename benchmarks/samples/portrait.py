"""The sample portrait, from sculpture to canvas."""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from . import brush, eyes, features, hair, setting, skin
from .sculpture import Array, Pose, Sculpture, normals, openness, sunlight, trace
from .sitter import FIRST, Sitter
from .skin import Surface, mix

EYE_DISTANCE, CENTRE = 0.1510, (0.5, 0.405)  # shares of the picture's side
EXPOSURE = 1.12


def scan(side: int, sitter: Sitter, *, closed: float = 0.0) -> Surface:
    """Trace the sitter into a square picture of ``side`` pixels."""
    scale = side * EYE_DISTANCE
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32)
    x = ((columns + 0.5 - side * CENTRE[0]) / scale).ravel()
    y = ((rows + 0.5 - side * CENTRE[1]) / scale).ravel()
    field = Sculpture(sitter.pose, partial(features.relief, closed=closed))
    z, hit = trace(field, x, y)
    index = np.flatnonzero(hit)
    points = np.stack([x, y, z], 1)[index]
    normal = normals(field, *points.T)
    head = np.stack(sitter.pose.to_head(x, y, z), 0)
    picture = {"sky": np.zeros(side * side, np.float32), "lit": np.zeros(side * side, np.float32)}
    picture["sky"][index] = openness(field, points, normal)
    picture["lit"][index] = sunlight(field, points + normal * np.float32(0.01), skin.KEY.direction)
    full = np.zeros((side * side, 3), np.float32)
    full[index] = normal
    shape = (side, side)
    return Surface(
        head[0].reshape(shape),
        head[1].reshape(shape),
        head[2].reshape(shape),
        full.reshape(*shape, 3),
        picture["sky"].reshape(shape),
        picture["lit"].reshape(shape),
        hit.astype(np.float32).reshape(shape),
        scale,
        x.reshape(shape),
        y.reshape(shape),
        sitter.tones,
    )


def to_pixels(points: Array, side: int, pose: Pose, depth: float = 0.0) -> Array:
    """Head-space points (P, 2) lying at ``depth`` before the ears, to pixels."""
    c, s = np.cos(pose.roll), np.sin(pose.roll)
    x = points[:, 0] * pose.width * np.cos(pose.yaw) + depth * np.sin(pose.yaw)
    y = (points[:, 1] - 1.6) * pose.height
    turned = np.stack([c * x - s * y, s * x + c * y + 1.6], 1)
    return turned * (side * EYE_DISTANCE) + side * np.array(CENTRE)


def strokes_over(
    picture: Array, strokes: list[eyes.Stroke], colour: Array, pose: Pose, *, depth: float
) -> Array:
    """Fine hairs over a linear picture."""
    side = picture.shape[0]
    cover = np.zeros((side, side), np.float32)
    for points, width, opacity in strokes:
        pixels = to_pixels(points, side, pose, depth)
        corner = np.floor(pixels.min(0)).astype(int) - 4
        size = np.ceil(pixels.max(0)).astype(int) + 6 - corner
        layer = np.zeros((size[1], size[0]), np.uint8)
        fixed = ((pixels - corner) * 16).round().astype(np.int32)
        thickness = max(1, round(width * side * EYE_DISTANCE))
        cv2.polylines(layer, [fixed[:4]], False, 255, thickness, cv2.LINE_AA, 4)
        cv2.polylines(layer, [fixed[3:]], False, 190, max(1, thickness - 1), cv2.LINE_AA, 4)
        box = np.s_[corner[1] : corner[1] + size[1], corner[0] : corner[0] + size[0]]
        cover[box] = 1 - (1 - cover[box]) * (1 - opacity * layer / 255)
    return mix(picture, colour, cover)


def to_srgb(picture: Array) -> NDArray[np.uint8]:
    """Linear RGB through a soft shoulder to 8-bit sRGB."""
    bright = picture * EXPOSURE
    bright = np.where(bright > 0.7, 0.7 + 0.3 * np.tanh((bright - 0.7) / 0.3), bright)
    return (np.clip(bright, 0, 1) ** (1 / 2.2) * 255).round().astype(np.uint8)


def face(surface: Surface, sitter: Sitter, *, closed: float, rng: np.random.Generator) -> Array:
    """Lit skin with lips, brows and eyes (linear RGB)."""
    pose, tones = sitter.pose, sitter.tones
    albedo = skin.paint_lips(skin.complexion(surface, rng), surface, rng)
    picture = skin.illuminate(surface, albedo) + skin.gloss(surface, rng)
    picture = mix(picture, tones.brow, 0.45 * eyes.brow_shadow(surface))
    picture = strokes_over(picture, eyes.brow_strokes(rng), tones.brow_hair, pose, depth=1.0)
    picture = eyes.paint_eyes(picture, surface, closed=closed, gaze=sitter.gaze)
    return strokes_over(picture, eyes.lash_strokes(closed, rng), skin.LASH, pose, depth=0.97)


def under_hair(picture: Array, cover: Array, surface: Surface, root: Array) -> Array:
    """Shadow that the hair throws on the skin, and the dark scalp below it."""
    scale = surface.scale
    push = np.array([[1, 0, 0.05 * scale], [0, 1, 0.09 * scale]], np.float32)
    shifted = cv2.warpAffine(cover, push, cover.shape[::-1])
    near = cv2.GaussianBlur(cover, (0, 0), 0.035 * scale)
    shadow = 0.50 * cv2.GaussianBlur(shifted, (0, 0), 0.075 * scale) + 0.30 * near
    tint = np.array([0.62, 0.76, 0.82], np.float32)
    picture = picture * (1 - np.clip(shadow, 0, 1)[..., None] * tint)
    scalp = cv2.GaussianBlur(cv2.dilate(cover, np.ones((5, 5))), (0, 0), 0.02 * scale)
    scalp = features.smooth(np.asarray(scalp, np.float32), 0.45, 1.0) * features.smooth(
        surface.picture_y, 1.6, 0.8
    )
    return mix(picture, root, scalp)


def hair_backing(surface: Surface, cover: Array, sitter: Sitter) -> Array:
    """Cover of the hair behind the neck and between the locks, 0..1."""
    side, scale = cover.shape[0], surface.scale
    low = 2.9 if sitter.style.ends is None else sitter.style.ends - 0.25
    behind = np.array([[-1.4, 0], [1.4, 0], [1.3, low], [-1.3, low]], np.float32)
    corners = to_pixels(behind, side, sitter.pose)
    neck = cv2.fillPoly(np.zeros((side, side), np.uint8), [corners.astype(np.int32)], 255)
    neck = cv2.GaussianBlur(neck.astype(np.float32) / 255, (0, 0), 0.05 * scale)
    gap = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (round(0.2 * scale) | 1,) * 2)
    between = cv2.morphologyEx(cover, cv2.MORPH_CLOSE, gap)
    between = cv2.erode(between, np.ones((9, 9)))  # the outline itself is drawn by strands
    return np.maximum(neck, between * features.smooth(surface.picture_y, 2.6, 2.0))


def render(side: int, sitter: Sitter = FIRST) -> NDArray[np.uint8]:
    """The finished portrait (side, side, 3)."""
    surface = scan(side, sitter)
    cover = covered(side, sitter)
    drawing = draw(surface, cover, sitter)
    detail = detail_map(surface, cover, sitter)
    return brush.paint(drawing, detail, np.random.default_rng(sitter.seed + 4))


def covered(side: int, sitter: Sitter) -> Array:
    """Where the sitter's hair will lie, 0..1."""
    place = partial(to_pixels, side=side, pose=sitter.pose)
    return hair.cover(side, place, np.random.default_rng(sitter.seed + 1), sitter.style)


def with_lids(portrait: NDArray[np.uint8], closed: tuple[float, ...]) -> list[NDArray[np.uint8]]:
    """The first sitter's portrait (H, H, 3), its lids so far closed, a picture for each value."""
    side = portrait.shape[0]
    cover = covered(side, FIRST)
    awake = draw(scan(side, FIRST), cover, FIRST).astype(np.int16)
    out = []
    for amount in closed:
        asleep = draw(scan(side, FIRST, closed=amount), cover, FIRST, closed=amount)
        moved = (np.abs(asleep - awake).max(2) > 5).astype(np.float32)
        moved = cv2.dilate(cv2.erode(moved, np.ones((2, 2))), np.ones((9, 9)))
        moved = cv2.GaussianBlur(moved, (0, 0), side / 256)[..., None]
        out.append((portrait + (asleep - portrait.astype(np.float32)) * moved).astype(np.uint8))
    return out


def detail_map(surface: Surface, cover: Array, sitter: Sitter) -> Array:
    """How closely the brush keeps to the drawing: 0 on the wall, 1 on eyes and lips."""
    x, y, side = surface.x, surface.y, np.abs(surface.x)
    below = surface.picture_y - setting.neckline(surface.picture_x)
    detail = 0.75 - 0.20 * features.smooth(below, 0.15, 0.30)
    locks = np.maximum(cv2.GaussianBlur(cover, (0, 0), 2.0), hair_backing(surface, cover, sitter))
    detail = np.maximum(detail * surface.mask, 0.62 * locks)
    detail = np.maximum(
        detail, 0.85 * features.smooth(np.hypot(x / 1.25, (y - 0.35) / 1.9), 1.1, 0.8)
    )
    eye = features.smooth(np.hypot((side - 0.5) / 0.42, (y + 0.05) / 0.26), 1.15, 0.75)
    lips = features.smooth(np.hypot(x / 0.52, (y - 1.12) / 0.26), 1.15, 0.8)
    nose = features.smooth(np.hypot(x / 0.3, (y - 0.62) / 0.16), 1.2, 0.8)
    close = np.maximum.reduce([eye, lips, 0.96 * nose])
    return np.maximum(detail, close).astype(np.float32)


def draw(
    surface: Surface, cover: Array, sitter: Sitter, *, closed: float = 0.0
) -> NDArray[np.uint8]:
    """The portrait as drawn, before brush and canvas; ``closed`` 1 is a blink."""
    side, seed, style = surface.x.shape[0], sitter.seed, sitter.style
    picture = face(surface, sitter, closed=closed, rng=np.random.default_rng(seed))
    place = partial(to_pixels, side=side, pose=sitter.pose)
    picture = setting.dress(surface, picture, np.random.default_rng(seed + 2))
    picture = under_hair(picture, cover, surface, style.root)
    mask = cv2.GaussianBlur(surface.mask, (0, 0), 0.7)
    wall = setting.wall(side, np.random.default_rng(seed + 3))
    back = mix(wall, style.root, hair_backing(surface, cover, sitter))
    canvas = to_srgb(mix(back, picture, np.asarray(mask, np.float32)))
    hair.draw(canvas, place, skin.KEY.direction, np.random.default_rng(seed + 1), style)
    return canvas
