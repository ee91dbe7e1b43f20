"""The picture or video as it is, with the speech: always possible."""

from __future__ import annotations

import numpy as np

from ..interfaces import Report
from ..job import Job, Made
from ..pipeline.sharpen import not_sharpened
from ..source_frames import read_frames
from .context import Context

WAY_OUT = "to move the lips, give their two corners (*lip corners* of Load Avatar, or --mouth)"
NOT_SHOWN = "to move the lips, choose faces that are seen"
NOT_HERE = "the mode static shows the picture as it is"
NOT_LOOKED_AT = "The mode static moves no mouth: chosen faces and track files were ignored."


def make(job: Job, context: Context) -> Made:
    way_out = NOT_SHOWN if job.speeches else WAY_OUT
    details: Report = {}
    if job.upscaler:
        details["upscale"] = not_sharpened(job.upscaler, NOT_HERE)
    if job.speeches and job.is_asked_for:
        details["notes"] = [NOT_LOOKED_AT]
    return Made(
        open_frames=lambda: read_frames(job.avatar, job.indices),
        mask=np.zeros((job.avatar.height, job.avatar.width), np.float32),
        passed_through=np.ones(job.indices.size, bool),
        location=context.location(job),
        details=details,
        reason="a still picture was asked for" if job.is_asked_for else way_out,
    )
