"""The other end of a worker process, driven through streams in this one."""

from __future__ import annotations

import io
import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from avatarvideo.batch.files import BatchFolder
from avatarvideo.batch.ledger import Ledger
from avatarvideo.batch.maker import Maker
from avatarvideo.batch.rows import Job, Task
from avatarvideo.batch.worker import work
from avatarvideo.host.current import set_host
from avatarvideo.host.standalone import StandaloneHost
from avatarvideo.musetalk.interfaces import LipSyncConfig
from support.small_jobs import FRAMES, left_over, write_inputs, write_speech


class Worker:
    """A worker at the end of a pipe, in a thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = StandaloneHost(
            input_directory=folder, output_directory=folder / "out", temp_directory=folder / "temp"
        )
        set_host(self.host)
        ledger = Ledger(BatchFolder(folder / "out"))
        ledger.open()
        self.maker = Maker(self.host, ledger, "a worker")
        self.said = io.StringIO()
        reader, writer = os.pipe()
        self.jobs, self._reader = os.fdopen(writer, "w"), os.fdopen(reader)
        self.thread = threading.Thread(
            target=work, args=(self.host, self.maker, self._reader, self.said)
        )
        self.thread.start()

    def submit(self, output: str) -> None:
        files = str(self.folder / "avatar0.png"), str(self.folder / "speech0.wav")
        options = asdict(LipSyncConfig(mode="static", quality="low"))
        job = Job(Task(1, output, files, *files, options=options), "key", ())
        self.jobs.write(json.dumps({"job": job.as_json()}) + "\n")
        self.jobs.flush()

    def messages(self, count: int) -> list[dict[str, object]]:
        """Wait until so much was said, and return it."""
        deadline = time.monotonic() + 60
        while self.said.getvalue().count("\n") < count:
            assert time.monotonic() < deadline, self.said.getvalue()
            time.sleep(0.01)
        return [json.loads(line) for line in self.said.getvalue().splitlines()]

    def end(self) -> None:
        self.jobs.close()
        self.thread.join(60)
        assert not self.thread.is_alive()
        self._reader.close()
        self.maker.close()
        set_host(None)


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    write_inputs(tmp_path)
    worker = Worker(tmp_path)
    yield worker
    if not worker.jobs.closed:
        worker.end()


def test_it_says_when_it_is_ready_and_makes_jobs(worker: Worker) -> None:
    worker.submit("1.mp4")
    ready, made = worker.messages(2)
    assert list(ready) == ["ready"]
    outcome = made["outcome"]
    assert isinstance(outcome, dict)
    assert (outcome["output"], outcome["kind"], outcome["worker"]) == (
        *("1.mp4", "finished", "a worker"),
    )
    assert outcome["details"]["frame_count"] == FRAMES


@pytest.mark.slow
def test_when_the_driver_ends_it_gives_up_what_it_makes(worker: Worker, tmp_path: Path) -> None:
    worker.submit("1.mp4")
    worker.messages(2)
    write_speech(tmp_path / "speech0.wav", seconds=100)
    worker.submit("2.mp4")
    time.sleep(0.3)
    began = time.monotonic()
    worker.end()
    assert time.monotonic() - began < 9
    assert len(worker.messages(2)) == 2
    assert not (tmp_path / "out" / "2.mp4").exists()
    assert left_over(tmp_path / "out") == []
