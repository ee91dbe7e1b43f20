"""Mesh points of one shot, steadied: noise is averaged where a face rests, motion is kept.

Once the head's smooth motion is taken out, every frame is averaged with those around it whose
points lie as its own, up to the mesh's noise. A moving mouth finds no such frame: it stays as seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

NOISE = 0.002  # of one point of the mesh in distances of the outer eye corners: measured
REACH = 5  # frames to either side that are averaged
HEAD_REACH = 5  # frames to either side whose parabola is the head's smooth motion
BLOCK = 1000  # frames steadied at once


def steadied_points(points: np.ndarray, rigid: Sequence[int], judged: Sequence[int]) -> np.ndarray:
    """Return points float32 (N, K, 2) of one shot, steadied.

    rigid: which of them move with the head alone. judged: which of them tell whether two frames
    show the same; the others follow these.
    """
    steady = np.empty_like(points)
    margin = REACH + HEAD_REACH
    for first in range(0, len(points), BLOCK):
        begin, end = max(first - margin, 0), min(first + BLOCK, len(points))
        block = _steadied(points[begin : end + margin], list(rigid), list(judged))
        steady[first:end] = block[first - begin : end - begin]
    return steady


def _steadied(points: np.ndarray, rigid: list[int], judged: list[int]) -> np.ndarray:
    places = points[..., 0] + 1j * points[..., 1].astype(np.float64)
    turn, middle = (_smooth(each) for each in head_poses(places[:, rigid]))
    upright = (places - middle[:, None]) / turn[:, None]
    averaged = _averaged(upright, judged) * turn[:, None] + middle[:, None]
    return np.stack([np.real(averaged), np.imag(averaged)], axis=-1).astype(np.float32)


def head_poses(rigid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how a head is turned and scaled, and where it is, complex (N,), by points (N, K).

    The first two points are the outer eye corners; their mean distance in upright heads is 1.
    """
    middle = rigid.mean(axis=1)
    around = rigid - middle[:, None]
    shape = around[0] / (around[0, 1] - around[0, 0])
    for _ in range(2):
        turn = around @ shape.conj() / np.sum(np.abs(shape) ** 2)
        shape = (around / turn[:, None]).mean(axis=0)
        shape /= shape[1] - shape[0]
    return around @ shape.conj() / np.sum(np.abs(shape) ** 2), middle


def _smooth(values: np.ndarray) -> np.ndarray:
    """Return complex (N,): in every frame the parabola through those around it."""
    reach = min(HEAD_REACH, len(values) - 1)
    if reach < 2:
        return values
    powers = np.vander(np.arange(-reach, reach + 1.0), 3, increasing=True)
    weights = np.linalg.pinv(powers)[0]
    padded = np.pad(values, reach, mode="reflect", reflect_type="odd")
    return np.convolve(padded, weights, "valid")


def _averaged(upright: np.ndarray, judged: list[int]) -> np.ndarray:
    """Average complex (N, K) over near frames, each by how like it is."""
    sums, weights = upright.copy(), np.ones(len(upright))
    for step in range(1, min(REACH, len(upright) - 1) + 1):
        one, other = upright[:-step], upright[step:]
        apart = (np.abs(other[:, judged] - one[:, judged]) ** 2).mean(axis=1)
        likeness = np.exp(-np.maximum(apart / (2 * NOISE**2) - 2, 0))  # 1 is noise on both alone
        sums[:-step] += likeness[:, None] * other
        sums[step:] += likeness[:, None] * one
        weights[:-step] += likeness
        weights[step:] += likeness
    return sums / weights[:, None]
