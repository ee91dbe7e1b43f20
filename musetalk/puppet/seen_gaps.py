"""How far a mouth is drawn open so that it is seen as far open as is asked.

A gap of 0.12 mouth widths shows as one on some faces and as shut lips on others, where pale teeth
or a reddish shade pass for lip; from there on it grows the faster, and the faster the rounder the
mouth is. So a puppet is looked at, once a clip, in some poses, and what the face mesh sees less or
more is made up for, within bounds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product, starmap
from pathlib import Path

import numpy as np

from ..face.mesh_networks import FaceMesh, MeshNetworks, mesh_networks
from ..lips.mesh_shape import lips_of_mesh
from ..source_frames import read_frames
from .lip_table import HIGHEST
from .playback import PuppetPlayback
from .pose import REST_WIDTH, Motion, MouthPose
from .puppet import Puppet

log = logging.getLogger("avatarvideo.musetalk.puppet.seen_gaps")

DRAWN = (0.05, 0.09, 0.13, 0.17, 0.2, 0.23, 0.28, 0.36)  # gaps that are looked at, mouth widths
ROUND_WIDTH = 0.8  # of a mouth that is looked at beside one at rest
WIDTHS = (ROUND_WIDTH, REST_WIDTH)
MOST_MORE, MOST_LESS = 0.1, 0.03  # mouth widths that are drawn more or less than is asked
MOST_TIMES = 3.0  # the gap that is asked for: lips that hardly part stay so
ASKED = np.linspace(0, HIGHEST, 53)
# A video codec blurs one frame into the next: gaps come out wider beside shut lips, peaks lower.
AIMED = ASKED + np.interp(ASKED, (0.06, 0.13, 0.26), (0, -0.005, 0.01))
LOOKS = 3  # frames of a video
APART = 20  # frames from one to the next


@dataclass(frozen=True, eq=False)
class SeenGaps:
    """drawn: for the gaps ASKED in mouths of both WIDTHS, float64 (2, 53), mouth widths."""

    drawn: np.ndarray

    def pose(self, pose: MouthPose) -> MouthPose:
        """Return the pose to draw so that this one is seen."""
        narrow, usual = (np.interp(pose.opening, ASKED, self.drawn[one]) for one in (0, 1))
        return pose._replace(opening=float(np.interp(pose.width, WIDTHS, (narrow, usual))))


@dataclass(frozen=True)
class SeenMotion:
    """A motion as it has to be drawn to be seen."""

    motion: Motion
    gaps: SeenGaps

    def at(self, frame: int) -> MouthPose:
        return self.gaps.pose(self.motion.at(frame))

    def gated(self, weight: np.ndarray) -> Motion:
        return SeenMotion(self.motion.gated(weight), self.gaps)


def gaps_of(readings: np.ndarray) -> SeenGaps:
    """Return what has to be drawn.

    readings: (n, 2, 8), of DRAWN above shut lips in mouths of both WIDTHS, mouth widths.
    """
    usual: np.ndarray = np.median(readings, axis=0)
    return SeenGaps(np.array([_drawn(seen) for seen in usual]))


def _drawn(seen: np.ndarray) -> np.ndarray:
    seen = np.maximum.accumulate(np.maximum(seen, 0))
    more = np.interp(AIMED, np.append(0, seen), np.append(0, np.array(DRAWN) - seen))
    drawn = AIMED + np.clip(more, -MOST_LESS, MOST_MORE)
    drawn = np.clip(drawn, 0, np.minimum(MOST_TIMES * ASKED, HIGHEST))
    return np.maximum.accumulate(drawn)


def seen_alike(
    playback: PuppetPlayback,
    numbers: np.ndarray,
    model_folders: Sequence[Path],
    check: Callable[[], None],
) -> PuppetPlayback:
    """Return a playback whose mouth the mesh sees as far open as its motion asks.

    numbers: int64 (N,), the avatar frames that are shown. check: raises where the run was
    cancelled. The playback itself where there is no mesh, as with lips that the user gave.
    """
    chosen = list(islice(_with_mesh(playback, numbers), LOOKS))
    networks = mesh_networks(model_folders) if chosen else None
    if networks is None:
        return playback
    readings = [each for each in _readings(playback, chosen, networks, check) if each is not None]
    if not readings:
        return playback
    gaps = gaps_of(np.array(readings))
    log.debug("gaps of %s mouth widths are drawn %s", ASKED[5::5], gaps.drawn[:, 5::5])
    return replace(playback, motion=SeenMotion(playback.motion, gaps))


def _with_mesh(playback: PuppetPlayback, numbers: np.ndarray) -> Iterator[int]:
    for index in numbers[::APART].tolist():
        if playback.shapes[index] is not None and playback.points_at(index) is not None:
            yield index


def _readings(
    playback: PuppetPlayback,
    chosen: Sequence[int],
    networks: MeshNetworks,
    check: Callable[[], None],
) -> Iterator[np.ndarray | None]:
    """Yield what is seen in the chosen frames, (2, 8) each; None where the mesh sees no mouth."""
    for index, frame in zip(chosen, read_frames(playback.avatar, np.array(chosen)), strict=True):
        puppet, points = playback.puppet_of(frame, index), playback.points_at(index)
        assert puppet is not None
        assert points is not None
        yield _reading(puppet, points, networks, check)


def _reading(
    puppet: Puppet, points: np.ndarray, networks: MeshNetworks, check: Callable[[], None]
) -> np.ndarray | None:
    square = FaceMesh(points, 1.0).square
    gaps: list[float] = []
    widths: list[float] = []
    for pose in (MouthPose(), *starmap(MouthPose, product(DRAWN, WIDTHS))):
        check()
        mesh = networks.look(puppet.render(pose), square)
        lips = None if mesh is None else lips_of_mesh(mesh.points)
        if lips is None:
            return None
        gaps.append(float((lips.curves[2] - lips.curves[1]).max()) * lips.width)
        widths.append(lips.width)
    above = (np.array(gaps[1:]) - gaps[0]) / widths[0]
    return above.reshape(len(DRAWN), len(WIDTHS)).T
