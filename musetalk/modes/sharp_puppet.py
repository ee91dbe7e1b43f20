"""The puppet's mouth through the user's upscale model: once a source frame, for where it is warped.

The puppet shows the picture's own pixels; only where a pose enlarges them it lacks some. Whatever
the model makes is shown there alone, when the frames are read.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from ...host.contract import Host
from ..interfaces import Report
from ..job import Job
from ..out_of_memory import is_out_of_memory
from ..pipeline.memory import SLACK, MemoryPlan, Placement
from ..pipeline.sharpen import WORKSPACE, not_sharpened
from ..pipeline.spool import Spool
from ..puppet.playback import PuppetPlayback
from ..source_frames import read_frames
from ..upscale.model import UpscaleModel
from .context import Context

STAGE = "upscale"
MOST_ENLARGED = 2  # times; no pose enlarges the mouth further


@dataclass(eq=False)
class FinerMouths:
    """The enlarged mouths of avatar frames, in the spool. places, shapes: by the frame's number."""

    spool: Spool
    places: dict[int, int] = field(default_factory=dict[int, int])
    shapes: dict[int, tuple[int, ...]] = field(default_factory=dict[int, "tuple[int, ...]"])

    def at(self, index: int) -> np.ndarray | None:
        if index not in self.places:
            return None
        with self.spool.reader() as reader:
            return reader.read(self.places[index], self.shapes[index], np.uint8)


def sharpened(
    playback: PuppetPlayback, job: Job, context: Context
) -> tuple[PuppetPlayback, Spool | None, Report]:
    """Return a puppet with the mouths that the job's model enlarged, their spool, and the report.

    The puppet that was given, without a spool, where the model can do nothing for it.
    """
    model, folder = job.upscaler, context.host.temp_directory
    assert model is not None
    side, reason = 0, _why_not(model, playback)
    if not reason:
        folder.mkdir(parents=True, exist_ok=True)
        side, size = _first_part(playback, job)
        needed = size * min(model.scale, MOST_ENLARGED) ** 2 * job.numbers.size
        free = shutil.disk_usage(folder).free
        if needed > free:
            reason = (
                f"{needed / 1e6:.0f} MB of room for the mouths are needed in {folder} and "
                f"{free / 1e6:.0f} MB are free"
            )
    if reason:
        return playback, None, not_sharpened(model, reason)
    mouths = _enlarged(playback, job, context, side)
    if mouths is None:
        reason = "there is not enough memory for it; the report's ladder says more"
        return playback, None, not_sharpened(model, reason)
    shown = np.isin(job.indices, list(mouths.places))
    report: Report = {
        "applied": model.kind,
        "model": model.name,
        "scale": model.scale,
        "passes": 1,
        "frames": int(shown.sum()),
        "reason": "only where the puppet enlarges the picture's own mouth",
    }
    return replace(playback, finer=mouths.at), mouths.spool, report


def _why_not(model: UpscaleModel, playback: PuppetPlayback) -> str:
    if model.is_restorer:
        return (
            "a face restorer would make a different face, and the puppet keeps the picture's: "
            "choose an upscaling model"
        )
    if model.scale < MOST_ENLARGED:
        return (
            "it does not upscale, and the puppet needs more pixels only where it enlarges the mouth"
        )
    return "no face speaks" if playback.passed_through().all() else ""


def _mouths(playback: PuppetPlayback, job: Job) -> Iterator[tuple[int, np.ndarray | None]]:
    """Iterate over the avatar frames that are shown: the number, and what the mouth is made of."""
    numbers = job.numbers.tolist()
    for index, frame in zip(numbers, read_frames(job.avatar, job.numbers), strict=True):
        puppet = playback.puppet_of(frame, index)
        yield index, None if puppet is None else puppet.part


def _first_part(playback: PuppetPlayback, job: Job) -> tuple[int, int]:
    """Return the longer side, in pixels, and the bytes of the first mouth."""
    part = next(part for _, part in _mouths(playback, job) if part is not None)
    return max(part.shape[:2]), part.size


def _enlarged(
    playback: PuppetPlayback, job: Job, context: Context, side: int
) -> FinerMouths | None:
    """Enlarge every mouth where there is memory; None where there is none. side: of the first."""
    model = job.upscaler
    assert model is not None

    def plan(placement: Placement) -> MemoryPlan:
        if not placement.sharp:
            return MemoryPlan(0, 0)
        weights, work = model.bytes_needed(side, 1, placement.dtype)
        return MemoryPlan(weights, int(work * SLACK) + WORKSPACE)

    placement = context.fallback.place(STAGE, plan, sharp=True)
    if not placement.sharp:
        return None
    mouths = FinerMouths(Spool(context.host.temp_directory))
    try:
        with job.timed(STAGE), _on_device(model, placement, plan(placement), context.host):
            _enlarge_all(mouths, playback, job, context.host)
        return mouths
    except BaseException as error:
        mouths.spool.release()
        if not is_out_of_memory(error):
            raise
        reason = str(error).split(". ")[0].split("\n")[0] or "out of memory"
        context.fallback.fall_back(STAGE, placement, reason)
        return None
    finally:
        model.release()


@contextmanager
def _on_device(
    model: UpscaleModel, placement: Placement, plan: MemoryPlan, host: Host
) -> Generator[None, None, None]:
    held = [model.module(placement.dtype)]
    is_there = placement.device != host.device()  # it is made on the CPU
    on_device = host.models_on_device
    with nullcontext() if is_there else on_device(held, activation_bytes=plan.activations):
        held.clear()
        try:
            yield
        finally:
            model.release()  # so that nothing is copied back


def _enlarge_all(mouths: FinerMouths, playback: PuppetPlayback, job: Job, host: Host) -> None:
    model, total = job.upscaler, job.numbers.size
    assert model is not None
    with host.progress(total, "Sharpening the mouth") as bar, mouths.spool.writer() as writer:
        for done, (index, part) in enumerate(_mouths(playback, job), start=1):
            finer = None if part is None else model.sharpened(part, check=host.check_cancelled)
            if part is not None and finer is not None:
                rows, columns = (MOST_ENLARGED * side for side in part.shape[:2])
                if finer.shape[0] > rows:
                    finer = cv2.resize(finer, (columns, rows), interpolation=cv2.INTER_AREA)
                mouths.places[index] = writer.append(finer)
                mouths.shapes[index] = finer.shape
            bar.update(done)
        writer.flush()
