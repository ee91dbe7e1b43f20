"""What a worker makes of jobs that do not go well; its leases and folders end with each."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from avatarvideo.batch import leases
from avatarvideo.batch.files import BatchFolder
from avatarvideo.batch.ledger import Ledger
from avatarvideo.batch.maker import Maker
from avatarvideo.batch.rows import Job, Task
from avatarvideo.errors import Cancelled
from avatarvideo.host.current import set_host
from avatarvideo.host.standalone import StandaloneHost
from avatarvideo.musetalk.interfaces import LipSyncConfig
from support.small_jobs import FRAMES, frames_of, left_over, write_inputs, write_speech

pytestmark = pytest.mark.slow


@pytest.fixture
def maker(tmp_path: Path) -> Iterator[Maker]:
    write_inputs(tmp_path)
    host = StandaloneHost(
        input_directory=tmp_path,
        output_directory=tmp_path / "out",
        temp_directory=tmp_path / "temp",
    )
    set_host(host)
    ledger = Ledger(BatchFolder(tmp_path / "out"))
    ledger.open()
    maker = Maker(host, ledger, "a worker")
    yield maker
    maker.close()
    set_host(None)


def job(folder: Path, output: str = "a.mp4", **options: object) -> Job:
    files = str(folder / "avatar0.png"), str(folder / "speech0.wav")
    config = asdict(LipSyncConfig(**{"mode": "static", "quality": "low", **options}))
    return Job(Task(1, output, files, *files, options=config), "key", ())


def test_a_job_that_arrives_as_json_is_the_same() -> None:
    task = Task(3, "a.mp4", ("x", "y"), "x", "y", {"mouth": [1, 2, 3, 4]}, settings=(("A.b", "c"),))
    one = Job(task, "key", (), 2)
    assert Job.from_json(one.as_json()) == one


def test_lip_corners_survive_the_way_to_a_worker(maker: Maker, tmp_path: Path) -> None:
    from avatarvideo.media import LipCorners

    one = job(tmp_path, mode="puppet", mouth=LipCorners(20, 42, 44, 42))
    outcome = maker.make(Job.from_json(one.as_json()))
    assert (outcome.kind, outcome.details["mode"]) == ("finished", "puppet")
    assert len(frames_of(tmp_path / "out" / "a.mp4")) == FRAMES


def test_a_source_that_cannot_be_read_fails_with_its_sentence(maker: Maker, tmp_path: Path) -> None:
    (tmp_path / "speech0.wav").write_bytes(b"RIFF")
    outcome = maker.make(job(tmp_path))
    assert outcome.kind == "failed"
    assert "speech0.wav" in outcome.error
    assert outcome.worker == "a worker"
    assert list((tmp_path / "out" / ".avatar-batch" / "leases").iterdir()) == []


def test_a_cancel_leaves_neither_lease_nor_file(maker: Maker, tmp_path: Path) -> None:
    maker._host.cancel()
    with pytest.raises(Cancelled):
        maker.make(job(tmp_path))
    assert maker.make(job(tmp_path)).kind == "finished"
    maker.close()
    assert left_over(tmp_path / "out") == []
    maker._owner = leases.Owner(BatchFolder(tmp_path / "out"))  # for the fixture's own close


def test_a_row_that_another_took_over_is_given_up_and_the_next_goes_on(
    maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "BEAT_SECONDS", 0.01)
    write_speech(tmp_path / "speech0.wav", seconds=100)
    folder = BatchFolder(tmp_path / "out")
    taken = maker._ledger.take

    def take_and_lose(one: Job, owner: leases.Owner) -> object:
        lease = taken(one, owner)
        leases.lease_path(folder, one.task.output).write_text("somebody")
        return lease

    monkeypatch.setattr(maker._ledger, "take", take_and_lose)
    began = time.monotonic()
    outcome = maker.make(job(tmp_path))
    assert (outcome.kind, outcome.error) == ("busy", "Another worker has taken over the job.")
    assert not (tmp_path / "out" / "a.mp4").exists()
    assert leases.lease_path(folder, "a.mp4").read_text() == "somebody"
    monkeypatch.undo()
    write_speech(tmp_path / "speech0.wav")
    assert maker.make(job(tmp_path, "b.mp4")).kind == "finished"
    assert time.monotonic() - began < 60


def test_fixed_threads_are_for_their_job_alone(maker: Maker, tmp_path: Path) -> None:
    import cv2
    import torch

    torch.set_num_threads(2)
    maker.make(job(tmp_path))
    usual = torch.get_num_threads(), cv2.getNumThreads()
    one = job(tmp_path, "b.mp4")
    maker.make(Job(Task(**{**vars(one.task), "threads": 1}), "key", ()))
    assert (torch.get_num_threads(), cv2.getNumThreads()) == (1, 1)
    maker.make(job(tmp_path, "c.mp4"))
    assert (torch.get_num_threads(), cv2.getNumThreads()) == usual
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or 1))
