"""How a puppet's mouth moves: the shapes of a job's speech."""

from __future__ import annotations

from ..job import Job
from ..puppet.heard_shapes import HeardShapes
from ..puppet.phones import phones_in_chunks
from ..puppet.pose import Motion
from ..puppet.shapes import SpokenShapes
from ..voice.levels import SAMPLE_RATE


def motion_of(job: Job) -> Motion:
    """Return the mouth's shapes by the sound, and by phones where they can be heard.

    The first phones are heard here, the others when their frames are read.
    """
    speech, rate = job.mel.speech, job.frame_rate
    chunks = phones_in_chunks(speech)
    spoken = SpokenShapes(
        speech, frame_rate=rate, frame_count=job.indices.size, by_phones=chunks is not None
    )
    if chunks is None:
        return spoken.hear((), len(speech) / SAMPLE_RATE)
    return HeardShapes(spoken, chunks, frame_rate=rate, seconds=len(speech) / SAMPLE_RATE)
