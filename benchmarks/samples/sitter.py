"""The invented people: what is theirs alone, from the turn of the head to the jumper."""

from __future__ import annotations

from dataclasses import dataclass

from .hair import Style
from .sculpture import Pose
from .skin import Tones, srgb


@dataclass(frozen=True)
class Sitter:
    """One of them.

    gaze: the irises against the turned head, eye distances. seed: of what is left to chance.
    """

    pose: Pose
    gaze: tuple[float, float]
    seed: int
    tones: Tones
    style: Style


FIRST = Sitter(
    pose=Pose(yaw=0.07, roll=0.040),
    gaze=(0.010, -0.002),
    seed=7,
    tones=Tones(
        skin=srgb(229, 184, 156),
        blush=srgb(214, 128, 110),
        shade=srgb(186, 150, 136),
        lip=srgb(190, 92, 88),
        iris_rim=srgb(34, 28, 24),
        iris=srgb(86, 62, 36),
        iris_glow=srgb(150, 112, 62),
        brow=srgb(70, 46, 34),
        brow_hair=srgb(48, 30, 22),
        wool=srgb(184, 126, 62),
        wool_shade=srgb(104, 58, 26),
    ),
    style=Style(root=srgb(20, 12, 10), body=srgb(62, 37, 25), sheen=srgb(206, 150, 98)),
)
SECOND = Sitter(
    pose=Pose(yaw=0.10, roll=-0.015, width=1.045, height=0.975),
    gaze=(-0.004, 0.0),
    seed=23,
    tones=Tones(
        skin=srgb(168, 112, 82),
        blush=srgb(156, 78, 60),
        shade=srgb(126, 84, 66),
        lip=srgb(148, 62, 62),
        iris_rim=srgb(16, 11, 9),
        iris=srgb(44, 26, 16),
        iris_glow=srgb(92, 56, 30),
        brow=srgb(34, 22, 18),
        brow_hair=srgb(16, 10, 9),
        wool=srgb(66, 116, 112),
        wool_shade=srgb(24, 52, 58),
    ),
    style=Style(root=srgb(8, 7, 8), body=srgb(30, 25, 26), sheen=srgb(128, 124, 130), ends=1.75),
)
