"""Makes one job after another, keeping networks and avatars in between: what a worker does."""

from __future__ import annotations

import contextlib
import errno
import importlib
import logging
import os
import shutil
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..encoders.read.probe import probe
from ..errors import AvatarVideoError, Cancelled, DeviceMemoryError, EncodeError, GraphError
from ..headless.comfy_server import ServerError
from ..host.machine import return_memory
from ..host.standalone import StandaloneHost
from ..json_values import JSON
from ..media import LipCorners
from ..texts import one_line
from .leases import Lease, Owner
from .ledger import emptied
from .on_server import OnServer
from .remote import Fetched, InputChangedError
from .rows import Job, Kind, Outcome, Task

if TYPE_CHECKING:
    from ..headless.execute import ResultCache
    from ..musetalk.pipeline.cpu_features import Tuning
    from ..musetalk.weights.catalogue import Stage
    from ..musetalk.weights.session import ModelSource
    from .results import Results

log = logging.getLogger("avatarvideo.batch.maker")

FULL = tuple(os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT))


@dataclass(frozen=True)
class _Failure(Exception):  # noqa: N818 - what became of a job, told within this module
    kind: Kind
    sentence: str


class Maker:
    """Makes jobs for a ledger. Each takes the row's lease and ends it, whatever becomes of it.

    models: networks to use instead of the files that are found. server: the address of a ComfyUI
    server that makes their files; empty makes them here.
    """

    def __init__(
        self,
        host: StandaloneHost,
        ledger: Results,
        name: str,
        models: ModelSource | None = None,
        server: str = "",
    ) -> None:
        self._host = host
        self._models = models
        self._ledger = ledger
        self._name = name
        self._owner = Owner(ledger.folder)
        self._threads: tuple[int, int] | None = None  # of PyTorch and OpenCV, before any job
        self._results: ResultCache | None = None
        self._fetched = Fetched(host.temp_directory / "fetched", host.check_cancelled)
        self._server = OnServer(server, host, self._owner.work / "job") if server else None

    def load(self) -> None:
        """Load libraries, or wait for the server, so that the first job's time is its own."""
        if self._server is None:
            importlib.import_module("..musetalk.engine", __package__)
        else:
            self._server.connect()

    def close(self) -> None:
        self._owner.close()

    def make(self, job: Job) -> Outcome:
        """Make a job and return what became of it. Raises Cancelled."""
        with _naming(job.task.output):
            try:
                taken = self._ledger.take(job, self._owner)
            except (EncodeError, OSError) as error:  # the store does not answer, the disk is full
                return self._failed(job, error)
            if not isinstance(taken, Lease):
                return self._outcome(job, taken)
            try:
                with taken.beating(self._host.cancel):
                    return self._made(job, taken)
            except Cancelled:
                if not taken.is_lost:
                    raise
                return self._outcome(job, "busy", "Another worker has taken over the job.")
            finally:
                if taken.is_lost:  # what stopped this job is not for the next one
                    with contextlib.suppress(Cancelled):
                        self._host.check_cancelled()
                shutil.rmtree(self._owner.work / "job", ignore_errors=True)
                self._ledger.give_back(taken)

    def _made(self, job: Job, lease: Lease) -> Outcome:
        try:
            self._ledger.forget(job.task.output)
            if self._server is None:
                self._set_threads(job.task.threads)
            began = time.perf_counter()
            folder = emptied(self._owner.work / "job")
            file, details = self._file(job, folder)
            details = {**details, "worker": self._name, "processing_seconds": _since(began)}
            details |= self._score(job, file, details)
            kind, sentence, report = self._ledger.commit(job, lease, file, details)
            return self._outcome(job, kind, sentence, report)
        except _Failure as failure:
            return self._outcome(job, failure.kind, failure.sentence)
        except Cancelled:
            raise
        except InputChangedError as error:
            return self._outcome(job, "changed", str(error))
        except ServerError as error:
            return self._outcome(job, "lost", str(error))
        except (AvatarVideoError, OSError, ValueError) as error:
            return self._failed(job, error)
        except Exception as error:  # noqa: BLE001 - one job's trouble must not end the others
            log.warning("%s: %s", type(error).__name__, one_line(error))
            return self._failed(job, error)

    def _failed(self, job: Job, error: Exception) -> Outcome:
        from ..musetalk.out_of_memory import is_out_of_memory

        sentence = one_line(error) or type(error).__name__
        kind: Kind = "failed"
        if is_out_of_memory(error) or isinstance(error, DeviceMemoryError):
            kind = "memory"
            self._host.kept.clear()
            self._results = None
            return_memory()
        elif any(words in sentence for words in FULL):
            kind = "full"
        return self._outcome(job, kind, sentence)

    def _outcome(
        self, job: Job, kind: Kind, error: str = "", details: Mapping[str, JSON] | None = None
    ) -> Outcome:
        return Outcome(job.task.output, kind, error, details or {}, self._name)

    def _file(self, job: Job, folder: Path) -> tuple[Path, dict[str, JSON]]:
        task = job.task
        if self._server is not None:
            details = self._server.make(task, *self._inputs(job))
            made = _made_one(folder, task)
            return made, details | _facts(made)
        if task.workflow:
            return self._run_workflow(task, folder)
        return self._lip_sync(job, folder, _smaller(job.smaller))

    def _inputs(self, job: Job) -> tuple[Path, Path]:
        """Return the files of a row's avatar and audio, fetched where they lie elsewhere."""
        task, stamps = job.task, job.stamps
        avatar, audio = (self._fetched.file(one, stamps) for one in (task.avatar, task.audio))
        return Path(avatar), Path(audio)

    def _lip_sync(
        self, job: Job, folder: Path, tuning: Tuning | None
    ) -> tuple[Path, dict[str, JSON]]:
        from ..musetalk.engine import MuseTalkLipSync
        from ..musetalk.interfaces import LipSyncConfig

        task = job.task
        avatar, audio = self._inputs(job)
        given = dict(task.options)
        if given.get("mouth") is not None:
            given["mouth"] = LipCorners(*given["mouth"])
        path = folder / f"made{Path(task.output).suffix}"
        engine = MuseTalkLipSync(host=self._host, models=self._models, tuning=tuning)
        result = engine.generate(avatar, audio, path, LipSyncConfig(**given))
        if not result.success or result.output_path is None:
            sentence = result.error or "The video was not made."
            is_memory = result.report.get("error_type") == DeviceMemoryError.__name__
            is_full = any(words in sentence for words in FULL)
            raise _Failure("memory" if is_memory else "full" if is_full else "failed", sentence)
        details: dict[str, JSON] = {
            "mode": result.mode,
            "frame_count": result.frame_count,
            "duration_seconds": result.duration_seconds,
            "fps": result.fps,
            "resolution": list(result.resolution),
            "report": result.report,
        }
        return result.output_path, details

    def _run_workflow(self, task: Task, folder: Path) -> tuple[Path, dict[str, JSON]]:
        from ..headless.execute import ResultCache
        from ..headless.prompt import definitions
        from ..headless.run import load_workflow, node_table, run_workflow

        nodes, names = node_table()
        declared = definitions(nodes, names)
        check = self._host.check_cancelled
        workflow = load_workflow(Path(task.workflow), declared, task.settings, check)
        if self._results is None:
            self._results = ResultCache()
        before, self._host.output_directory = self._host.output_directory, folder
        try:
            result = run_workflow(workflow, self._host, nodes, cache=self._results)
        finally:
            self._host.output_directory = before
        if result.blocked:
            raise GraphError("; ".join(result.blocked.values()))
        return _made_one(folder, task), {"texts": result.texts}

    def _score(self, job: Job, file: Path, details: Mapping[str, JSON]) -> dict[str, JSON]:
        """Measure a video where limits are set; one beyond them is set aside, and fails."""
        task = job.task
        if not task.limits:
            return {}
        from ..musetalk.score.numbers import failures, parse_limits
        from ..musetalk.score.score import score_video

        source = self._fetched.file(task.avatar, job.stamps) if task.avatar else None
        score = score_video(file, source=source, host=self._host)
        measured: dict[str, JSON] = {"score": score.as_dict()}
        beyond = failures(parse_limits(task.limits), score.numbers, score.reasons)
        if beyond:
            kept = self._ledger.set_aside(job, file, {**details, **measured, "error": beyond})
            raise _Failure("failed", f"{' '.join(beyond)} The video is kept as {kept}.")
        return measured

    def _set_threads(self, wanted: int) -> None:
        import cv2
        import torch

        if self._threads is None:
            ours = torch.get_num_threads()  # as the command or the environment said
            self._threads = ours, min(ours, cv2.getNumThreads())
        for_torch, for_opencv = (wanted, wanted) if wanted else self._threads
        if for_torch != torch.get_num_threads():
            torch.set_num_threads(for_torch)
        if for_opencv != cv2.getNumThreads():
            cv2.setNumThreads(for_opencv)


def _made_one(folder: Path, task: Task) -> Path:
    """Return the one file of a result's kind in a folder. Raises GraphError."""
    suffix = Path(task.output).suffix.lower()
    made = [path for path in folder.rglob("*") if path.suffix.lower() == suffix]
    if len(made) != 1:
        raise GraphError(
            f"Expected the workflow to leave one {suffix} in the output folder, but it left "
            f"{len(made)}: let only one node write the result."
        )
    return made[0]


def _facts(path: Path) -> dict[str, JSON]:
    """Return of a video that was made elsewhere what is told of one that was made here."""
    found = probe(path, exact_count=True)
    return {
        "frame_count": found.frame_count,
        "duration_seconds": found.duration_seconds,
        "fps": found.fps,
        "resolution": [found.width, found.height],
    }


def _smaller(halvings: int) -> Tuning | None:
    """Return how a run uses the machine with batches halved so often; None is as it is best."""
    if not halvings:
        return None
    from ..musetalk.pipeline.cpu_features import Tuning

    usual = Tuning().largest_batches
    halved: dict[Stage, tuple[int, int]] = {
        stage: (max(1, c >> halvings), max(1, g >> halvings)) for stage, (c, g) in usual.items()
    }
    return Tuning(largest_batches=halved)


def _since(began: float) -> float:
    return round(time.perf_counter() - began, 3)


@contextlib.contextmanager
def _naming(output: str) -> Generator[None]:
    """Put the job's name in front of everything that is logged while the block lasts."""

    def name(record: logging.LogRecord) -> bool:
        record.msg, record.args = f"{output}: {record.getMessage()}", ()
        return True

    handlers = list(logging.getLogger("avatarvideo").handlers)
    for handler in handlers:
        handler.addFilter(name)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(name)
