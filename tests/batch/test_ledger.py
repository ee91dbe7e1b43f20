"""What counts as finished, whose work counts, and a list of results that mends itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from avatarvideo.batch import leases
from avatarvideo.batch.content import Hashes, key_of, stamp_of
from avatarvideo.batch.files import BatchFolder
from avatarvideo.batch.leases import Lease, Owner
from avatarvideo.batch.ledger import Ledger
from avatarvideo.batch.rows import Job, Task
from avatarvideo.errors import EncodeError
from support.small_jobs import lines_of

LONG_AGO = 2 * leases.STALE_SECONDS


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(BatchFolder(tmp_path / "out"))
    ledger.open()
    return ledger


@pytest.fixture
def owner(ledger: Ledger) -> Iterator[Owner]:
    owner = Owner(ledger.folder)
    yield owner
    owner.close()


def job(output: str = "a/b.mp4", key: str = "k") -> Job:
    return Job(Task(1, output, ()), key, ())


def finish(ledger: Ledger, owner: Owner, what: Job, data: bytes = b"a video") -> str:
    lease = ledger.take(what, owner)
    assert isinstance(lease, Lease)
    made = owner.work / "made.mp4"
    made.write_bytes(data)
    return ledger.commit(what, lease, made, {"mode": "static"})[0]


def test_a_commit_is_file_report_and_line(ledger: Ledger, owner: Owner) -> None:
    assert finish(ledger, owner, job()) == "finished"
    folder = ledger.folder
    assert folder.target("a/b.mp4").read_bytes() == b"a video"
    report = json.loads(folder.report("a/b.mp4").read_text())
    assert (report["key"], report["size"], report["mode"]) == ("k", 7, "static")
    assert [line["key"] for line in lines_of(folder.results)] == ["k"]
    assert list(folder.leases.iterdir()) == []
    assert ledger.take(job(), owner) == "already"
    assert isinstance(ledger.take(job(key="other"), owner), Lease)


@pytest.mark.parametrize("damage", ["cut", "replaced", "gone", "report cut", "report gone"])
def test_a_half_file_is_never_trusted(ledger: Ledger, owner: Owner, damage: str) -> None:
    finish(ledger, owner, job())
    target, report = ledger.folder.target("a/b.mp4"), ledger.folder.report("a/b.mp4")
    assert ledger.is_finished("a/b.mp4", "k")
    if damage == "cut":
        os.truncate(target, 3)
    elif damage == "replaced":
        target.write_bytes(b"another")  # as long
    elif damage == "report cut":
        os.truncate(report, 30)
    else:
        (target if damage == "gone" else report).unlink()
    assert not ledger.is_finished("a/b.mp4", "k")


def test_what_died_between_report_and_video_is_made_again_and_no_strangers(
    ledger: Ledger, owner: Owner
) -> None:
    ledger.folder.target("a/b.mp4").mkdir(parents=True)  # in the way of the second name
    with pytest.raises(IsADirectoryError):
        finish(ledger, owner, job())
    ledger.folder.target("a/b.mp4").rmdir()
    ledger.folder.target("a/b.mp4").write_bytes(b"what an earlier run made")
    assert not ledger.is_finished("a/b.mp4", "k")
    assert not ledger.is_of_others("a/b.mp4")


def test_only_our_own_failures_are_forgotten(ledger: Ledger, owner: Owner) -> None:
    made, kept = owner.work / "made.mp4", ledger.folder.target("failed/a/b.mp4")
    for _ in range(2):
        made.write_bytes(b"a video")
        assert ledger.set_aside(job(), made, {}) == str(kept)
        ledger.forget("a/b.mp4")
        assert list(kept.parent.iterdir()) == []
    kept.write_bytes(b"a stranger's")
    ledger.forget("a/b.mp4")
    made.write_bytes(b"a video")
    with pytest.raises(EncodeError, match="no batch made it, so move it away"):
        ledger.set_aside(job(), made, {})
    assert kept.read_bytes() == b"a stranger's"


def test_a_list_that_cannot_be_written_stops_nothing(
    ledger: Ledger, owner: Owner, caplog: pytest.LogCaptureFixture
) -> None:
    ledger.folder.results.mkdir()
    assert finish(ledger, owner, job()) == "finished"
    assert not ledger.mend_results(["k"], owner.work)
    assert set(caplog.messages) == {"Cannot write results.jsonl: Is a directory"}


def test_a_copied_result_is_still_finished(ledger: Ledger, owner: Owner) -> None:
    finish(ledger, owner, job())
    target = ledger.folder.target("a/b.mp4")
    copy = target.with_name("copy")
    copy.write_bytes(target.read_bytes())
    copy.replace(target)
    assert ledger.is_finished("a/b.mp4", "k")


def test_only_one_owner_holds_a_row(ledger: Ledger, owner: Owner) -> None:
    other = Owner(ledger.folder)
    assert isinstance(ledger.take(job(), owner), Lease)
    assert ledger.take(job(), other) == "busy"
    owner.close()  # as when its process dies
    assert isinstance(ledger.take(job(), other), Lease)
    other.close()
    owner._claim = os.open(os.devnull, os.O_RDONLY)  # for the fixture's own close


def test_a_clock_that_was_put_back_holds_no_row(ledger: Ledger, owner: Owner) -> None:
    assert isinstance(ledger.take(job(), owner), Lease)
    (path,) = ledger.folder.leases.iterdir()
    ahead = time.time() + LONG_AGO
    os.utime(path, (ahead, ahead))
    other = Owner(ledger.folder)
    assert isinstance(ledger.take(job(), other), Lease)
    other.close()


def test_whoever_lost_the_lease_finishes_nothing(ledger: Ledger, owner: Owner) -> None:
    stuck = ledger.take(job(), owner)
    assert isinstance(stuck, Lease)
    (path,) = ledger.folder.leases.iterdir()
    then = time.time() - LONG_AGO
    os.utime(path, (then, then))
    other = Owner(ledger.folder)
    assert finish(ledger, other, job(), b"the new one") == "finished"
    late = owner.work / "late.mp4"
    late.write_bytes(b"the late one")
    kind, sentence, _ = ledger.commit(job(), stuck, late, {})
    assert (kind, sentence) == ("busy", "Another worker has taken over the job.")
    assert ledger.folder.target("a/b.mp4").read_bytes() == b"the new one"
    assert len(lines_of(ledger.folder.results)) == 1
    other.close()


def test_a_lost_lease_is_noticed_while_the_work_goes_on(
    ledger: Ledger, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "BEAT_SECONDS", 0.02)
    lease = ledger.take(job(), owner)
    assert isinstance(lease, Lease)
    (path,) = ledger.folder.leases.iterdir()
    os.utime(path, (1, 1))
    told: list[bool] = []
    with lease.beating(lambda: told.append(True)):
        time.sleep(0.1)
        renewed = path.stat().st_mtime
        path.write_text("somebody")
        time.sleep(0.1)
    assert time.time() - renewed < 10
    assert (told, lease.is_lost) == ([True], True)


def test_an_input_that_changed_meanwhile_is_not_committed(
    ledger: Ledger, owner: Owner, tmp_path: Path
) -> None:
    source = tmp_path / "speech.wav"
    source.write_bytes(b"one")
    stamped = replace(job(), stamps=(stamp_of(str(source)),))
    source.write_bytes(b"two!")
    assert finish(ledger, owner, stamped) == "changed"
    assert not ledger.folder.target("a/b.mp4").exists()


@pytest.mark.parametrize("tear", ["cut", "cut in the middle", "line lost", "line twice", "gone"])
def test_results_that_are_torn_are_written_anew(ledger: Ledger, owner: Owner, tear: str) -> None:
    jobs = [job(f"{number}.mp4", f"k{number}") for number in range(3)]
    for one in jobs:
        finish(ledger, owner, one)
    results = ledger.folder.results
    whole = results.read_bytes()
    keys = [one.key for one in jobs]
    assert not ledger.mend_results(keys, owner.work)
    lines = whole.splitlines(keepends=True)
    if tear == "cut":
        results.write_bytes(whole[:-9])
    elif tear == "cut in the middle":
        results.write_bytes(b"".join([lines[0], lines[1][:9], b"\n", lines[2]]))
    elif tear == "gone":
        results.unlink()
    else:
        results.write_bytes(b"".join(lines[:-1] if tear == "line lost" else [*lines, lines[0]]))
    assert ledger.mend_results(keys, owner.work)
    assert results.read_bytes() == whole


@pytest.mark.parametrize("name", ["results.jsonl", "failures.jsonl", "status.json"])
def test_files_of_others_are_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("somebody's")
    with pytest.raises(EncodeError, match=f"or a folder without {name}, got"):
        Ledger(BatchFolder(tmp_path)).open()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "somebody's"


@pytest.mark.slow
def test_what_a_killed_process_left_is_removed(ledger: Ledger, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from avatarvideo.batch.files import BatchFolder\n"
        "from avatarvideo.batch.ledger import Ledger\n"
        "from avatarvideo.batch.leases import Owner\n"
        "from avatarvideo.batch.rows import Job, Task\n"
        "ledger = Ledger(BatchFolder(Path(sys.argv[1])))\n"
        "owner = Owner(ledger.folder)\n"
        "ledger.take(Job(Task(1, 'a.mp4', ()), 'k', ()), owner)\n"
        "(owner.work / 'half.mp4').touch()\n"
        "print('ready', flush=True); input()"
    )
    command = [sys.executable, "-c", script, str(ledger.folder.path)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    ledger.open()
    assert len(list(ledger.folder.work.iterdir())) == len(list(ledger.folder.leases.iterdir())) == 1
    child.kill()
    child.communicate()
    ledger.open()
    assert [*ledger.folder.work.iterdir(), *ledger.folder.leases.iterdir()] == []


def test_a_key_is_of_contents_options_and_name(tmp_path: Path) -> None:
    for name in ("a.png", "b.wav"):
        (tmp_path / name).write_bytes(name.encode())
    task = Task(1, "a.mp4", (str(tmp_path / "a.png"), str(tmp_path / "b.wav")), options={"fps": 25})
    hashes = Hashes(tmp_path / "hashes.json", tmp_path)
    first = key_of(task, hashes)[0]
    assert key_of(replace(task, line=9), hashes)[0] == first
    others = [
        replace(task, output="b.mp4"),
        replace(task, options={"fps": 30}),
        replace(task, threads=2),
        replace(task, limits="offset=1"),
        replace(task, settings=(("A.b", "c"),)),
    ]
    (tmp_path / "copy.png").write_bytes(b"a.png")
    same = replace(task, inputs=(str(tmp_path / "copy.png"), task.inputs[1]))
    assert key_of(same, hashes)[0] == first
    (tmp_path / "a.png").write_bytes(b"A.png")
    keys = {key_of(one, hashes)[0] for one in [*others, task]}
    assert len(keys | {first}) == 7


def test_hashes_are_kept_for_files_that_stay_the_same(tmp_path: Path) -> None:
    path, kept = tmp_path / "a.wav", tmp_path / "hashes.json"
    path.write_bytes(b"one")
    hashes = Hashes(kept, tmp_path)
    hashes.of(stamp_of(str(path)))
    hashes.save(now=True)
    assert not kept.exists()  # just written, it could change again in the same instant
    os.utime(path, (1000, 1000))
    digest = hashes.of(stamp_of(str(path)))
    hashes.save(now=True)
    assert json.loads(kept.read_text())[str(path)][-1] == digest
    again = Hashes(kept, tmp_path)
    path.write_bytes(b"two")
    os.utime(path, (1000, 1000))
    assert again.of(stamp_of(str(path))) == digest  # by its stamp alone
    os.utime(path, (1001, 1001))
    assert again.of(stamp_of(str(path))) != digest
    kept.write_text('{"a": [1')
    assert Hashes(kept, tmp_path).of(stamp_of(str(path))) != digest
