"""The mouth of the picture, warped to the speech: needs lips, no weights."""

from __future__ import annotations

from ...errors import NoFaceError
from ..job import Job, Made, NotPossible
from ..puppet.driver import mouth_motion
from ..puppet.playback import PuppetPlayback, track_lips
from ..puppet.puppet import Puppet
from ..report import silence_report
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
        shapes = track_lips(job.avatar, location, last, on_frame=bar.update)
    with job.timed("driver"):
        motion = mouth_motion(
            job.mel.speech, frame_rate=job.frame_rate, frame_count=job.indices.size
        )
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
