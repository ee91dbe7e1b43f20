"""How a puppet's mouth moves: the shapes of a job's speech."""

from __future__ import annotations

import math

from ..job import Job
from ..puppet.heard_shapes import HeardShapes
from ..puppet.phones import phones_in_chunks
from ..puppet.pose import Motion
from ..puppet.shapes import SpokenShapes


def motion_of(job: Job) -> Motion:
    """Return the mouth's shapes by the sound, and by phones where they can be heard.

    The first phones are heard here, the others when their frames are read.
    """
    speech = job.mel.speech
    chunks = phones_in_chunks(speech)
    rate, count = job.frame_rate, job.indices.size
    by_phones = chunks is not None
    spoken = SpokenShapes(speech, frame_rate=rate, frame_count=count, by_phones=by_phones)
    if chunks is not None:
        return HeardShapes(spoken, chunks)
    spoken.hear((), math.inf)
    return spoken.shapes
