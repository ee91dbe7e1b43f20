"""The report of a run."""

from __future__ import annotations

import numpy as np

from ..host.machine import peak_memory
from .interfaces import Report
from .job import Job, Made
from .voice.gate import Gate
from .voice.stretches import stretches


def report_of(
    job: Job, mode: str, reason: str, made: Made, fallbacks: list[dict[str, str]]
) -> Report:
    """Return the report of a run, ready for JSON. fallbacks: what did not fit in memory."""
    passed, location = made.passed_through, made.location
    return {
        "mode": mode,
        "requested_mode": job.options.mode,
        "reason": reason + _unheard(made.details, passed.size),
        "frames": int(passed.size),
        "frame_rate": str(job.frame_rate),
        "width": job.avatar.width,
        "height": job.avatar.height,
        "frames_synced": int((~passed).sum()),
        "frames_passed_through": int(passed.sum()),
        "passed_through_ranges": ranges(passed),
        "face": {
            "method": location.method,
            "confidence": round(location.confidence, 3),
            "box": [round(edge, 1) for edge in location.box] if location.box else None,
            "lip_corners": (
                [round(edge, 1) for edge in location.lips.corners] if location.lips else None
            ),
        },
        **made.details,
        "ladder": fallbacks,
        "notes": [*job.notes, *job.avatar.notes(), *made.details.get("notes", ())],
        "seconds": {stage: round(value, 3) for stage, value in job.seconds.items()},
        "peak_memory_bytes": peak_memory(),
    }


def _unheard(details: Report, frames: int) -> str:
    """Return what is to be added where the mouths rest in all frames, since nobody speaks."""
    speakers = details.get("speakers") or [details]
    resting = [one.get("silence", {}).get("frames_at_rest") == frames for one in speakers]
    return "; no speech was heard, so the mouth rests throughout" if all(resting) else ""


def silence_report(gate: Gate | None) -> Report:
    """Return where the mouth rests and what heard it; without a gate it moves as heard."""
    if gate is None:
        return {"mouth": "as heard"}
    return {
        "mouth": "rest",
        "detector": gate.detector,
        "attack_frames": gate.attack,
        "release_frames": gate.release,
        "frames_at_rest": int(gate.at_rest.sum()),
        "ranges_at_rest": ranges(gate.at_rest),
    }


def ranges(flags: np.ndarray) -> list[list[int]]:
    """Return the runs of True as [first, last] pairs, both included."""
    return [[first, end - 1] for first, end in stretches(flags)]
