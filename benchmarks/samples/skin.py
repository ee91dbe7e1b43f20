"""Colour of skin and lips over the sculpture, and the light on them (linear RGB)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from . import features
from .sculpture import Array, bell


def srgb(red: int, green: int, blue: int) -> Array:
    """An 8-bit sRGB colour as linear RGB (3,)."""
    return (np.array([red, green, blue], np.float32) / 255) ** np.float32(2.2)


def mix(a: Array, b: Array, amount: Array) -> Array:
    """Blend colours a to b; ``amount`` (H, W) or scalar."""
    amount = np.asarray(amount, np.float32)
    amount = amount[..., None] if amount.ndim else amount
    return a + (b - a) * amount


LIP_DARK = srgb(88, 30, 32)
SCLERA, CARUNCLE = srgb(226, 214, 204), srgb(206, 138, 124)
LASH = srgb(34, 22, 18)


@dataclass(frozen=True)
class Tones:
    """A sitter's own colours (linear RGB): skin, lips, irises, brows and jumper."""

    skin: Array
    blush: Array
    shade: Array
    lip: Array
    iris_rim: Array
    iris: Array
    iris_glow: Array
    brow: Array
    brow_hair: Array
    wool: Array
    wool_shade: Array


@dataclass(frozen=True)
class Light:
    """A lamp: direction towards it, colour (linear RGB)."""

    direction: Array
    colour: Array

    @classmethod
    def at(cls, x: float, y: float, z: float, colour: tuple[float, float, float]) -> Light:
        direction = np.array([x, y, z], np.float32)
        return cls(direction / np.linalg.norm(direction), np.array(colour, np.float32))


KEY = Light.at(-0.58, -0.60, 0.64, (1.06, 0.98, 0.88))
FILL = Light.at(0.75, -0.05, 0.65, (0.15, 0.17, 0.20))
RIM = Light.at(0.92, -0.25, -0.30, (0.30, 0.32, 0.34))
SKY, GROUND = np.array([0.17, 0.185, 0.21], np.float32), np.array([0.13, 0.085, 0.07], np.float32)
# Light scattered under skin reaches further round the form in red than in blue.
WRAP = (0.26, 0.13, 0.07)
SCATTER = (0.026, 0.013, 0.008)  # blur of the normals per channel, in eye distances


@dataclass(frozen=True)
class Surface:
    """What tracing found, as pictures: head coordinates, normals, openness, lamp light, mask."""

    x: Array
    y: Array
    z: Array
    normal: Array
    open_sky: Array
    lit: Array
    mask: Array
    scale: float  # pixels per eye distance
    picture_x: Array
    picture_y: Array
    tones: Tones


def blurred(picture: Array, mask: Array, sigma: float) -> Array:
    """Gaussian blur that does not drag in what lies outside the mask."""
    weight = cv2.GaussianBlur(mask, (0, 0), sigma) + 1e-4
    masked = picture * (mask if picture.ndim == 2 else mask[..., None])
    total = cv2.GaussianBlur(masked, (0, 0), sigma)
    return total / (weight if picture.ndim == 2 else weight[..., None])


def cloudy(shape: tuple[int, int], sigma: float, rng: np.random.Generator) -> Array:
    """Smooth noise of unit deviation."""
    small = max(1, int(sigma / 4))
    size = (shape[0] // small + 2, shape[1] // small + 2)
    noise = cv2.GaussianBlur(rng.standard_normal(size).astype(np.float32), (0, 0), sigma / small)
    noise = cv2.resize(noise, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return (noise - noise.mean()) / noise.std()


def complexion(surface: Surface, rng: np.random.Generator) -> Array:
    """Albedo of bare skin (H, W, 3): warm cheeks and nose, cooler jaw and eye hollows."""
    x, y, side = surface.x, surface.y, np.abs(surface.x)
    e = surface.scale
    mottle = cloudy(x.shape, 0.09 * e, rng) * 0.6 + cloudy(x.shape, 0.03 * e, rng) * 0.4
    blush = 0.40 * bell(side, y, (0.66, 0.54), (0.40, 0.30)) + 0.34 * bell(
        x, y, (0, 0.55), (0.15, 0.13)
    )
    blush += 0.16 * bell(x, y, (0, 1.66), (0.26, 0.16)) + 0.22 * bell(
        side, y, (0.17, 0.62), (0.09, 0.09)
    )
    blush += 0.20 * bell(side, y, (0.5, -0.06), (0.30, 0.13))
    tones = surface.tones
    colour = mix(tones.skin, tones.blush, np.clip(blush + 0.035 * mottle, 0, 1))
    cool = 0.32 * bell(side, y, (0.46, 0.17), (0.24, 0.07))
    cool += 0.08 * bell(side, y, (0.26, -0.02), (0.09, 0.14))
    cool += 0.22 * bell(side, y, (0.55, 1.45), (0.40, 0.30))
    colour = mix(colour, tones.shade, np.clip(cool, 0, 1))
    nostril = bell(side, y, (0.088, 0.682), (0.048, 0.026))
    colour = mix(colour, srgb(84, 34, 28), np.clip(1.2 * nostril - 0.15, 0, 0.9))
    return colour * (1 + 0.018 * mottle + 0.012 * cloudy(x.shape, 0.008 * e, rng))[..., None]


def paint_lips(colour: Array, surface: Surface, rng: np.random.Generator) -> Array:
    """Lips over the skin: soft borders, fine creases, a dark seam that ends at the corners."""
    x, y = surface.x, surface.y
    mouth = features.lips(x)
    soft = 0.014
    within = features.smooth(np.abs(mouth.along), 1.02, 0.93)
    amount = within * features.smooth(y, mouth.upper - soft, mouth.upper + soft)
    amount *= features.smooth(y, mouth.lower + soft, mouth.lower - soft)
    creases = cv2.GaussianBlur(
        rng.standard_normal(x.shape).astype(np.float32),
        (0, 0),
        sigmaX=0.010 * surface.scale,
        sigmaY=0.05 * surface.scale,
    )
    creases /= creases.std()
    top = features.smooth(y, mouth.seam + 0.02, mouth.seam - 0.02)
    tone = surface.tones.lip * (1 - 0.20 * top + 0.035 * creases)[..., None]
    colour = mix(colour, tone, 0.88 * amount)
    thick = 0.011 + 0.004 * np.exp(-((mouth.along / 0.3) ** 2))
    seam = np.exp(-(((y - mouth.seam) / thick) ** 2)) * features.smooth(
        np.abs(mouth.along), 1.06, 0.92
    )
    corner = bell(np.abs(x), y, (0.395, features.MOUTH_Y - 0.028), (0.034, 0.022))
    return mix(colour, LIP_DARK, np.clip(0.9 * seam + 0.45 * corner, 0, 0.93))


def shine(normal: Array, light: Light, power: float) -> Array:
    """Blinn highlight for a viewer straight ahead."""
    half = light.direction + np.array([0, 0, 1], np.float32)
    return np.clip(normal @ (half / np.linalg.norm(half)), 0, 1) ** power


def illuminate(surface: Surface, albedo: Array) -> Array:
    """Skin under the three lamps and the room (linear RGB)."""
    out = np.empty_like(albedo)
    for c in range(3):
        n = blurred(surface.normal, surface.mask, SCATTER[c] * surface.scale)
        lit = blurred(surface.lit, surface.mask, (SCATTER[c] * 0.9) * surface.scale)
        n = n / (np.linalg.norm(n, axis=2, keepdims=True) + 1e-6)
        key = np.clip((n @ KEY.direction + WRAP[c]) / (1 + WRAP[c]), 0, 1) * lit
        fill = np.clip((n @ FILL.direction + 0.35) / 1.35, 0, 1)
        rim = np.clip(n @ RIM.direction, 0, 1) ** 1.5
        room = SKY[c] + (GROUND[c] - SKY[c]) * (0.5 + 0.5 * n[..., 1])
        # Openings between skin glow red rather than grey.
        hollow = surface.open_sky ** (1.0, 1.5, 1.6)[c]
        out[..., c] = albedo[..., c] * (
            KEY.colour[c] * key
            + FILL.colour[c] * fill
            + RIM.colour[c] * rim * surface.open_sky
            + room * hollow
        )
    return out


def gloss(surface: Surface, rng: np.random.Generator) -> Array:
    """Highlights of skin and lips to add (H, W, 3)."""
    x, y, side = surface.x, surface.y, np.abs(surface.x)
    grain = cloudy(x.shape, 0.006 * surface.scale, rng)
    oily = (
        0.35 + 0.65 * bell(x, y, (0, 0.45), (0.14, 0.35)) + 0.4 * bell(x, y, (0, -0.8), (0.7, 0.4))
    )
    oily += 0.35 * bell(side, y, (0.6, 0.3), (0.25, 0.2)) + 0.25 * bell(
        x, y, (0, 1.62), (0.2, 0.15)
    )
    soft = shine(surface.normal, KEY, 14) * 0.085 * oily
    soft += shine(surface.normal, KEY, 55) * 0.10 * oily * np.clip(1 + 0.25 * grain, 0, 2)
    mouth = features.lips(x)
    wet = features.smooth(y, mouth.upper, mouth.upper + 0.02) * features.smooth(
        y, mouth.lower, mouth.lower - 0.02
    )
    soft += shine(surface.normal, KEY, 40) * 0.16 * wet * (np.abs(mouth.along) < 1)
    soft += shine(surface.normal, FILL, 30) * 0.02 * oily
    return (soft * surface.lit * surface.open_sky)[..., None] * KEY.colour
