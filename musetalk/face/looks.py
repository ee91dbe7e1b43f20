"""What a face looks like: light and colour of its upper half, cut out upright by the mesh.

The mouth is left out, as it speaks. Brightness and contrast count for nothing, so that a lamp or
the exposure changes nobody's look.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from ...media import Box
from ..lips.frame import FaceFrame, upright_patch

REGION = Box(-0.3, -0.36, 0.3, 0.08)  # of the mesh's square: from the hair to below the eyes
PIXELS = 24  # a side of that square
FLATTEST = 4.0  # levels of L*: less contrast is noise
MIDDLE_LIGHT, LEAST_LIGHT = 50.0, 10.0  # L* that colours are brought to
# The differences that count as much as each other: 1 - correlation of the light, and Lab colours.
LIGHT_UNIT, COLOUR_UNIT = 0.1, 8.0

# Four portraits are 0.76 to 2.5 apart; one of them in other sizes (60 to 200 pixels), light and
# before other backgrounds 0.12 (median) to 0.50.
LIKE = 0.65  # at most that far apart two looks may be of one person
UNLIKE = 1.0  # from here on they are of two
CLEARLY = 0.6  # of the distance to everybody else, for a look to be told from theirs
# A head that turns is less and less like itself: 10 degrees to a side are 0.06 of ``turn``, and 0.6
# to 0.9 of difference, 30 degrees 0.17 and 1.3 to 2.0.
UNLIKE_PER_TURN, FREE_TURN = 16.0, 0.02


class Look(NamedTuple):
    """One face in one frame. light: float32 (N,), mean 0. colour: float32 (N, 2).

    turn: of the head to a side, as ``FaceMesh.turn``.
    """

    light: np.ndarray
    colour: np.ndarray
    turn: float = 0.0


def look_of(picture: np.ndarray, square: FaceFrame, turn: float = 0.0) -> Look:
    """Return the look of a face in a uint8 RGB picture. square: what the mesh looks at."""
    patch = upright_patch(picture, square, region=REGION, pixels_per_eye=PIXELS)
    soft = cv2.GaussianBlur(patch, (0, 0), 1.0).astype(np.float32) / np.float32(255)
    lab = cv2.cvtColor(soft, cv2.COLOR_RGB2LAB).reshape(-1, 3)
    light = lab[:, 0]
    bright = float(light.mean())
    colour = lab[:, 1:] * np.float32(MIDDLE_LIGHT / (bright + LEAST_LIGHT))
    return Look((light - bright) / np.float32(float(light.std()) + FLATTEST), colour, turn)


def difference(one: Look, other: Look) -> float:
    """Return how unlike two looks are: 0 alike, see LIKE and UNLIKE."""
    strength = math.sqrt(float((one.light**2).mean()) * float((other.light**2).mean()))
    likeness = float((one.light * other.light).mean()) / max(strength, 1e-6)
    colour = float(np.hypot(*(one.colour - other.colour).T).mean())
    return math.sqrt(max(0.0, 1 - likeness) / LIGHT_UNIT + (colour / COLOUR_UNIT) ** 2)


def unlikeness(some: Sequence[Look], others: Sequence[Look]) -> float:
    """Return how unlike two people are by all their looks; infinite where one has none.

    Each look is held against the most alike of the other's, as people turn their heads.
    """
    if not some or not others:
        return math.inf
    fewer, more = (some, others) if len(some) <= len(others) else (others, some)
    return float(np.median([min(difference(one, each) for each in more) for one in fewer]))


def is_anothers(look: Look, known: Sequence[Look]) -> bool:
    """Say whether a look is unlike all that are known of a person, more than turning explains."""
    return bool(known) and all(difference(look, each) > _explained(look, each) for each in known)


def _explained(one: Look, other: Look) -> float:
    """Return how unlike two looks of one person may be, by how the head turned between them."""
    return LIKE + UNLIKE_PER_TURN * max(abs(one.turn - other.turn) - FREE_TURN, 0.0)


def is_told(own: float, others: float) -> bool:
    """Say whether a look so unlike a person is theirs, and not of others who are so unlike it."""
    return own <= LIKE < others and own <= CLEARLY * others
