"""Bring a still picture to sRGB: by its profile, code points, its camera's word, or its gamma."""

from __future__ import annotations

import av
import numpy as np
from PIL import Image

from ..color import RgbConverter
from ..profiles import color_profile, profile_of_gif
from ..tone_map import HLG, PQ, Light
from .adobe_rgb import from_adobe_rgb, is_adobe_rgb, srgb_curve

_WIDE = (9, 11, 12)  # primaries, in FFmpeg's numbers
_USUAL_GAMMA = 1 / 2.2


def in_srgb(picture: Image.Image, head: bytes) -> tuple[Image.Image, str]:
    """Return a decoded picture in sRGB, and a sentence where it was not; alpha is kept.

    head: the first bytes of its file.
    """
    plain, alpha = _without_alpha(picture)
    mapped, note = _mapped(plain, head)
    if not note:
        return picture, ""
    if alpha is not None:
        mapped.putalpha(alpha)
    return mapped, note


def _without_alpha(picture: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Return the colours alone, and the alpha of a picture that has some in whatever form."""
    alpha = picture.convert("RGBA").getchannel("A") if picture.has_transparency_data else None
    if picture.mode in ("LA", "La"):
        return picture.convert("RGBA").getchannel("R"), alpha
    if picture.mode in ("P", "PA", "RGBA", "RGBa"):
        return picture.convert("RGBA").convert("RGB"), alpha
    return picture, alpha


def _mapped(plain: Image.Image, head: bytes) -> tuple[Image.Image, str]:
    if profile := plain.info.get("icc_profile") or profile_of_gif(head):
        return _by_profile(plain, profile)
    if (light := _stated_light(head)) is not None and plain.mode == "RGB":
        return _by_light(plain, light), light.note
    if plain.mode == "RGB" and is_adobe_rgb(plain):
        return from_adobe_rgb(plain), "The colours were converted from Adobe RGB to sRGB."
    gamma = plain.info.get("gamma")
    if gamma and "srgb" not in plain.info and plain.mode in ("RGB", "L"):
        return _by_gamma(plain, float(gamma))
    return plain, ""


def _by_profile(plain: Image.Image, data: bytes) -> tuple[Image.Image, str]:
    profile = color_profile(data, plain.mode)
    return (plain if profile.mapping is None else profile.mapping(plain)), profile.note


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
    frame = av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")
    return Image.fromarray(RgbConverter(picture.width, picture.height, light=light)(frame))


def _by_gamma(picture: Image.Image, gamma: float) -> tuple[Image.Image, str]:
    """Return a PNG as its gAMA says."""
    if not 0.1 <= gamma <= 10 or abs(gamma - _USUAL_GAMMA) < 0.02:
        return picture, ""
    linear = np.linspace(0, 1, 256) ** (1 / gamma)
    table = np.rint(255 * srgb_curve(linear)).astype(int).tolist()
    mapped = picture.point(table * len(picture.getbands()))
    return mapped, f"The picture's gamma, {gamma:g}, was converted to that of sRGB."
