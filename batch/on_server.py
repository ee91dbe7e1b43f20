"""Makes the files of jobs on one ComfyUI server."""

from __future__ import annotations

import time
from pathlib import Path

from ..headless.comfy_server import ComfyServer, ServerError
from ..headless.prompt import Declared
from ..headless.run import Workflow, load_workflow
from ..headless.servers import Job, JobResult, ServerWorker
from ..host.standalone import StandaloneHost
from ..json_values import JSON
from .rows import Task
from .server_graph import graph_of

RETURN_SECONDS = 60.0  # until a server that went away, or starts anew, counts as lost
ASK_SECONDS = 1.0


class OnServer:
    """One server. results: the folder for files that it made; the maker empties it."""

    def __init__(self, url: str, host: StandaloneHost, results: Path) -> None:
        self.url = url
        self._host = host
        server = ComfyServer(url, host.check_cancelled)
        self._worker = ServerWorker(server, host.input_directory, results, host.check_cancelled)

    def connect(self, seconds: float = RETURN_SECONDS) -> None:
        """Wait until the server answers. Raises ServerError when it does not for so long."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                self._worker.connect()
            except ServerError:
                if time.monotonic() > deadline:
                    raise
            else:
                return
            self._host.check_cancelled()
            time.sleep(ASK_SECONDS)

    def make(self, task: Task, avatar: Path, audio: Path) -> dict[str, JSON]:
        """Have a task's files made and fetched; return what is to be told of them.

        avatar, audio: of a row without a workflow. Raises ServerError where the server goes away,
        GraphError for what it refuses or cannot do, Cancelled.
        """

        def build(declared: Declared) -> Workflow:
            if task.workflow:
                check = self._host.check_cancelled
                return load_workflow(Path(task.workflow), declared, task.settings, check)
            return Workflow(dict(graph_of(task, avatar, audio, declared)), None)

        result = JobResult(Job(task.output, build))
        self._worker.run(result)
        if result.error is not None:
            raise result.error
        remarks = result.remarks
        modes = [one.split(": ")[1] for one in remarks if "MuseTalk" in one]
        details: dict[str, JSON] = {"server": self.url, "texts": result.texts, "remarks": remarks}
        return details | ({"mode": modes[0]} if modes else {})
