"""The executor on a Ray cluster: actors that keep networks loaded, on all machines of it.

Ray places them, by GPUs and CPUs, and restarts those that die; a job that died with one comes back
as lost, and the driver decides what becomes of it.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import logging
import math
import os
import signal
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import AvatarVideoError, MissingLibraryError
from ..host.machine import usable_cpus
from ..texts import one_line
from .ray_actor import BatchActor
from .ray_head import HeadWatch
from .rows import Job, Outcome, Setup
from .worker import BROKEN_DEVICE

log = logging.getLogger("avatarvideo.batch.ray_cluster")

AUTO = "auto"
STOP_SECONDS = 15.0
START_SECONDS = 600.0  # without any worker: no machine has what they need
TELL_SECONDS = 60.0  # the same, until it is told
SILENT_SECONDS, GONE_SECONDS = 10.0, 30.0  # without the head; after 60 Ray ends this process
ASK_SECONDS = 1.0  # until a worker that Ray is just restarting is asked again
STORE_BYTES = 80 << 20  # of a cluster of our own: jobs and outcomes are small
LOOPBACK = "127.0.0.1"
# Set to 0 it keeps Ray on loopback on every system; else, on Linux, 127.0.0.1 stands for the
# machine's own address.
ON_LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
BESIDE = {"concurrency_group": "beside"}  # calls that do not wait for the job
# Of Ray itself: it tells its makers nothing, hides GPUs from workers without, and shows all lines.
VARIABLES = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",  # each line is of another job
}


class Machine(NamedTuple):
    """What one machine of a cluster has for us."""

    cpus: float
    gpus: float


class Share(NamedTuple):
    """How many workers there are, and what each of them gets."""

    workers: int
    cpus: float
    gpus: float


def share_of(machines: Sequence[Machine], count: int | None, threads: int) -> Share:
    """Return how the machines are shared out among so many workers.

    count: None is one for each GPU, or without GPUs one for each machine, more on larger ones.
    threads: of each job, 0 for as many CPUs as there are for each worker.
    """
    all_gpus = sum(int(one.gpus) for one in machines)
    computing = [one for one in machines if one.gpus >= 1] if all_gpus else machines
    cpus = [int(one.cpus) for one in computing if one.cpus >= 1] or [1]
    if count is None and all_gpus:
        count = all_gpus
    size = threads or (_largest(cpus, count) if count else min(cpus))
    count = count or _slots(cpus, size) or 1
    gpus = 1 / math.ceil(count / all_gpus) if all_gpus else 0
    return Share(count, size if _slots(cpus, size) >= count else 0, gpus)


def _largest(cpus: Sequence[int], count: int) -> int:
    """Return how many CPUs each of so many workers can have at the most, 1 where none can."""
    sizes = range(max(cpus), 0, -1)
    return next((size for size in sizes if _slots(cpus, size) >= count), 1)


def _slots(cpus: Sequence[int], size: int) -> int:
    return sum(have // size for have in cpus)


class _Worker:
    """An actor and the job it has.

    is_gone: for good. ask_at: when it is asked to start, while Ray restarts it.
    """

    def __init__(self, name: str, actor: Any) -> None:  # Any: Ray's handle has no type
        self.name = name
        self.actor = actor
        self.job: Job | None = None
        self.is_ready = self.is_gone = False
        self.ask_at: float | None = None


class RayCluster:
    """Workers on a cluster. address: "auto" is one on this machine, begun here where none runs.

    count, threads: as of ``share_of``. actor: what runs there.
    """

    def __init__(
        self,
        address: str,
        count: int | None,
        threads: int,
        setup: Setup,
        actor: type[BatchActor] = BatchActor,
    ) -> None:
        self._ray = ray = connected(address)
        self.start_seconds: dict[str, float] = {}
        self._began = self._ready = time.monotonic()  # and when a worker was last ready
        self._told: set[str] = set()  # what is waited for
        self._waiting: dict[Any, _Worker] = {}  # by what Ray will answer with
        self._workers: dict[str, _Worker] = {}
        self._head = HeadWatch(ray.get_runtime_context().gcs_address)
        try:
            share = share_of(_machines(ray), count, threads)
            made = ray.remote(concurrency_groups={"beside": 1})(actor)
            for number in range(1, share.workers + 1):
                name = f"worker {number}"
                placed = made.options(**_options(name, share)).remote(name, setup)
                self._workers[name] = _Worker(name, placed)
                self._start(self._workers[name])
        except BaseException:
            self._head.stop()
            ray.shutdown()
            raise

    def _start(self, worker: _Worker) -> None:
        """Have a worker say when it is ready."""
        worker.is_ready, worker.ask_at = False, None
        self._waiting[worker.actor.start.remote()] = worker

    def idle(self) -> Sequence[str]:
        return [
            name for name, worker in self._workers.items() if worker.is_ready and worker.job is None
        ]

    def submit(self, worker: str, job: Job) -> None:
        chosen = self._workers[worker]
        chosen.job = job
        self._waiting[chosen.actor.make.remote(job.as_json())] = chosen

    def collect(self, seconds: float) -> Sequence[Outcome]:
        self._check_head()
        for worker in self._workers.values():
            if worker.ask_at is not None and worker.ask_at <= time.monotonic():
                self._start(worker)
        waiting = list(self._waiting)
        done: Sequence[Any] = ()  # Any: Ray's reference has no type
        if waiting:
            self._ray.wait(waiting, num_returns=1, timeout=seconds)
            done, _ = self._ray.wait(waiting, num_returns=len(waiting), timeout=0)
        else:
            time.sleep(seconds)
        outcomes = [outcome for one in done for outcome in self._hear(one)]
        self._check_start()
        return outcomes

    def _hear(self, answer: Any) -> list[Outcome]:  # Any: Ray's reference has no type
        worker = self._waiting.pop(answer)
        job, worker.job = worker.job, None
        try:
            said = self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            return self._missed(worker, job, error)
        if job is not None:
            outcome = Outcome(**said)
            if BROKEN_DEVICE in outcome.error:  # its process can compute nothing any more
                self._ray.kill(worker.actor, no_restart=False)
                self._start(worker)
            return [outcome]
        if said:
            return self._gone(worker, said)
        worker.is_ready = True
        self.start_seconds.setdefault(worker.name, time.monotonic() - self._began)
        return []

    def _missed(self, worker: _Worker, job: Job | None, error: Exception) -> list[Outcome]:
        """Return what a call came to that Ray did not answer."""
        said = one_line(error, 300)
        if job is None and isinstance(error, self._ray.exceptions.ActorUnavailableError):
            worker.ask_at = time.monotonic() + ASK_SECONDS
            return []
        if job is None:
            return self._gone(worker, f"Expected {worker.name} to start, but Ray says: {said}")
        self._start(worker)
        log.info("%s: %s", worker.name, said)
        sentence = "Its worker died, or its machine was lost."
        return [Outcome(job.task.output, "lost", sentence, worker=worker.name)]

    def _gone(self, worker: _Worker, sentence: str) -> list[Outcome]:
        """Go on without a worker. Raises AvatarVideoError where it was the last one."""
        worker.is_gone = True
        if all(one.is_gone for one in self._workers.values()):
            raise AvatarVideoError(sentence)
        log.warning("%s Continuing without %s.", sentence, worker.name)
        return []

    def _check_start(self) -> None:
        if any(worker.is_ready for worker in self._workers.values()):
            self._ready = time.monotonic()
        seconds = time.monotonic() - self._ready
        limit = f"{START_SECONDS / 60:.0f} minutes"
        self._tell(
            seconds > TELL_SECONDS,
            f"No worker is there: Ray has {limit} to start one, and `ray status` says what is "
            "missing.",
        )
        if seconds > START_SECONDS:
            raise AvatarVideoError(
                f"Expected Ray to start a worker within {limit}, but it did not: run `ray status` "
                "to see what is missing."
            )

    def _check_head(self) -> None:
        """Raise AvatarVideoError where the cluster is gone."""
        seconds = self._head.silent_seconds()
        self._tell(
            seconds > SILENT_SECONDS,
            f"The head of the Ray cluster does not answer: it has {GONE_SECONDS:.0f} s to come "
            "back.",
        )
        if seconds > GONE_SECONDS:
            raise AvatarVideoError(
                "Expected the head of the Ray cluster to answer, but it has not for "
                f"{GONE_SECONDS:.0f} s: start the cluster again and then this command; it "
                "continues."
            )

    def _tell(self, is_so: bool, sentence: str) -> None:
        """Say what is waited for, once each time."""
        if is_so and sentence not in self._told:
            log.warning("%s", sentence)
        (self._told.add if is_so else self._told.discard)(sentence)

    def stop(self) -> None:
        self._head.stop()
        if self._head.silent_seconds() > SILENT_SECONDS:
            self._abandon()
            return
        ready = [worker.actor for worker in self._workers.values() if worker.is_ready]
        with contextlib.suppress(self._ray.exceptions.RayError):
            asked = [actor.stop.options(**BESIDE).remote() for actor in ready]
            if asked:
                self._ray.wait(asked, num_returns=len(asked), timeout=STOP_SECONDS)
        for worker in self._workers.values():
            with contextlib.suppress(self._ray.exceptions.RayError):
                self._ray.kill(worker.actor)
        self._ray.shutdown()

    def _abandon(self) -> None:
        """Leave a cluster that is gone, of which Ray would ask until it ended this process."""
        atexit.unregister(self._ray.shutdown)
        ending = threading.Thread(target=self._ray.shutdown, daemon=True)
        ending.start()
        ending.join(STOP_SECONDS)


def _options(name: str, share: Share) -> dict[str, Any]:  # Any: as Ray takes them
    """Return where and how Ray is to run an actor."""
    return {
        "name": f"avatar batch {name}",
        "num_cpus": share.cpus,
        "num_gpus": share.gpus,
        "max_restarts": -1,
        "max_task_retries": 0,  # the driver counts what a job costs, and makes it smaller
        "scheduling_strategy": "SPREAD",
    }


def connected(address: str) -> Any:  # Any: an optional library
    """Return Ray, connected. Raises AvatarVideoError where there is none, or no such cluster."""
    for name, value in VARIABLES.items():
        os.environ.setdefault(name, value)
    with _own_signals():
        try:
            ray = importlib.import_module("ray")
        except ImportError as error:
            raise MissingLibraryError(
                "Expected the library ray for --ray, but it is not installed: pip install ray (the "
                "extra ray)."
            ) from error
        logging.getLogger("ray").setLevel(logging.ERROR)
        try:
            _connect(ray, address)
        except Exception as error:  # of many classes
            raise AvatarVideoError(
                f"Expected a Ray cluster at {address}, but none can be used "
                f"({one_line(error, 300)}): run `ray status` on this machine, which must belong to "
                "the cluster."
            ) from error
    return ray


def _connect(ray: Any, address: str) -> None:  # Any: an optional library
    quiet: Mapping[str, Any] = {"configure_logging": False}
    try:
        ray.init(address, **quiet)
    except ConnectionError:
        if address != AUTO:
            raise
        _begin(ray, quiet)


def _begin(ray: Any, quiet: Mapping[str, Any]) -> None:  # Any: an optional library
    """Begin a cluster on this machine that nobody else can reach."""
    os.environ[ON_LOOPBACK] = "0"  # for its processes
    constants: Any = importlib.import_module("ray._private.ray_constants")
    constants.ENABLE_RAY_CLUSTER = False  # for this one, which has read the variable
    ray.init(
        num_cpus=usable_cpus(),
        object_store_memory=STORE_BYTES,
        include_dashboard=False,
        _node_ip_address=LOOPBACK,
        **quiet,
    )
    found = {node["NodeManagerAddress"] for node in ray.nodes()}
    if found != {LOOPBACK}:
        ray.shutdown()
        raise RuntimeError(f"it could be reached from outside at {', '.join(sorted(found))}")


@contextlib.contextmanager
def _own_signals() -> Generator[None]:
    """Leave Ctrl-C and the like to the command: Ray takes a signal for itself."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = signal.SIGINT, signal.SIGTERM
    before = [signal.getsignal(number) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _machines(ray: Any) -> list[Machine]:  # Any: an optional library
    """Return what the machines of a cluster have."""
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [Machine(one.get("CPU", 0), one.get("GPU", 0)) for one in alive]
