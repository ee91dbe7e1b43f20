"""Where the mouth rests: the gate of a job, heard with the best detector there is."""

from __future__ import annotations

import logging

import numpy as np

from ...errors import CheckpointError
from ...host.contract import Host
from ..job import Job
from ..pipeline.memory import FallbackPlan, VRAMManager, is_out_of_memory
from ..voice.activity import (
    BYTES_A_CHUNK,
    CHUNKS,
    Activity,
    activity_by_level,
    activity_by_network,
)
from ..voice.gate import Gate, gate_of
from ..voice.levels import HOP
from ..weights.catalogue import MIB
from ..weights.silero_file import FILE_BYTES, find_silero, load_silero

log = logging.getLogger("avatarvideo.musetalk.modes.silence")

STAGE = "voice"  # as the report's ladder names it


def hear(job: Job, host: Host, fallback: FallbackPlan, *, vram: VRAMManager | None = None) -> Gate:
    """Return the gate of a job. vram: what is free for the detector; None asks the CPU's memory."""
    with job.timed(STAGE):
        activity = _activity(job, host, fallback, vram or VRAMManager("cpu"))
    log.info("%s hears speech in %.0f %% of it", activity.detector, 100 * activity.spoken.mean())
    return gate_of(activity.spoken, job.frame_rate, job.indices.size, activity.detector)


def after_speech(job: Job) -> Gate | None:
    """Return the gate that shuts the mouth behind the speech alone; None where none is left."""
    spoken = np.ones(-(-job.mel.speech.size // HOP), bool)
    gate = gate_of(spoken, job.frame_rate, job.indices.size, "the speech's end")
    return gate if gate.at_rest.any() else None


def _activity(job: Job, host: Host, fallback: FallbackPlan, vram: VRAMManager) -> Activity:
    speech, chunks = job.mel.speech, CHUNKS
    path = find_silero()
    while path is not None and chunks:
        needed = (2 * FILE_BYTES + chunks * BYTES_A_CHUNK) / MIB
        try:
            if vram.can_load(needed):
                network = load_silero(path)
                return activity_by_network(
                    network, speech, chunks=chunks, check=host.check_cancelled
                )
            reason = f"{needed:.0f} MiB are needed and {vram.free_mb():.0f} MiB are free"
        except CheckpointError as error:
            log.warning("continuing with loudness alone: %s", error)
            break
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            reason = "out of memory"
        smaller = f"{chunks // 2} chunks" if chunks > 1 else "loudness"
        fallback.steps.append(
            {"stage": STAGE, "reason": reason, "from": f"{chunks} chunks", "to": smaller}
        )
        chunks //= 2
    host.check_cancelled()
    return activity_by_level(speech)
