"""Every frame of a video read once: the mouth in its head, and what the pixels say."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import cv2
import numpy as np

from ...errors import MediaError
from ...host.contract import Host
from ...media import Clip
from ..face.mesh_networks import MeshNetworks
from ..face.mesh_person import MeshPerson
from .faces import Crowd
from .mouth import Mouth, MouthTrack
from .pictures import change_outside, sharpness

SHARPNESS_SECONDS = 0.2  # how often it is measured
SAME_ASPECT = 0.01
OTHER_SHAPE = "The source has a different aspect ratio ({source}) from the video ({video})."


class Seen(NamedTuple):
    """What the pictures show: the mouth, several faces, and two numbers of each measured frame."""

    mouth: Mouth
    faces: int  # of like size, most of the time
    sharpness: list[float]
    change: list[float]
    shape_problem: str | None


def watched(clip: Clip, source: Clip | None, networks: MeshNetworks, host: Host) -> Seen:
    """Read every frame once, one at a time."""
    rate = float(clip.frame_rate)
    person = MeshPerson(networks, check=host.check_cancelled, longest_wait=1)
    crowd = Crowd(networks, rate, host.check_cancelled)
    track, sharp, changes = MouthTrack(), list[float](), list[float]()
    problem = None if source is None else _shape_problem(clip, source)
    origins = iter(()) if source is None or problem else _beside(clip, source)
    every = max(1, round(SHARPNESS_SECONDS * rate))
    with host.progress(clip.frame_count, "Scoring") as bar:
        for number, frame in enumerate(clip.frames()):
            person.follow(frame)
            mesh, origin = person.mesh, next(origins, None)
            crowd.see(frame, mesh, appears=mesh is not None and person.begins)
            track.add(mesh)
            if mesh is not None and number % every == 0:
                _keep(sharp, sharpness(frame, mesh))
            if mesh is not None and origin is not None:
                _keep(changes, change_outside(frame, _fitted(origin, frame), mesh))
            bar.update(number + 1)
    if not track.frames:
        raise MediaError(f"Expected a video with pictures, but {clip.name!r} has none.")
    faces = crowd.most if crowd.is_crowded else min(crowd.most, 1)
    return Seen(track.done(), faces, sharp, changes, problem)


def _keep(values: list[float], value: float | None) -> None:
    if value is not None:
        values.append(value)


def _shape_problem(clip: Clip, source: Clip) -> str | None:
    shapes = [one.width / one.height for one in (clip, source)]
    if abs(shapes[0] / shapes[1] - 1) <= SAME_ASPECT:
        return None
    video, origin = (f"{one.width}x{one.height}" for one in (clip, source))
    return OTHER_SHAPE.format(source=origin, video=video)


def _beside(clip: Clip, source: Clip) -> Iterator[np.ndarray]:
    """Yield the source's frame at the time of each of the clip's, until the source ends."""
    frames = source.frames()
    if source.frame_count == 1:
        yield from itertools.repeat(next(frames))
    step, shown, frame = source.frame_rate / clip.frame_rate, -1, None
    for number in itertools.count():
        wanted = int((number + Fraction(1, 2)) * step)
        while shown < wanted:
            frame = next(frames, None)
            if frame is None:
                return
            shown += 1
        if frame is not None:
            yield frame


def _fitted(source: np.ndarray, frame: np.ndarray) -> np.ndarray:
    if source.shape == frame.shape:
        return source
    size = frame.shape[1], frame.shape[0]
    is_smaller = source.shape[0] < frame.shape[0]  # where INTER_AREA would repeat pixels
    kind = cv2.INTER_CUBIC if is_smaller else cv2.INTER_AREA
    return cv2.resize(source, size, interpolation=kind)
