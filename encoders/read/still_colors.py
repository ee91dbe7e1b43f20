"""Bring a still picture to sRGB: by its profile, the code points in its file, or its gamma."""

from __future__ import annotations

import io
import itertools

import av
import numpy as np
from PIL import Image, ImageCms

from ..color import RgbConverter
from ..tone_map import HLG, PQ, Light

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# Pillow does not say what createProfile returns.

_WIDE = (9, 11, 12)  # primaries, in FFmpeg's numbers
SAME = 2.5  # of 255; a profile that changes less is one of sRGB's many spellings
_USUAL_GAMMA = 1 / 2.2
_CUBE = np.array(list(itertools.product(range(0, 256, 51), repeat=3)), np.uint8)[None]


def in_srgb(picture: Image.Image, head: bytes) -> tuple[Image.Image, str]:
    """Return a decoded picture in sRGB, and a sentence where it was not; alpha is kept.

    head: the first bytes of its file.
    """
    if picture.mode in ("P", "PA"):
        transparent = picture.has_transparency_data
        picture = picture.convert("RGBA" if transparent else "RGB")
    if profile := picture.info.get("icc_profile"):
        return _by_profile(picture, profile)
    if (light := _stated_light(head)) is not None and picture.mode in ("RGB", "RGBA"):
        return _with_alpha(picture, _by_light(picture, light)), light.note
    gamma = picture.info.get("gamma")
    if gamma and "srgb" not in picture.info and picture.mode in ("RGB", "RGBA", "L"):
        return _by_gamma(picture, float(gamma))
    return picture, ""


def _by_profile(picture: Image.Image, profile: bytes) -> tuple[Image.Image, str]:
    plain = picture.convert("RGB") if picture.mode == "RGBA" else picture
    target = "L" if picture.mode == "L" else "RGB"
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        srgb = ImageCms.createProfile("sRGB")
        if plain.mode == "L":
            return picture, ""  # greys of a profile differ by their gamma at most
        to_srgb = ImageCms.buildTransform(own, srgb, plain.mode, target)
        if plain.mode == "RGB" and _is_near_srgb(to_srgb):
            return picture, ""
        name = " ".join(ImageCms.getProfileDescription(own).split())[:60]
        mapped = ImageCms.applyTransform(plain, to_srgb)
    except (ImageCms.PyCMSError, ImportError, OSError, ValueError):
        return picture, "The picture's colour profile cannot be read: its colours were left alone."
    if mapped is None:
        return picture, ""
    return _with_alpha(picture, mapped), f"The colours were brought from {name} to sRGB."


def _is_near_srgb(transform: ImageCms.ImageCmsTransform) -> bool:
    mapped = ImageCms.applyTransform(Image.fromarray(_CUBE), transform)
    return mapped is not None and np.abs(np.asarray(mapped) - _CUBE.astype(float)).max() <= SAME


def _stated_light(head: bytes) -> Light | None:
    """Return what code points of an AVIF, a HEIC or a PNG say; None for ordinary ones."""
    for mark in (b"colrnclx", b"cICP"):
        at = head.find(mark)
        if at < 0:
            continue
        at += len(mark)
        step = 2 if mark == b"colrnclx" else 1
        primaries, transfer = (
            int.from_bytes(head[at + n * step : at + (n + 1) * step], "big") for n in range(2)
        )
        if transfer in (PQ, HLG) or primaries in _WIDE:
            return Light(primaries, transfer)
    return None


def _by_light(picture: Image.Image, light: Light) -> Image.Image:
    frame = av.VideoFrame.from_ndarray(np.asarray(picture.convert("RGB")), format="rgb24")
    return Image.fromarray(RgbConverter(picture.width, picture.height, light=light)(frame))


def _by_gamma(picture: Image.Image, gamma: float) -> tuple[Image.Image, str]:
    """Return a PNG as its gAMA says."""
    if not 0.1 <= gamma <= 10 or abs(gamma - _USUAL_GAMMA) < 0.02:
        return picture, ""
    linear = np.linspace(0, 1, 256) ** (1 / gamma)
    curve = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    table = np.rint(255 * curve).astype(int).tolist()
    bands = len(picture.getbands())
    mapped = picture.point(table * min(bands, 3) + list(range(256)) * (bands > 3))
    return mapped, f"The picture's gamma, {gamma:g}, was brought to that of sRGB."


def _with_alpha(picture: Image.Image, mapped: Image.Image) -> Image.Image:
    if picture.mode == "RGBA":
        mapped.putalpha(picture.getchannel("A"))
    return mapped
