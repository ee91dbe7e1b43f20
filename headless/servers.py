"""The ``--server`` side of ``avatar run``: workflows shared out among ComfyUI servers.

Each server gets the next workflow as soon as it is free, and has a thread. A server that goes
away gives its workflow back to the others. Only the calling thread touches the host, its folders
aside.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import AvatarVideoError, Cancelled, GraphError, MediaError
from ..host.current import current_host
from ..host.reading import readable
from ..json_values import JSON, list_in
from ..texts import plain
from .bounds import cancellable
from .comfy_server import SILENCE_SECONDS, ComfyServer, RunProgress, ServerError, ServerRun
from .prompt import (
    Declared,
    Prompt,
    describe,
    first_problems,
    is_link,
    natural_order,
    output_entries,
    output_nodes,
)
from .run import Workflow

logger = logging.getLogger("avatarvideo.headless.servers")

MOST_FILES = 20_000  # of one run
MOST_TEXTS = 1000  # of one node
WAIT_SECONDS = 0.05  # how often the calling thread looks after the host and the progress
# Nodes of these names always show what they made; when they show nothing they did not run.
SHOWING_PREFIXES = ("Save", "Preview", "FFmpegEncode", "VideoInfo")


@dataclass(frozen=True)
class Job:
    """One workflow to run. build: makes it for what a server's node classes declare."""

    name: str
    build: Callable[[Declared], Workflow]


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
    stopped = threading.Event()

    def check() -> None:
        if stopped.is_set():
            raise Cancelled("The run was cancelled.")

    def tick(fraction: float) -> None:
        check_cancelled()
        on_progress(fraction)

    connected = [ComfyServer(url, check, silence=silence) for url in dict.fromkeys(servers)]
    workers = [
        ServerWorker(server, input_directory, output_directory, check) for server in connected
    ]
    results = [JobResult(job) for job in jobs]
    with ThreadPoolExecutor(len(workers)) as pool:
        try:
            _share_out(results, workers, pool, tick)
        finally:
            stopped.set()
    return results


def _share_out(
    results: Sequence[JobResult],
    workers: Sequence[ServerWorker],
    pool: Executor,
    tick: Callable[[float], None],
) -> None:
    """Fill the results in. tick: called with what is done (0..1) until nothing runs any more."""
    waiting, idle = deque(results), list[ServerWorker]()
    running: dict[Future[None], tuple[ServerWorker, JobResult | None]]
    running = {pool.submit(worker.connect): (worker, None) for worker in workers}
    lost = None
    while running:
        unfinished = len(waiting) + sum(result is not None for _, result in running.values())
        parts = sum(worker.fraction for worker in workers)
        tick((len(results) - unfinished + parts) / max(1, len(results)))
        for done in wait(running, WAIT_SECONDS, FIRST_COMPLETED).done:
            worker, result = running.pop(done)
            worker.fraction = 0.0
            try:
                done.result()
                idle.append(worker)
            except ServerError as error:
                lost = error
                waiting.extendleft([result] if result is not None else [])
                if idle or running:  # the last one's error is the result
                    logger.warning("%s", error)
        while waiting and idle:
            worker, result = idle.pop(0), waiting.popleft()
            running[pool.submit(worker.run, result)] = (worker, result)
    for result in waiting:
        result.error = lost


class ServerWorker:
    """One server, and how far its present job is (0..1). Its methods run in a thread."""

    def __init__(
        self, server: ComfyServer, inputs: Path, outputs: Path, check: Callable[[], None]
    ) -> None:
        self._server = server
        self._check = check
        self._inputs = inputs
        self._outputs = outputs
        self._declared: Declared = {}
        self.fraction = 0.0

    def connect(self) -> None:
        self._declared = self._server.definitions()

    def run(self, result: JobResult) -> None:
        """Fill in what becomes of a job. Raises ServerError; another server may have it then."""

        def note(progress: RunProgress) -> None:
            self.fraction = progress.fraction

        server = result.server = self._server.url
        try:
            workflow = cancellable(lambda: result.job.build(self._declared), self._check)
            prompt = with_uploads(workflow.prompt, self._declared, self._server, self._inputs)
            logger.info("%s: sent to %s", result.job.name, server)
            extra = workflow.extra_pnginfo
            run = self._server.run(prompt, extra_pnginfo=extra, on_progress=note)
            self._collect(result, run, prompt)
            _check_complete(prompt, self._declared, run, server)
        except ServerError:
            result.server, result.files, result.texts, result.remarks = "", [], {}, []
            raise
        except Cancelled:
            raise
        except AvatarVideoError as error:
            result.error = error

    def _collect(self, result: JobResult, run: ServerRun, prompt: Prompt) -> None:
        for node_id in sorted(run.outputs, key=natural_order):
            shown = run.outputs[node_id]
            for entry in output_entries(shown):
                if len(result.files) >= MOST_FILES:
                    raise ServerError(
                        f"Expected at most {MOST_FILES:,} results of one run of the server "
                        f"{self._server.url}, got more."
                    )
                result.files.append(self._server.download(entry, self._outputs))
            texts = [plain(text) for text in list_in(shown, "text")[:MOST_TEXTS]]
            # A node that the run itself grew is not in the prompt.
            definition = self._declared.get(prompt.get(node_id, {}).get("class_type", ""))
            if definition is None or definition.is_output:
                result.texts |= {node_id: texts} if texts else {}
            else:
                result.remarks += [f"{definition.display_name}: {text}" for text in texts]


def with_uploads(
    prompt: Mapping[str, JSON], declared: Declared, server: ComfyServer, folder: Path
) -> dict[str, JSON]:
    """Return a prompt whose local files are on the server.

    A combo's value that names a file of ``folder`` (or any file by its full path) is sent; what
    the server knows and we have not stays as it is.
    """
    sent: dict[Path, str] = {}
    changed = dict(prompt)
    for node_id, node in prompt.items():
        definition = declared.get(node.get("class_type", ""))
        inputs = dict(node.get("inputs", {}))
        live = definition.live_inputs(inputs) if definition is not None else {}
        for name, value in inputs.items():
            if name not in live or live[name].choices is None or is_link(value):
                continue
            path = _local_file(value, folder)
            if path is None:
                continue
            if path not in sent:
                sent[path] = server.upload(path)
            inputs[name] = sent[path]
        changed[node_id] = {**node, "inputs": inputs}
    return changed


def _local_file(value: JSON, folder: Path) -> Path | None:
    if not isinstance(value, str) or not Path(value).suffix:  # "auto" is no file of anybody
        return None
    try:
        path = readable(current_host(), folder / value).resolve()
        return path if path.is_file() else None
    except (MediaError, OSError, ValueError):
        return None


def _check_complete(prompt: Prompt, declared: Declared, run: ServerRun, url: str) -> None:
    """Raise GraphError when an output is missing, whatever the server said of success."""
    problems = [f"{describe(prompt, n)}: {why}" for n, why in run.blocked.items()]
    for node_id in output_nodes(prompt, declared):
        shows = prompt[node_id]["class_type"].startswith(SHOWING_PREFIXES)
        if node_id not in run.outputs and (shows or node_id not in run.started):
            problems.append(f"{describe(prompt, node_id)} made nothing")
    if problems:
        raise GraphError(f"The server {url} did not do everything: {first_problems(problems)}")
