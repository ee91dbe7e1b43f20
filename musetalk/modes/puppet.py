"""The mouth of the picture, warped to the speech: needs lips, no weights."""

from __future__ import annotations

from functools import partial

from ...errors import NoFaceError
from ..face.finder import locate_again
from ..job import Job, Made, NotPossible
from ..puppet.driver import MouthMotion, mouth_motion
from ..puppet.phones import phones_heard
from ..puppet.playback import PuppetPlayback, track_lips
from ..puppet.puppet import Puppet
from ..puppet.shapes import mouth_shapes, with_closures
from ..report import silence_report
from ..voice.levels import SAMPLE_RATE
from .context import Context


def make(job: Job, context: Context) -> Made | NotPossible:
    """Return the avatar with a moving mouth, or that no lips were found."""
    location = context.location(job)
    if location.lips is None:
        error = NoFaceError(
            f"Expected lips to move, but {location.reason}: give the two lip corners "
            '("mouth") or choose the mode static.'
        )
        return NotPossible(location.reason, error)
    last = int(job.indices.max()) + 1
    with job.timed("track"), context.host.progress(last, "Following the lips") as bar:
        search = partial(locate_again, model_folders=job.model_folders)
        shapes = track_lips(job.avatar, location, last, search, on_frame=bar.update)
    with job.timed("driver"):
        motion = _motion(job, context)
    gate = context.gate(job, auto=True)
    if gate is not None:
        motion = motion.gated(gate.weight)
    playback = PuppetPlayback(job.avatar, job.indices, motion, shapes, job.mask)
    reach = Puppet(job.avatar.first_frame(), location.lips).mask()
    asked = "a puppet was asked for; " if job.is_asked_for else ""
    return Made(
        playback.frames,
        mask=reach if job.mask is None else reach * job.mask,
        passed_through=playback.passed_through(),
        location=location,
        reason=asked + location.reason,
        details={"silence": silence_report(gate)},
    )


def _motion(job: Job, context: Context) -> MouthMotion:
    """Return what loudness asks for, shut where the lips meet."""
    speech, rate, count = job.mel.speech, job.frame_rate, job.indices.size
    motion = mouth_motion(speech, frame_rate=rate, frame_count=count)
    seconds = max(1, round(len(speech) / SAMPLE_RATE))
    with context.host.progress(seconds, "Listening to the speech") as bar:
        phones = phones_heard(speech, on_seconds=lambda done: bar.update(round(done)))
    shapes = mouth_shapes(speech, frame_rate=rate, frame_count=count, phones=phones)
    return with_closures(motion, shapes, float(rate))
