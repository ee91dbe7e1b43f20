"""MuseTalk for several people, or for one that was chosen where it is: a job woven of theirs."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..face.cast import Cast
from ..job import Job, Made
from ..pipeline.compose import SpeakingPlayback
from ..pipeline.weave import PeopleFrames, people_faces, woven_job
from ..voice.gate import Gate
from .casting import networks_for, people_report
from .context import Context


@dataclass(frozen=True, eq=False)
class PeopleJob:
    """job: the user's. woven: what the pipeline makes of it."""

    job: Job
    woven: Job
    cast: Cast
    gates: list[Gate | None]

    def made_of(self, made: Made, playback: SpeakingPlayback) -> Made:
        """Return what was made of the woven job as frames of the user's."""
        job, members, cast = self.job, self.cast.members, self.cast
        frames = PeopleFrames(
            job.avatar,
            job.indices,
            playback,
            len(members),
            lambda who, frame: cast.others(members[who], frame),
        )
        seen = list(frames.seen().T)
        people = people_report(job, cast, seen, self.gates)
        notes = [*made.details.get("notes", ()), *people["notes"]]
        shown = {"source_frames": int(job.numbers.size)}
        return replace(
            made,
            open_frames=frames.frames,
            mask=frames.mask(),
            passed_through=~frames.speaking().any(axis=1),
            details=made.details | people | shown | {"notes": notes},
        )


def people_job(job: Job, context: Context) -> PeopleJob:
    """Find who speaks, and their faces. Raises MediaError where speeches and faces differ."""
    cast = context.cast(job)
    # Of several people the others are at rest, which of one the networks may decide.
    rests = len(job.speeches) > 1
    gates = [context.gate_of(replace(job, mel=each.mel), auto=rests) for each in job.speeches]
    host = context.host
    with job.timed("faces"), host.progress(cast.count, "Following the faces") as bar:
        track = people_faces(
            job,
            cast,
            networks_for(job),
            on_frame=bar.update,
            check=host.check_cancelled,
        )
    return PeopleJob(job, woven_job(job, track, gates), cast, gates)
