"""How a puppet's mouth moves: the shapes of a job's speech."""

from __future__ import annotations

from ..job import Job
from ..puppet.phones import phones_heard
from ..puppet.pose import MouthShapes
from ..puppet.shapes import mouth_shapes
from ..voice.levels import SAMPLE_RATE
from .context import Context


def motion_of(job: Job, context: Context) -> MouthShapes:
    """Return the mouth's shapes by the sound, and by phones where they can be heard."""
    speech, rate, count = job.mel.speech, job.frame_rate, job.indices.size
    seconds = max(1, round(len(speech) / SAMPLE_RATE))
    with context.host.progress(seconds, "Listening to the speech") as bar:
        phones = phones_heard(speech, on_seconds=lambda done: bar.update(round(done)))
    return mouth_shapes(speech, frame_rate=rate, frame_count=count, phones=phones)
