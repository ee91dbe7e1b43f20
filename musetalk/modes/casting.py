"""The people who speak in a job with several speeches, found once a run; and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import MediaError
from ...host.contract import Host
from ..face.cast import Cast, find_cast
from ..face.mesh_networks import MeshNetworks, mesh_networks, mesh_problem
from ..interfaces import Report
from ..job import Job
from ..report import ranges, silence_report
from ..voice.gate import Gate


def networks_for(job: Job) -> MeshNetworks:
    """Return the face mesh. Raises MediaError where it cannot be used."""
    networks = mesh_networks(job.model_folders)
    if networks is None:
        raise MediaError(
            "Choosing a face, or having several speakers, needs the face mesh (4 MB), but "
            f"{mesh_problem(job.model_folders)}, or choose the mode static."
        )
    return networks


def find_people(job: Job, host: Host) -> Cast:
    """Return who speaks. Raises MediaError where the speeches do not fit the faces."""
    networks, count = networks_for(job), int(job.indices.max()) + 1
    wishes = [speech.wish for speech in job.speeches]
    with job.timed("people"), host.progress(count, "Telling people apart") as bar:
        return find_cast(
            job.avatar,
            wishes,
            count,
            networks,
            on_frame=bar.update,
            check=host.check_cancelled,
        )


def people_report(
    job: Job, cast: Cast, seen: Sequence[np.ndarray], gates: Sequence[Gate | None]
) -> Report:
    """Return what is known of each speaker. seen: bool (T,) each, frames in which it is there."""
    speakers: list[Report] = []
    notes: list[str] = []
    for place, (member, frames, gate) in enumerate(zip(cast.members, seen, gates, strict=True)):
        doubtful = member.doubtful[job.indices] & ~frames
        hidden = np.isin(job.indices, cast.covered.get(place, [])) & ~frames
        speakers.append(
            {
                "face": member.wish.text,
                "frames_synced": int(frames.sum()),
                "ranges_without_face": ranges(~frames & ~doubtful & ~hidden),
                "ranges_covered": ranges(hidden),
                "ranges_in_doubt": ranges(doubtful),
                "silence": silence_report(gate),
            }
        )
        if doubtful.any():
            where = ", ".join(f"{first} to {last}" for first, last in ranges(doubtful)[:8])
            notes.append(
                f"In {int(doubtful.sum())} frames it cannot be told which face is "
                f"{member.wish.text!r}, so its mouth rests: {where}."
            )
    return {"speakers": speakers, "silence": silence_report(gates[0]), "notes": notes}
