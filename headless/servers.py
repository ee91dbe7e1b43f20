"""The ``--server`` side of ``avatar run``: workflows shared out among ComfyUI servers.

Each server has a thread that takes the next workflow as soon as it is free. A server that goes
away gives its workflow back to the others. Only the calling thread touches the host.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import AvatarVideoError, Cancelled, GraphError
from ..json_values import is_list, is_object
from .comfy_server import SILENCE_SECONDS, ComfyServer, RunProgress, ServerError, ServerRun
from .prompt import NodeDefinition, Prompt, describe, is_link, natural_order, output_nodes
from .run import Workflow

logger = logging.getLogger("avatarvideo.headless.servers")

WAIT_SECONDS = 0.05  # how often the calling thread looks after the host and the progress
# Nodes of these names always show what they made; when they show nothing they did not run.
SHOWING_PREFIXES = ("Save", "Preview", "FFmpegEncode", "VideoInfo")


@dataclass(frozen=True)
class Job:
    """One workflow to run. build: makes it for what a server's node classes declare."""

    name: str
    build: Callable[[Mapping[str, NodeDefinition]], Workflow]


@dataclass
class JobResult:
    """What became of a job: ``error`` is None when all of it is there.

    files: downloaded, in the order of their nodes. texts: node id -> what an output node shows.
    remarks: what the other nodes show, with their names.
    """

    job: Job
    server: str = ""
    files: list[Path] = field(default_factory=list)
    texts: dict[str, list[str]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    error: AvatarVideoError | None = None


def run_jobs(
    jobs: Sequence[Job],
    servers: Sequence[str],
    *,
    input_directory: Path,
    output_directory: Path,
    check_cancelled: Callable[[], None],
    on_progress: Callable[[float], None] = lambda fraction: None,
    silence: float = SILENCE_SECONDS,
) -> list[JobResult]:
    """Run every job on one of the servers and return the results in the order of the jobs.

    check_cancelled, on_progress (0..1 over all jobs): called in this thread; what they raise
    stops all servers. silence: as of ComfyServer. Raises ServerError for an address that is none.
    """
    share = _Share(jobs, input_directory, output_directory)
    connected = [ComfyServer(url, share.check, silence=silence) for url in dict.fromkeys(servers)]
    share.alive = len(connected)
    with ThreadPoolExecutor(len(connected)) as pool:
        workers = [pool.submit(share.work, server) for server in connected]
        try:
            while wait(workers, WAIT_SECONDS).not_done:
                check_cancelled()
                on_progress(share.fraction())
        finally:
            share.stopped.set()
    for worker in workers:
        worker.result()
    return share.finished()


class _Share:
    """The jobs that wait, and the results so far; the servers' threads meet here."""

    def __init__(self, jobs: Sequence[Job], inputs: Path, outputs: Path) -> None:
        self._waiting = list(enumerate(jobs))
        self._jobs = jobs
        self._inputs = inputs
        self._outputs = outputs
        self._results: dict[int, JobResult] = {}
        self._running: dict[int, float] = {}
        self.stopped = threading.Event()
        self._changed = threading.Condition()
        self._gone: list[ServerError] = []
        self.alive = 0  # servers that still take jobs

    def check(self) -> None:
        if self.stopped.is_set():
            raise Cancelled("The run was cancelled.")

    def fraction(self) -> float:
        with self._changed:
            return (len(self._results) + sum(self._running.values())) / max(1, len(self._jobs))

    def finished(self) -> list[JobResult]:
        """Return all results; what no server was left for fails with the last server's error."""
        for number, job in self._waiting:
            self._results[number] = JobResult(job, error=self._gone[-1])
        return [self._results[number] for number in range(len(self._jobs))]

    def work(self, server: ComfyServer) -> None:
        """Run jobs on one server until none is left or it goes away."""
        try:
            declared = server.definitions()
            while (taken := self._take()) is not None:
                number, job = taken
                result = None
                try:
                    result = self._one(server, declared, number, job)
                finally:
                    self._put(number, job, result)
        except Cancelled:
            return
        except ServerError as error:
            with self._changed:
                self.alive -= 1
                self._gone.append(error)
            if self.alive:  # the last one's error is the result
                logger.warning("%s", error)

    def _take(self) -> tuple[int, Job] | None:
        """Return the next job, None when there will be no more."""
        with self._changed:
            while not self._waiting and self._running and not self.stopped.is_set():
                self._changed.wait(WAIT_SECONDS)  # somebody may still give one back
            if self.stopped.is_set() or not self._waiting:
                return None
            number, job = self._waiting.pop(0)
            self._running[number] = 0.0
            return number, job

    def _put(self, number: int, job: Job, result: JobResult | None) -> None:
        """Keep a result, or let a job without one wait for another server."""
        with self._changed:
            del self._running[number]
            if result is None:
                self._waiting.insert(0, (number, job))
            else:
                self._results[number] = result
            self._changed.notify_all()

    def _one(
        self, server: ComfyServer, declared: Mapping[str, NodeDefinition], number: int, job: Job
    ) -> JobResult:
        def note(progress: RunProgress) -> None:
            self._running[number] = progress.fraction

        result = JobResult(job, server.url)
        try:
            workflow = job.build(declared)
            prompt = with_uploads(workflow.prompt, declared, server, self._inputs)
            logger.info("%s: sent to %s", job.name, server.url)
            extra = workflow.extra_pnginfo
            run = server.run(prompt, extra_pnginfo=extra, on_progress=note)
            self._collect(result, server, run, prompt, declared)
            _check_complete(prompt, declared, run, server.url)
        except (Cancelled, ServerError):
            raise
        except AvatarVideoError as error:
            result.error = error
        return result

    def _collect(
        self,
        result: JobResult,
        server: ComfyServer,
        run: ServerRun,
        prompt: Prompt,
        declared: Mapping[str, NodeDefinition],
    ) -> None:
        for node_id in sorted(run.outputs, key=natural_order):
            shown = run.outputs[node_id]
            for entries in shown.values():
                for entry in entries if is_list(entries) else ():
                    if is_object(entry) and entry.get("type") == "output":
                        result.files.append(server.download(entry, self._outputs))
            texts = [str(text) for text in shown.get("text") or ()]
            # A node that the run itself grew is not in the prompt.
            definition = declared.get(prompt.get(node_id, {}).get("class_type", ""))
            if definition is None or definition.is_output:
                result.texts |= {node_id: texts} if texts else {}
            else:
                result.remarks += [f"{definition.display_name}: {text}" for text in texts]


def with_uploads(
    prompt: Mapping[str, Any],
    declared: Mapping[str, NodeDefinition],
    server: ComfyServer,
    folder: Path,
) -> dict[str, Any]:
    """Return a prompt whose local files are on the server.

    A combo's value that names a file of ``folder`` (or any file by its full path) is sent; what
    the server knows and we have not stays as it is.
    """
    sent: dict[Path, str] = {}
    changed = dict(prompt)
    for node_id, node in prompt.items():
        definition = declared.get(node.get("class_type", ""))
        inputs = dict(node.get("inputs", {}))
        for name, value in inputs.items():
            wanted = definition.inputs.get(name) if definition is not None else None
            if wanted is None or wanted.choices is None or is_link(value):
                continue
            path = _local_file(value, folder)
            if path is None:
                continue
            if path not in sent:
                sent[path] = server.upload(path)
            inputs[name] = sent[path]
        changed[node_id] = {**node, "inputs": inputs}
    return changed


def _local_file(value: Any, folder: Path) -> Path | None:
    if not isinstance(value, str) or not Path(value).suffix:  # "auto" is no file of anybody
        return None
    try:
        path = (folder / value).resolve()
        return path if path.is_file() else None
    except (OSError, ValueError):
        return None


def _check_complete(
    prompt: Prompt, declared: Mapping[str, NodeDefinition], run: ServerRun, url: str
) -> None:
    """Raise GraphError when an output is missing, whatever the server said of success."""
    problems = [f"{describe(prompt, n)}: {why}" for n, why in run.blocked.items()]
    for node_id in output_nodes(prompt, declared):
        shows = prompt[node_id]["class_type"].startswith(SHOWING_PREFIXES)
        if node_id not in run.outputs and (shows or node_id not in run.started):
            problems.append(f"{describe(prompt, node_id)} made nothing")
    if problems:
        raise GraphError(f"The server {url} did not do everything: {'; '.join(problems)}.")
