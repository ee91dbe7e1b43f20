"""Results on an object store: what counts as finished, whose work counts, what is said of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from avatarvideo.batch import store_leases
from avatarvideo.batch.addresses import Address
from avatarvideo.batch.content import stamp_of
from avatarvideo.batch.files import BatchFolder
from avatarvideo.batch.leases import STALE_SECONDS, Lease, Owner
from avatarvideo.batch.rows import Job, Task
from avatarvideo.batch.store_ledger import StoreLedger
from avatarvideo.batch.stores import Store
from avatarvideo.cli.main import main
from avatarvideo.errors import EncodeError
from avatarvideo.host.current import set_host
from support.optional_library import library
from support.small_jobs import row, write_inputs, write_list

PLACE = Address("memory", "memory://out")
JOB = Job(Task(1, "a/b.mp4", ()), "k", ())


@pytest.fixture
def store() -> Iterator[Any]:
    """The files of this process's own store."""
    files = library("fsspec").filesystem("memory")
    files.store.clear()
    yield files
    files.store.clear()


class Worker:
    """A ledger and an owner of leases, as each worker has."""

    def __init__(self, folder: Path) -> None:
        self.ledger = StoreLedger(PLACE, BatchFolder(folder))
        self.ledger.open()
        self.owner = Owner(self.ledger.folder)

    def taken(self, job: Job = JOB) -> Lease:
        lease = self.ledger.take(job, self.owner)
        assert isinstance(lease, Lease)
        return lease

    def commit(self, lease: Lease, data: bytes = b"a video", job: Job = JOB) -> str:
        made = self.owner.work / "made.mp4"
        made.write_bytes(data)
        return self.ledger.commit(job, lease, made, {"mode": "static"})[0]


@pytest.fixture
def workers(store: Any, tmp_path: Path) -> Iterator[tuple[Worker, Worker]]:
    both = Worker(tmp_path / "1"), Worker(tmp_path / "2")
    yield both
    for one in both:
        one.owner.close()


def names(store: Any) -> list[str]:
    return sorted(name.removeprefix("/out/") for name in store.store)


def test_a_commit_is_a_video_and_a_report(workers: tuple[Worker, Worker], store: Any) -> None:
    one, other = workers
    assert one.commit(one.taken()) == "finished"
    assert names(store) == ["a/b.mp4", "a/b.mp4.report.json"]
    assert store.cat_file("/out/a/b.mp4") == b"a video"
    report = json.loads(store.cat_file("/out/a/b.mp4.report.json"))
    assert (report["key"], report["size"], report["mode"]) == ("k", 7, "static")
    assert other.ledger.take(JOB, other.owner) == "already"
    other.ledger.look_up(["a/b.mp4", "c.mp4"])
    assert other.ledger.report_of("a/b.mp4") == report
    assert other.ledger.is_whole("a/b.mp4", report)
    assert other.ledger.report_of("c.mp4") is None
    assert other.commit(other.taken(replace(JOB, key="new")), b"new", replace(JOB, key="new")) == (
        "finished"
    )
    one.ledger.publish(at_end=True)
    (line,) = store.cat_file("/out/results.jsonl").splitlines()
    assert (json.loads(line)["key"], json.loads(line)["size"]) == ("new", 3)


@pytest.mark.parametrize("damage", ["cut", "gone", "report cut", "report gone"])
def test_a_half_row_is_never_trusted(
    workers: tuple[Worker, Worker], store: Any, damage: str
) -> None:
    one, other = workers
    one.commit(one.taken())
    path = "/out/a/b.mp4.report.json" if "report" in damage else "/out/a/b.mp4"
    kept = store.cat_file(path)
    store.rm_file(path)
    if "cut" in damage:
        store.pipe_file(path, kept[:3])
    other.ledger.look_up(["a/b.mp4"])
    report = other.ledger.report_of("a/b.mp4")
    assert report is None or not other.ledger.is_whole("a/b.mp4", report)
    assert other.commit(other.taken()) == "finished"


def test_a_row_is_held_by_one_until_it_is_silent(
    workers: tuple[Worker, Worker], monkeypatch: pytest.MonkeyPatch, store: Any
) -> None:
    one, other = workers
    first = one.taken()
    assert other.ledger.take(JOB, other.owner) == "busy"
    later = other.ledger._store.now() + STALE_SECONDS + 1
    monkeypatch.setattr(other.ledger._store, "now", lambda: later)
    second = other.taken()
    assert (first.is_ours(), second.is_ours()) == (False, True)
    assert first.goes_on() is False
    assert one.commit(first, b"a zombie's") == "busy"
    assert "/out/a/b.mp4" not in store.store
    assert other.commit(second) == "finished"
    assert names(store) == ["a/b.mp4", "a/b.mp4.report.json"]


def test_a_video_sent_over_anothers_unmakes_the_row(
    workers: tuple[Worker, Worker], monkeypatch: pytest.MonkeyPatch, store: Any
) -> None:
    """One was stopped while it sent, another finished, and what the first sent arrives."""
    one, other = workers
    first = one.taken()
    put = one.ledger._store.put

    def late(name: str, file: Path) -> Any:
        store.rm("/out/.avatar-batch", recursive=True)  # as if the lease were stale
        assert other.commit(other.taken(), b"theirs") == "finished"
        return put(name, file)

    monkeypatch.setattr(one.ledger._store, "put", late)
    assert one.commit(first) == "busy"
    assert names(store) == ["a/b.mp4"]
    assert other.commit(other.taken()) == "finished"


def test_the_lease_of_a_killed_worker_is_swept(
    workers: tuple[Worker, Worker], monkeypatch: pytest.MonkeyPatch, store: Any
) -> None:
    one, other = workers
    one.taken()
    monkeypatch.setattr(store_leases, "STALE_SECONDS", -1.0)
    other.ledger.open()
    assert names(store) == []


def test_inputs_that_changed_and_scores_too_low_do_not_count(
    workers: tuple[Worker, Worker], store: Any, tmp_path: Path
) -> None:
    one, _ = workers
    speech = tmp_path / "speech.wav"
    speech.write_bytes(b"one")
    job = replace(JOB, stamps=(stamp_of(str(speech)),))
    speech.write_bytes(b"another")
    assert one.commit(one.taken(job), job=job) == "changed"
    made = one.owner.work / "made.mp4"
    assert one.ledger.set_aside(JOB, made, {}) == "memory://out/failed/a/b.mp4"
    assert "failed/a/b.mp4.report.json" in names(store)
    one.ledger.forget("a/b.mp4")
    assert [name for name in names(store) if "failed" in name] == []


def test_a_store_that_writes_over_files_is_refused(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = type(store).pipe_file

    def over(self: Any, path: str, value: bytes, mode: str = "overwrite") -> None:
        kept(self, path, value)

    monkeypatch.setattr(type(store), "pipe_file", over)
    with pytest.raises(EncodeError) as refusal:
        StoreLedger(PLACE, BatchFolder(tmp_path)).open()
    assert str(refusal.value) == (
        "Expected a store that can create a file without overwriting one (If-None-Match), but "
        "memory://out overwrites: write the results to a folder on this machine."
    )
    assert names(store) == []


def call(
    capsys: pytest.CaptureFixture[str], folder: Path, rows: list[dict[str, Any]], *more: str
) -> tuple[int, str, str]:
    write_list(folder / "jobs.jsonl", rows)
    code = main(["batch", str(folder / "jobs.jsonl"), *more])
    set_host(None)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        (
            "memory://out",
            "Expected results where workers see it, but memory:// exists only in this process",
        ),
        (
            "https://a.example/out",
            "Expected a folder for the results, on this machine or in a store such as",
        ),
        (
            "s3://bucket/a*",
            "Expected a folder for the results, on this machine or in a store such as",
        ),
        ("s3://me:geheim@bucket/a", "credentials are read from the environment only"),
        ("file:///tmp/out", "got one of 'file'"),
        ("simplecache::s3://bucket/a", "Expected a file or an address of"),
    ],
)
def test_other_places_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str, sentence: str
) -> None:
    write_inputs(tmp_path)
    code, out, err = call(capsys, tmp_path, [row("1.mp4")], "--output-dir", place)
    assert code in (1, 2)
    assert (out, "geheim" in err) == ("", False)
    assert sentence in err


@pytest.mark.slow
def test_rows_go_to_a_store_and_are_skipped_then(
    bucket: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_inputs(tmp_path)
    rows = [row("a/1.mp4"), row("2.mp4", avatar=1), row("a/3.mp4", speech=1)]
    place = "--output-dir", "s3://bucket/out", "--workers", "2"
    code, out, err = call(capsys, tmp_path, rows, *place)
    assert (code, len(out.splitlines())) == (0, 3), err
    found = sorted(bucket.find("bucket/out"))
    videos = ["2.mp4", "a/1.mp4", "a/3.mp4"]
    results = [name for one in videos for name in (one, f"{one}.report.json")]
    expected = sorted([*results, "results.jsonl", "status.json"])
    assert [name.removeprefix("bucket/out/") for name in found] == expected
    written = [bucket.cat_file(name).decode() for name in found if not name.endswith(".mp4")]
    assert "testing-" not in out + err + "".join(written)
    assert json.loads(bucket.cat_file("bucket/out/status.json"))["made"] == 3
    assert call(capsys, tmp_path, rows, *place)[:2] == (0, "")
    bucket.pipe_file("bucket/out/2.mp4", b"another")
    code, out, _ = call(capsys, tmp_path, rows, *place)
    assert (code, [line.split()[1] for line in out.splitlines()]) == (0, ["2.mp4:"])
    lines = bucket.cat_file("bucket/out/results.jsonl").splitlines()
    assert sorted(json.loads(line)["output"] for line in lines) == videos


def test_what_a_stores_library_logs_is_not_said(
    store: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    Store(PLACE)
    root = logging.getLogger()
    kept, root.handlers = root.handlers, []  # those of pytest
    try:
        logging.getLogger("fsspec").error("a traceback")
    finally:
        root.handlers = kept
    assert capfd.readouterr().err == ""


def test_a_store_that_does_not_answer_is_told_by_what_was_wanted_first(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any, **__: Any) -> None:
        raise ConnectionError

    for name in ("pipe_file", "rm_file"):
        monkeypatch.setattr(type(store), name, gone)
    with pytest.raises(EncodeError, match=r"^Cannot write memory://out/\.avatar-batch/\w+: Conn"):
        Worker(tmp_path)


@pytest.mark.slow
def test_a_store_that_may_not_be_written_is_one_sentence(
    bucket: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_inputs(tmp_path)
    place = "--output-dir", "s3://no-bucket/out"
    code, out, err = call(capsys, tmp_path, [row("1.mp4")], *place)
    assert (code, out) == (1, "")
    assert err.startswith("Error: Cannot write s3://no-bucket/out/.avatar-batch/")
    assert err.endswith(": there is no such file.\n")
