"""Where the mouth rests: the gate of a job, heard with the best detector there is."""

from __future__ import annotations

import logging

import numpy as np

from ...host.contract import Host
from ...host.machine import return_memory
from ..job import Job
from ..pipeline.memory import FallbackPlan, VRAMManager
from ..voice.detector import STAGE, best_activity
from ..voice.gate import Gate, gate_of
from ..voice.levels import HOP

log = logging.getLogger("avatarvideo.musetalk.modes.silence")


def hear(job: Job, host: Host, fallback: FallbackPlan, *, vram: VRAMManager | None = None) -> Gate:
    """Return the gate of a job. vram: what is free for the detector; None asks the CPU's memory."""
    with job.timed(STAGE):
        activity = best_activity(
            job.mel.speech,
            vram or VRAMManager("cpu"),
            check=host.check_cancelled,
            steps=fallback.steps,
        )
    return_memory()  # the heap holds back much of what levels of hours took
    share = 100 * activity.spoken.mean()
    log.info("speech in %.0f %% of the audio (detected by %s)", share, activity.detector)
    return gate_of(activity.spoken, job.frame_rate, job.indices.size, activity.detector)


def after_speech(job: Job) -> Gate | None:
    """Return the gate that shuts the mouth behind the speech alone; None where none is left."""
    spoken = np.ones(-(-job.mel.speech.size // HOP), bool)
    gate = gate_of(spoken, job.frame_rate, job.indices.size, "the speech's end")
    return gate if gate.at_rest.any() else None
