"""MuseTalk: networks generate the lower face in every frame."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from ...errors import CheckpointError, DeviceMemoryError
from ...host.contract import POLL_SECONDS
from ...media import Box, FaceLocation
from ..job import Job, Made, NotPossible
from ..pipeline.avatar_cache import AvatarCache
from ..pipeline.memory import dtype_for
from ..pipeline.run import Spoken, speak, total_steps
from ..weights.search import MissingFiles, find
from ..weights.session import ModelFiles, ModelSource
from ..work import Work
from .context import Context
from .musetalk_people import PeopleJob, people_job

log = logging.getLogger("avatarvideo.musetalk.modes.musetalk")

PREPARED = "musetalk avatars"  # our entry among what the host keeps between runs


def make(job: Job, context: Context) -> Made | NotPossible:
    """Return the avatar with generated faces, or why MuseTalk cannot make them.

    Raises CheckpointError or DeviceMemoryError where this mode was asked for.
    """
    source = _source(job, context)
    if isinstance(source, MissingFiles):
        return NotPossible("MuseTalk's files are not installed", CheckpointError(source.message))
    people = people_job(job, context) if job.speeches else None
    job = replace(job, gate=context.gate(job, auto=False)) if people is None else job
    try:
        spoken = _speak(job, source, context, people)
    except (CheckpointError, DeviceMemoryError) as error:
        if job.is_asked_for:
            raise
        log.warning("continuing without MuseTalk: %s", error)
        context.fallback.steps.append(
            {"stage": "all", "reason": str(error), "from": "musetalk", "to": "another mode"}
        )
        return NotPossible(f"MuseTalk could not be used ({error})")
    if not job.is_asked_for and spoken.playback.spool is None:
        return NotPossible(f"MuseTalk found {_nothing_in(spoken)}")
    return _made_of(job, spoken, people)


def _source(job: Job, context: Context) -> ModelSource | MissingFiles:
    if context.models is not None:
        return context.models
    fallback = context.fallback
    exact = dtype_for(job.options.quality, fallback.device, fallback.tuning).itemsize == 4
    precision = "full" if exact else "half"
    found = find(job.options.model, context.host.model_directories, precision=precision)
    return found if isinstance(found, MissingFiles) else ModelFiles(found)


def _speak(job: Job, source: ModelSource, context: Context, people: PeopleJob | None) -> Spoken:
    host, encode = context.host, context.encode
    key = f"{PREPARED} {context.cache_directory or ''}"
    cache = host.kept.setdefault(key, AvatarCache(context.cache_directory))

    def start_encode(spoken: Spoken) -> None:
        if encode is not None:
            encode.start(context.run_of(job, "musetalk", _made_of(job, spoken, people)))

    task = job if people is None else people.woven
    with host.progress(total_steps(task), "Speaking") as bar:

        def poll(work: Work) -> None:
            host.check_cancelled()
            bar.update(work.done, preview=work.preview)
            if encode is not None:
                encode.check()

        return speak(
            task,
            source,
            host,
            context.fallback,
            cache=cache,
            work=Work(poll, poll_seconds=POLL_SECONDS),
            start_encode=start_encode,
        )


def _made_of(job: Job, spoken: Spoken, people: PeopleJob | None) -> Made:
    playback = spoken.playback
    version = f"MuseTalk {job.options.model.removeprefix('v')}"
    nothing = (
        f"; {_nothing_in(spoken)} was found, so every frame passes through"
        if playback.spool is None
        else ""
    )
    made = Made(
        playback.frames,
        mask=playback.mask(),
        passed_through=playback.passed_through(),
        location=_location_of(spoken),
        reason=f"{version} {'was asked for' if job.is_asked_for else 'is installed'}{nothing}",
        details=spoken.report,
        release=playback.release,
    )
    return made if people is None else people.made_of(made, playback)


def _nothing_in(spoken: Spoken) -> str:
    """Say what was not found."""
    return "nothing to replace" if spoken.playback.track.found.any() else "no face"


def _location_of(spoken: Spoken) -> FaceLocation:
    track = spoken.playback.track
    faces = np.flatnonzero(track.found)
    if not faces.size:
        return FaceLocation(None, None, 0.0, track.method, "no face was found")
    box = Box(*map(float, track.boxes[faces[0]]))
    return FaceLocation(box, None, 1.0, track.method, "MuseTalk's own face box")
