"""The context of a run: what modes may use, and how what a mode made becomes a run."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ...host.contract import Host
from ...media import FaceLocation, FramesOfFiles
from ..background_encode import BackgroundEncode
from ..face.cast import Cast
from ..face.finder import Sought, locate
from ..interfaces import LipSyncRun, Report
from ..job import Job, Made, NotPossible
from ..pipeline.memory import FallbackPlan
from ..report import report_of
from ..voice.gate import Gate
from ..weights.session import ModelSource
from .casting import find_people
from .life import brought_to_life
from .silence import after_speech, hear


@dataclass(eq=False)
class Context:
    """What the modes may use for one run."""

    host: Host
    fallback: FallbackPlan  # where networks compute, and what did not fit in memory
    models: ModelSource | None = None  # networks to use instead of the files that are found
    cache_directory: Path | None = None  # of the avatar cache; None keeps it in memory only
    encode: BackgroundEncode | None = None  # writes the file while a GPU generates the faces
    refused: list[str] = field(default_factory=list[str])  # why earlier modes were not possible
    _location: FaceLocation | None = None
    _gate: Gate | None = None
    _cast: Cast | None = None

    def location(self, job: Job) -> FaceLocation:
        """Locate face and lips in the first frame without weights, once a run."""
        if self._location is None:
            with job.timed("locate"):
                self._location = job.known_face or self._located(job)
        return self._location

    def _located(self, job: Job) -> FaceLocation:
        sought = Sought(
            face_index=job.avatar.face_index,
            point=job.avatar.face_point,
            corners=job.corners,
            mask=job.mask,
            check=self.host.check_cancelled,
            model_folders=job.model_folders,
        )
        return locate(job.avatar.first_frame(), sought)

    def gate(self, job: Job, *, auto: bool) -> Gate | None:
        """Return where the mouth rests, heard once a run; None leaves every frame as heard.

        auto: whether it rests where the user left the choice to the mode.
        """
        if not _rests(job, auto=auto):
            return _unless_heard(job)
        if self._gate is None:
            self._gate = hear(job, self.host, self.fallback)
        return self._gate

    def gate_of(self, job: Job, *, auto: bool) -> Gate | None:
        """Return it, heard anew: of one of several speeches."""
        if not _rests(job, auto=auto):
            return _unless_heard(job)
        return hear(job, self.host, self.fallback)

    def cast(self, job: Job) -> Cast:
        """Find those who speak, once a run. Raises MediaError where speeches and faces differ."""
        if self._cast is None:
            self._cast = find_people(job, self.host)
        return self._cast

    def run_of(self, job: Job, mode: str, made: Made) -> LipSyncRun:
        made = brought_to_life(job, mode, made, self.location, self.host.check_cancelled)
        sources = (*job.avatar.sources, *job.mel.clip.sources)
        upscale: Report = made.details.get("upscale", {})
        not_sharp = upscale.get("applied") == "none" and f"not sharpened: {upscale['reason']}"
        reason = "; ".join(filter(None, [*self.refused, made.reason, not_sharp]))
        return LipSyncRun(
            open_frames=lambda: FramesOfFiles(made.open_frames(), sources),
            frame_count=job.indices.size,
            frame_rate=job.frame_rate,
            width=job.avatar.width,
            height=job.avatar.height,
            mode=mode,
            clip=job.mel.clip,
            mask=made.mask,
            report=report_of(job, mode, reason, made, self.fallback.steps),
            release=made.release,
            sources=sources,
        )


def _rests(job: Job, *, auto: bool) -> bool:
    return auto if job.options.silence == "auto" else job.options.silence == "rest"


def _unless_heard(job: Job) -> Gate | None:
    return after_speech(job) if job.options.loop == "silence" else None


def maker_of(mode: str) -> Callable[[Job, Context], Made | NotPossible]:
    return importlib.import_module(f".{mode}", __package__).make
