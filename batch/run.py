"""One batch from its list to its end: checked, what is left made, and what came of it said."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .. import __version__
from ..errors import AvatarVideoError, MediaError
from ..headless.comfy_server import ComfyServer, ServerError
from ..headless.prompt import Declared
from ..host.standalone import StandaloneHost
from .addresses import place_in
from .check import Checker, ReadOptions
from .content import Hashes
from .driver import Driver, unfinished
from .executor import Executor
from .leases import Owner
from .manifest import read_rows
from .model_files import ModelFiles
from .processes import Place, Processes, places
from .remote import Remote
from .results import memory_problem, results_in
from .rows import Problem, Setup, Task
from .watch import Output, Tally, Watch

log = logging.getLogger("avatarvideo.batch.run")


@dataclass(frozen=True)
class Wishes:
    """How a list is to be made.

    workers: processes; 0 is this one, None one for each GPU, or one. threads: of each job whose row
    names none; 0 leaves it to the workers. retries: after memory ran out. limits: of the score, as
    ``--min-score`` takes them. keep_going: make the good rows of a list that has bad ones.
    ray: the address of the Ray cluster whose workers they are, else empty. servers: the addresses
    of the ComfyUI servers that make the files, a worker for each.
    """

    workers: int | None = None
    threads: int = 0
    retries: int = 2
    limits: str = ""
    keep_going: bool = False
    ray: str = ""
    servers: tuple[str, ...] = ()


class Batch:
    """A list of jobs and the place of its results.

    worker_command: the arguments of our command in which a worker process runs. place: an address
    for the results; empty is the host's output folder.
    """

    def __init__(
        self,
        host: StandaloneHost,
        wishes: Wishes,
        output: Output,
        worker_command: Sequence[str],
        place: str = "",
    ) -> None:
        self._host = host
        self._wishes = wishes
        self._output = output
        self._worker_command = worker_command
        self._outputs = place or str(host.output_directory)
        if problem := memory_problem(place_in(place), "results", wishes.workers == 0):
            raise MediaError(problem)
        self._ledger = results_in(host, place)
        self._folder = self._ledger.folder
        self._servers: Mapping[str, Declared] = {}  # of those that answer

    def run(
        self,
        jobs: Sequence[Path],
        read_options: ReadOptions,
        before_work: Callable[[], None] = lambda: None,
    ) -> None:
        """Make the jobs of a list. Raises AvatarVideoError unless every row is finished then.

        before_work: called where this process itself is to work.
        """
        began = time.perf_counter()
        self._servers = self._reachable()
        remote = Remote(self._host.temp_directory, self._host.check_cancelled)
        tasks, problems = self._checked(jobs, read_options, remote)
        self._ledger.open()
        with contextlib.closing(Owner(self._folder)) as owner:
            models = None if self._servers else ModelFiles(self._host.model_directories)
            check = self._host.check_cancelled
            hashes = Hashes(self._folder.hashes, owner.work, check, remote, models)
            left, finished = unfinished(tasks, self._ledger, hashes)
            self._ledger.mend_results(finished, owner.work)
            tally = Tally(len(tasks) + len(problems), skipped=len(finished), failed=list(problems))
            watch = Watch(tally, self._output, self._folder, owner.work)
            watch.begin(time.perf_counter() - began)
            self._make(left, hashes, watch, partial(self._started, owner, before_work))
        self._raise_unless_finished(tally)

    def _reachable(self) -> dict[str, Declared]:
        """Return what the servers that answer declare. Raises ServerError where none does."""
        found: dict[str, Declared] = {}
        errors: list[ServerError] = []
        for url in dict.fromkeys(self._wishes.servers):
            try:
                found[url] = ComfyServer(url, self._host.check_cancelled).definitions()
            except ServerError as error:
                errors.append(error)
        if errors and not found:
            raise errors[-1]
        for error in errors:
            log.warning("%s", error)
        return found

    def _checked(
        self, jobs: Sequence[Path], read_options: ReadOptions, remote: Remote
    ) -> tuple[list[Task], list[Problem]]:
        """Return the tasks and, where it goes on in spite of them, what is wrong with others."""
        rows, problems = read_rows(jobs)
        checker = Checker(
            self._ledger,
            self._host.input_directory,
            read_options,
            threads=self._wishes.threads,
            limits=self._wishes.limits,
            remote=remote,
            in_process=self._wishes.workers == 0,
        )
        tasks, more = checker.tasks(rows, self._servers)
        problems = sorted([*problems, *more])
        for problem in problems:
            self._output.error(str(problem))
        if problems and not (self._wishes.keep_going and tasks):
            raise AvatarVideoError(
                f"{len(problems)} of {len(tasks) + len(problems)} rows cannot be made, so nothing "
                "was made: correct them, or use --keep-going to make the others."
            )
        if self._wishes.limits:
            self._check_mesh()
        return tasks, problems

    def _check_mesh(self) -> None:
        from ..musetalk.face.mesh_networks import mesh_problem  # OpenCV

        if problem := mesh_problem(self._host.model_directories):
            raise AvatarVideoError(f"--min-score needs the face mesh (4 MB), but {problem}.")

    def _make(
        self, tasks: list[Task], hashes: Hashes, watch: Watch, start: Callable[[], Executor]
    ) -> None:
        try:
            if tasks:
                executor = start()
                try:
                    retries = self._wishes.retries
                    Driver(tasks, executor, hashes, watch, retries=retries, check=self._look).run()
                finally:
                    executor.stop()
        finally:
            hashes.save(now=True)
            watch.end("stopped" if watch.tally.left else "done")
            self._ledger.publish(at_end=True)

    def _look(self) -> None:
        """Raise Cancelled where the user wants to stop; else show how far everything is."""
        self._host.check_cancelled()
        self._ledger.publish()

    def _started(self, owner: Owner, before_work: Callable[[], None]) -> Executor:
        wishes = self._wishes
        command = [*self._worker_command, str(self._host.input_directory), self._outputs]
        if self._servers:
            again = "start the server again, then this command: it continues"
            there = [Place(url, {}, ("--server", url), again) for url in self._servers]
            return Processes(there, command)
        if wishes.ray:
            from .ray_cluster import RayCluster

            return RayCluster(wishes.ray, wishes.workers, wishes.threads, self._setup(owner))
        if wishes.workers == 0:
            from .in_process import NAME, InProcess  # PyTorch, with the first job
            from .maker import Maker

            before_work()
            return InProcess(Maker(self._host, self._ledger, NAME))
        return Processes(places(wishes.workers), command)

    def _setup(self, owner: Owner) -> Setup:
        """Return what workers on other machines have to know."""
        return Setup(
            version=__version__,
            inputs=self._host.input_directory,
            outputs=self._outputs,
            driver=owner.token,
            models=tuple(self._host.model_directories),
            formats=self._host.formats_directory,
            log_level=logging.getLogger("avatarvideo").level,
        )

    def _raise_unless_finished(self, tally: Tally) -> None:
        if tally.left:
            raise AvatarVideoError(
                f"The disk of {self._folder.path}, or of the temporary files in "
                f"{self._host.temp_directory.parent}, is full, and {tally.left} jobs were not "
                "started: make room and start the command again, and it continues."
            )
        if tally.failed:
            raise AvatarVideoError(
                f"{len(tally.failed)} of {tally.total} jobs failed, for the reasons in "
                f"{self._folder.failures.name}: start the command again to retry them."
            )
