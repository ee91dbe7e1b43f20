"""The mouth of the picture, warped to the speech: needs lips, no weights."""

from __future__ import annotations

import numpy as np

from ...errors import NoFaceError
from ...media import FaceLocation
from ..job import Job, Made, NotPossible
from ..puppet.lip_track import LipTrack, track_lips
from ..puppet.playback import PuppetPlayback
from ..puppet.seen_gaps import seen_alike
from ..report import silence_report
from .context import Context
from .motion import motion_of
from .puppet_people import make_people
from .sharp_puppet import sharpened


def make(job: Job, context: Context) -> Made | NotPossible:
    """Return the avatar with a moving mouth, or that no lips were found in any frame."""
    if job.speeches:
        return make_people(job, context)
    located = context.location(job)
    track = _track(job, context, located)
    if track.first is None:
        where = located.reason
        if job.numbers.size > 1:
            where += f"; none of the {job.numbers.size} frames shows lips"
        wrong_number = 0 < len(located.faces or ()) <= job.avatar.face_index
        advice = (
            "choose one that is there"
            if wrong_number
            else "give the two lip corners (*lip corners* of Load Avatar, or --mouth)"
        )
        error = NoFaceError(
            f"The puppet needs lips, but {where}: {advice}, or choose the mode static."
        )
        return NotPossible(where, error)
    with job.timed("driver"):
        motion = motion_of(job)
    gate = context.gate(job, auto=True)
    if gate is not None:
        motion = motion.gated(gate.weight)
    playback = PuppetPlayback(
        job.avatar, job.indices, motion, track.shapes, job.mask, track.points, track.rest_widths
    )
    with job.timed("driver"):
        check = context.host.check_cancelled
        playback = seen_alike(playback, job.numbers, job.model_folders, check)
    spool, details = None, {"silence": silence_report(gate)}
    if job.upscaler is not None:
        playback, spool, details["upscale"] = sharpened(playback, job, context)
    passed = playback.passed_through()
    asked = "a puppet was asked for; " if job.is_asked_for else ""
    return Made(
        playback.frames,
        mask=_reach(job, playback),
        passed_through=passed,
        location=track.first,
        reason=asked + track.first.reason + _without(passed),
        details=details,
        release=None if spool is None else spool.release,
    )


def _track(job: Job, context: Context, located: FaceLocation) -> LipTrack:
    """Return the lips in every frame that is shown; those of a still are known already."""
    with job.timed("track"):
        if job.avatar.is_still:
            return LipTrack([located.lips], located if located.lips else None, [located.points])
        last = int(job.indices.max()) + 1
        with context.host.progress(last, "Following the lips") as bar:
            return track_lips(
                job.avatar,
                located,
                last,
                choice=job.face_choice,
                model_folders=job.model_folders,
                on_frame=bar.update,
                check=context.host.check_cancelled,
            )


def _reach(job: Job, playback: PuppetPlayback) -> np.ndarray:
    """Return where the first frame may change: nowhere, where it has no lips."""
    puppet = playback.puppet_of(job.avatar.first_frame(), 0)
    if puppet is None:
        return np.zeros((job.avatar.height, job.avatar.width), np.float32)
    return puppet.mask() if job.mask is None else puppet.mask() * job.mask


def _without(passed: np.ndarray) -> str:
    """Say, as part of a sentence, how many frames have no lips; nothing where all have."""
    count = int(passed.sum())
    if not count:
        return ""
    return f"; {count} of {passed.size} frames show no lips and pass through unchanged"
