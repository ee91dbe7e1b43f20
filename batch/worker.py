"""The other end of a worker process: jobs in on one stream, outcomes out on the other.

Lines of JSON: {"job": ...} in; {"ready": seconds} once, and {"outcome": ..., "ends": false} for
each job out, true where the worker takes no other after it. When the first stream ends, the driver
has ended or wants us to: what is being made is given up.
"""

from __future__ import annotations

import json
import os
import queue
import threading
import time
from dataclasses import asdict
from typing import TextIO

from ..errors import Cancelled
from ..host.standalone import StandaloneHost
from ..json_values import parse_json
from .maker import Maker
from .rows import Job

END_SECONDS = 10.0  # to give up what is being made; then the process ends at once
BROKEN_DEVICE = "CUDA error"  # after which this process can compute nothing any more


def work(host: StandaloneHost, maker: Maker, jobs: TextIO, outcomes: TextIO) -> None:
    """Make jobs until the stream of them ends. Raises Cancelled where a signal wants that."""
    began = time.perf_counter()
    waiting: queue.Queue[Job | None] = queue.Queue()
    ended, is_over = threading.Event(), threading.Event()

    def read() -> None:
        for line in jobs:
            waiting.put(Job.from_json(parse_json(line)["job"]))
        ended.set()
        host.cancel()
        waiting.put(None)
        if not is_over.wait(END_SECONDS):
            os._exit(1)

    threading.Thread(target=read, name="avatarvideo-jobs", daemon=True).start()
    try:
        maker.load()
        _say(outcomes, {"ready": round(time.perf_counter() - began, 3)})
        while (job := waiting.get()) is not None:
            outcome = maker.make(job)
            ends = BROKEN_DEVICE in outcome.error or outcome.kind == "lost"
            _say(outcomes, {"outcome": asdict(outcome), "ends": ends})
            if ends:
                return
    except Cancelled:
        if not ended.is_set():
            raise
    except BrokenPipeError:
        return  # the driver has ended
    finally:
        is_over.set()


def _say(outcomes: TextIO, message: object) -> None:
    outcomes.write(json.dumps(message) + "\n")
    outcomes.flush()
