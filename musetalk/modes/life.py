"""Life for a still avatar, laid over what a mode made: blinks and sway, or why there are none."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ...errors import MediaError
from ...media import FaceLocation
from ..face.mesh_locate import locate_by_mesh
from ..face.mesh_networks import mesh_networks, mesh_problem, overlap
from ..interfaces import Report
from ..job import Job, Made
from ..puppet.eyelids import Eyelids
from ..puppet.life import Life, blink_times, eyes_of, lids_closed
from ..puppet.sway import Sway, sway_offsets

LEAST_OVERLAP = 0.1  # of the mesh's face with the one that speaks


def brought_to_life(
    job: Job,
    mode: str,
    made: Made,
    locate: Callable[[Job], FaceLocation],
    check: Callable[[], None],
) -> Made:
    """Return what a mode made, with the life that was asked for, as far as it is possible.

    locate: finds the face in the first frame. check: raises where the run was cancelled.
    """
    wanted = job.options.life
    if wanted == "none":
        return _told(made, "none", 0, "")
    signs = wanted.replace(" and ", " or ")
    if why_not := _why_not(job, mode, made):
        return _told(made, "none", 0, f"no {signs}: {why_not}")
    frame = job.avatar.first_frame()
    points = _points(job, frame, locate, check)
    if isinstance(points, str):
        return _told(made, "none", 0, f"no {signs}: {points}")
    eyes = eyes_of(frame, points)
    why, eyes = (f"no blinks: {eyes}", []) if isinstance(eyes, str) else ("", eyes)
    sways = wanted == "blink and sway"
    life, blinks = _life(job, frame, points, [Eyelids(frame, eye) for eye in eyes], sways)
    applied = " and ".join(["blink"] * bool(eyes) + ["sway"] * sways) or "none"
    mask = np.maximum(made.mask, life.mask(job.avatar.height, job.avatar.width))
    alive = replace(made, open_frames=lambda: life.over(made.open_frames()), mask=mask)
    return _told(alive, applied, blinks, why)


def _told(made: Made, applied: str, blinks: int, why: str) -> Made:
    report: Report = {"applied": applied, "blinks": blinks, "reason": why}
    reason = "; ".join(filter(None, [made.reason, why]))
    return replace(made, reason=reason, details=made.details | {"life": report})


def _why_not(job: Job, mode: str, made: Made) -> str:
    """Return why the run can have no life, part of a sentence, or nothing."""
    if job.avatar.frame_count > 1:
        return "life is for stills, and the avatar is a video"
    if mode == "static":
        return "the mode static shows the picture as it is"
    if job.speeches:
        return "life is for one speaker, chosen by size"
    return "no face speaks" if made.passed_through.all() else ""


def _points(
    job: Job, frame: np.ndarray, locate: Callable[[Job], FaceLocation], check: Callable[[], None]
) -> np.ndarray | str:
    """Return the mesh's points of the face that speaks (478, 2), or why there are none.

    frame: the avatar's first one.
    """
    try:
        location = locate(job)
    except MediaError as error:  # of lip corners that MuseTalk did not need
        return str(error)
    if location.points is not None:
        return location.points
    networks = mesh_networks(job.model_folders)
    if networks is None:
        return f"the face mesh cannot be used ({mesh_problem(job.model_folders)})"
    found = locate_by_mesh(networks, frame, job.avatar.face_index, location.box, check)
    if found.points is None or found.box is None:
        return found.reason
    if location.box is not None and overlap(found.box, location.box) < LEAST_OVERLAP:
        return "the face mesh does not find the face that speaks"
    return found.points


def _life(
    job: Job, frame: np.ndarray, points: np.ndarray, lids: list[Eyelids], sways: bool
) -> tuple[Life, int]:
    """Return the life of a run, the same for the same picture and speech, and its blinks."""
    count, rate = job.indices.size, job.frame_rate
    random = np.random.default_rng(
        [zlib.crc32(np.ascontiguousarray(one).data) for one in (frame, job.mel.speech)]
    )
    blinks = blink_times(random, count, rate)
    size = (job.avatar.width, job.avatar.height)
    sway = Sway(points, size) if sways else None
    life = Life(
        lids,
        lids_closed(blinks, count, rate),
        sway,
        sway_offsets(random, count, rate) if sways else None,
        job.mask,
    )
    return life, len(blinks) if lids else 0
