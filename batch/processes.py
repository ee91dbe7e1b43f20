"""The executor of worker processes: children of this command, which end when it ends.

Each waits for jobs on its standard input: when the driver dies, however that happens, the system
closes it. One that dies is replaced, and its job comes back as lost.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import AvatarVideoError
from ..host.machine import usable_cpus
from ..json_values import JSON, is_object, parse_json
from .rows import Job, Outcome

log = logging.getLogger("avatarvideo.batch.processes")

STOP_SECONDS = 15.0
MOST_STARTS = 3  # of a worker, in a row, that end before it is ready
VISIBLE = "CUDA_VISIBLE_DEVICES"
THREADS_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
# The search path of this process, and nothing of the folder that the command runs in; this package
# may be on neither, where it is run as `python FOLDER`.
START = (
    "import runpy, sys; sys.path[:] = sys.argv.pop(1).split({separator!r}); "
    "runpy.run_path({command!r}, run_name='__main__')"
)
COMMAND = Path(__file__).resolve().parents[1] / "__main__.py"


@dataclass(frozen=True)
class Place:
    """Where a worker computes: its name, and what is added to its environment and its command.

    instead: what to do where no worker starts.
    """

    name: str
    environment: Mapping[str, str]
    arguments: tuple[str, ...] = ()
    instead: str = "use --workers 0 to work in this process"


def places(count: int | None) -> list[Place]:
    """Return the places of so many workers; None takes one for each GPU, or one without GPUs.

    Workers without a GPU of their own share the CPUs out, unless the environment says otherwise.
    """
    devices = gpus()
    count = count or len(devices) or 1
    shared: dict[str, str] = {}
    if not any(os.environ.get(name) for name in THREADS_VARIABLES) and count > 1:
        shared = dict.fromkeys(THREADS_VARIABLES, str(max(1, usable_cpus() // count)))
    return [
        Place(
            f"worker {number + 1}",
            shared | ({VISIBLE: devices[number % len(devices)]} if devices else {}),
        )
        for number in range(count)
    ]


def gpus() -> list[str]:
    """Return the GPUs that this process may use, by names that CUDA takes."""
    if (named := os.environ.get(VISIBLE)) is not None:
        return [one.strip() for one in named.split(",") if one.strip() not in ("", "-1")]
    command = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.startswith("GPU-")]


class Processes:
    """Worker processes. arguments: of the command in which each of them runs."""

    def __init__(self, places: Sequence[Place], arguments: Sequence[str]) -> None:
        self._arguments = list(arguments)
        self._messages: queue.Queue[tuple[_Worker, JSON]] = queue.Queue()
        self._failed_starts: Counter[str] = Counter()  # in a row, by place
        self.start_seconds: dict[str, float] = {}
        self._workers = {place.name: self._start(place) for place in places}

    def _start(self, place: Place) -> _Worker:
        return _Worker(place, self._arguments, self._messages)

    def idle(self) -> Sequence[str]:
        return [
            name
            for name, worker in self._workers.items()
            if worker.is_ready and worker.job is None and not worker.is_ending
        ]

    def submit(self, worker: str, job: Job) -> None:
        self._workers[worker].submit(job)

    def collect(self, seconds: float) -> Sequence[Outcome]:
        outcomes: list[Outcome] = []
        with contextlib.suppress(queue.Empty):
            outcomes += self._hear(*self._messages.get(timeout=seconds))
            while True:
                outcomes += self._hear(*self._messages.get_nowait())
        return outcomes

    def _hear(self, worker: _Worker, message: JSON) -> list[Outcome]:
        if message is None:
            return self._replace(worker)
        if "ready" in message:
            worker.is_ready, self._failed_starts[worker.place.name] = True, 0
            self.start_seconds[worker.place.name] = time.monotonic() - worker.began
        elif is_object(found := message.get("outcome")):
            worker.job, worker.is_ending = None, bool(message.get("ends"))
            return [Outcome(**found)]
        return []

    def _replace(self, worker: _Worker) -> list[Outcome]:
        how = worker.ended()
        name = worker.place.name
        if not worker.is_ready:
            self._failed_starts[name] += 1
        if self._failed_starts[name] >= MOST_STARTS:
            self._give_up(worker.place, how)
            return []
        self._workers[name] = self._start(worker.place)
        if worker.job is None:
            return []
        error = f"Its worker {how}."
        return [Outcome(worker.job.task.output, "lost", error, worker=name)]

    def _give_up(self, place: Place, how: str) -> None:
        """Go on without a worker. Raises AvatarVideoError where it was the last one."""
        name = place.name
        del self._workers[name]
        said = f"{MOST_STARTS} in a row {how}"
        if not self._workers:
            raise AvatarVideoError(
                f"Expected {name} to start, but {said}: see the messages above, or {place.instead}."
            )
        log.warning("Expected %s to start, but %s: the batch continues without it.", name, said)

    def stop(self) -> None:
        for worker in self._workers.values():
            worker.dismiss()
        deadline = time.monotonic() + STOP_SECONDS
        for worker in self._workers.values():
            worker.wait(max(0.0, deadline - time.monotonic()))


class _Worker:
    """One process, its streams and the job it has."""

    def __init__(
        self,
        place: Place,
        arguments: Sequence[str],
        messages: queue.Queue[tuple[_Worker, JSON]],
    ) -> None:
        self.place = place
        self.job: Job | None = None
        self.is_ready = self.is_ending = False
        self.began = time.monotonic()
        command = [*arguments, *place.arguments, place.name]
        start = START.format(separator=os.pathsep, command=str(COMMAND))
        # Ctrl-C is for the driver, which tells its workers; hence a session of their own.
        self._process = subprocess.Popen(
            [sys.executable, "-c", start, os.pathsep.join(_search_path()), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **place.environment},
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(messages,), daemon=True)
        self._reader.start()

    def _read(self, messages: queue.Queue[tuple[_Worker, JSON]]) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                with contextlib.suppress(ValueError):
                    if is_object(message := parse_json(line)):
                        messages.put((self, message))
        messages.put((self, None))

    def submit(self, job: Job) -> None:
        self.job = job
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it has died, which its reader tells
            self._process.stdin.write(json.dumps({"job": job.as_json()}) + "\n")
            self._process.stdin.flush()

    def ended(self) -> str:
        """Say how the process ended."""
        self.dismiss()
        self.wait(STOP_SECONDS)
        code = self._process.returncode
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                return f"died of {signal.Signals(-code).name}"
        return f"ended with exit status {code}"

    def dismiss(self) -> None:
        """Let it give up its job and end."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def wait(self, seconds: float) -> None:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()


def _search_path() -> list[str]:
    """Return where this process finds its modules, relative folders and the like left out."""
    return [path for path in sys.path if Path(path).is_absolute()]
