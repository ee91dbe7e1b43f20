"""Which detector hears the speech: the best one that is installed and fits in memory."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

import numpy as np

from ...errors import CheckpointError
from ..out_of_memory import is_out_of_memory
from ..weights.catalogue import MIB
from ..weights.silero_file import FILE_BYTES, find_silero, load_silero
from .activity import BYTES_A_CHUNK, CHUNKS, Activity, activity_by_level, activity_by_network
from .foreground import FOREGROUND_BYTES

log = logging.getLogger("avatarvideo.musetalk.voice.detector")

STAGE = "voice"  # as the report's ladder names it


class Memory(Protocol):
    """What is free for the detector."""

    def can_load(self, mb: float) -> bool: ...

    def free_mb(self) -> float: ...


def best_activity(
    speech: np.ndarray,
    memory: Memory,
    *,
    check: Callable[[], None],
    steps: list[dict[str, str]] | None = None,
) -> Activity:
    """Listen to mono speech, float32 (N,), 16 kHz, in smaller parts where memory is short.

    check: called all the time and may raise. steps: gets every fallback and why.
    """
    path, chunks = find_silero(), CHUNKS
    while path is not None and chunks:
        needed = (2 * FILE_BYTES + chunks * BYTES_A_CHUNK) / MIB
        try:
            if memory.can_load(needed):
                return activity_by_network(
                    load_silero(path),
                    speech,
                    chunks=chunks,
                    check=check,
                    has_room=lambda: _has_room(memory, steps),
                )
            reason = f"{needed:.0f} MiB are needed and {memory.free_mb():.0f} MiB are free"
        except CheckpointError as error:
            log.warning("continuing with loudness alone: %s", error)
            break
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            reason = "out of memory"
        smaller = f"{chunks // 2} chunks" if chunks > 1 else "loudness"
        _step_down(steps, reason, f"{chunks} chunks", smaller)
        chunks //= 2
    check()
    return activity_by_level(speech)


def _has_room(memory: Memory, steps: list[dict[str, str]] | None) -> bool:
    """Say whether a voice can be brought out of music; else that is a fallback."""
    needed = FOREGROUND_BYTES / MIB
    if memory.can_load(needed):
        return True
    reason = f"{needed:.0f} MiB are needed and {memory.free_mb():.0f} MiB are free"
    _step_down(steps, reason, "what is brought out of the music", "the sound as it is")
    return False


def _step_down(steps: list[dict[str, str]] | None, reason: str, before: str, after: str) -> None:
    step = {"stage": STAGE, "reason": reason, "from": before, "to": after}
    log.info("voices are detected by %(to)s instead of %(from)s: %(reason)s", step)
    if steps is not None:
        steps.append(step)
