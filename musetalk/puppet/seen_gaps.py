"""Looks at a puppet, once a clip, in some poses: how far open does the face mesh see its mouth?

What is seen less or more than is asked is made up for, within bounds (``gap_table.py``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product, starmap
from pathlib import Path

import numpy as np

from ...media import LipShape
from ..face.mesh_networks import FaceMesh, MeshNetworks, mesh_networks
from ..lips.mesh_shape import lips_of_mesh
from ..source_frames import read_frames
from .gap_table import ASKED, DRAWN, WIDTHS, gap_table
from .playback import PuppetPlayback
from .pose import MouthPose
from .puppet import Puppet

log = logging.getLogger("avatarvideo.musetalk.puppet.seen_gaps")

OWN = (0.0, 0.15, 0.3)  # gaps in the frames of a video that are looked at
FIRST = 100  # frames of a video with a face that they are chosen from


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
    chosen = _chosen(playback, numbers)
    networks = mesh_networks(model_folders) if chosen else None
    if networks is None:
        return playback
    looks = sorted(_looks(playback, chosen, networks, check), key=lambda look: look[0])
    if not looks:
        return playback
    own, readings = (np.array(column) for column in zip(*looks, strict=True))
    gaps = gap_table(own, readings, is_still=playback.avatar.frame_count == 1)
    log.debug("of gaps of %s, %s are drawn %s", own, ASKED[5::5], gaps.drawn[..., 5::5])
    return replace(playback, gaps=gaps)


def _chosen(playback: PuppetPlayback, numbers: np.ndarray) -> list[int]:
    """Return the avatar's frames to look at: of the first, those whose gaps are nearest to OWN."""
    gaps: dict[int, float] = {}
    for index in map(int, numbers):
        shape = playback.shapes[index]
        if shape is not None and playback.points_at(index) is not None:
            gaps[index] = _gap(shape)
        if len(gaps) == FIRST:
            break
    return sorted({min(gaps, key=lambda index: abs(gaps[index] - own)) for own in OWN if gaps})


def _gap(shape: LipShape) -> float:
    """Return how far lips are apart in the source, of their width."""
    return max(float((shape.curves[2] - shape.curves[1]).max()), 0.0) if shape.parted else 0.0


def _looks(
    playback: PuppetPlayback,
    chosen: Sequence[int],
    networks: MeshNetworks,
    check: Callable[[], None],
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield the source's gap in the chosen frames and what is seen there, (2, 8).

    Nothing for a frame in which the mesh sees no mouth.
    """
    for index, frame in zip(chosen, read_frames(playback.avatar, np.array(chosen)), strict=True):
        puppet, points = playback.puppet_of(frame, index), playback.points_at(index)
        assert puppet is not None
        assert points is not None
        seen = _reading(puppet, points, networks, check)
        if seen is not None:
            yield puppet.own_gap, seen


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
