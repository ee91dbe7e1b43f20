"""Several people's mouths, or one that was chosen where it is, warped to their speeches."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np

from ...errors import NoFaceError
from ..face.cast import Cast
from ..job import Job, Made, NotPossible
from ..pipeline.sharpen import NOT_OF_SEVERAL, not_sharpened
from ..puppet.lip_track import LipTrack
from ..puppet.people_playback import PeoplePlayback
from ..puppet.people_track import track_people
from ..puppet.playback import PuppetPlayback
from ..puppet.seen_gaps import seen_alike
from ..voice.gate import RELEASE, Gate
from .casting import networks_for, people_report
from .context import Context
from .motion import motion_of


def make_people(job: Job, context: Context) -> Made | NotPossible:
    """Return the avatar with all who speak, or that none of them has lips in any frame.

    Raises MediaError where the speeches do not fit the faces.
    """
    cast = context.cast(job)
    tracks = _tracks(job, context, cast)
    first = next((track.first for track in tracks if track.first is not None), None)
    if first is None:
        where = "no lips of a speaker are seen in any frame"
        error = NoFaceError(f"The puppet needs lips, but {where}: choose other faces.")
        return NotPossible(where, error)
    gates = [context.gate_of(replace(job, mel=each.mel), auto=True) for each in job.speeches]
    with job.timed("driver"):
        voices = [
            _voice(replace(job, mel=speech.mel), context, track, gate)
            for speech, track, gate in zip(job.speeches, tracks, gates, strict=True)
        ]
    members = cast.members

    playback = PeoplePlayback(
        job.avatar,
        job.indices,
        voices,
        lambda place, frame: cast.others(members[place], frame),
    )
    passed = playback.passed_through()
    sharp = {"upscale": not_sharpened(job.upscaler, NOT_OF_SEVERAL)} if job.upscaler else {}
    seen = [~voice.passed_through() for voice in voices]
    return Made(
        playback.frames,
        mask=playback.mask(),
        passed_through=passed,
        location=first,
        reason=_reason(job, passed),
        details=people_report(job, cast, seen, gates) | sharp,
    )


def _tracks(job: Job, context: Context, cast: Cast) -> list[LipTrack]:
    with job.timed("track"), context.host.progress(cast.count, "Following the lips") as bar:
        return track_people(
            job.avatar,
            cast,
            networks_for(job),
            on_frame=bar.update,
            check=context.host.check_cancelled,
        )


def _voice(job: Job, context: Context, track: LipTrack, gate: Gate | None) -> PuppetPlayback:
    motion = motion_of(job)
    if gate is not None:
        motion = motion.gated(gate.weight)
    there = np.array([shape is not None for shape in track.shapes])[job.indices]
    motion = motion.gated(near_rest(there, job.frame_rate))
    playback = PuppetPlayback(
        job.avatar, job.indices, motion, track.shapes, job.mask, track.points, track.rest_widths
    )
    return seen_alike(playback, job.numbers, job.model_folders, context.host.check_cancelled)


def near_rest(there: np.ndarray, frame_rate: Fraction) -> np.ndarray:
    """Return float32 (T,): a mouth comes to rest before its face is lost, and begins at rest after.

    there: bool (T,), frames with the face.
    """
    lost = np.flatnonzero(~there)
    if not lost.size:
        return np.ones(there.size, np.float32)
    numbers = np.arange(there.size)
    place = np.searchsorted(lost, numbers)
    before, after = lost[np.maximum(place - 1, 0)], lost[np.minimum(place, lost.size - 1)]
    away = np.minimum(np.abs(numbers - before), np.abs(after - numbers))
    frames = max(1, math.floor(RELEASE * frame_rate))
    return np.minimum(away / (frames + 1), 1).astype(np.float32)


def _reason(job: Job, passed: np.ndarray) -> str:
    asked = "a puppet was asked for; " if job.is_asked_for else ""
    who = f"{len(job.speeches)} speakers" if len(job.speeches) > 1 else "the chosen face"
    without = (
        f"; {int(passed.sum())} of {passed.size} frames show nobody who speaks"
        if passed.any()
        else ""
    )
    return f"{asked}{who} followed by the face mesh{without}"
