"""A lock that processes share, against processes that wait, die and meet broken file systems."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from avatarvideo.errors import Cancelled
from avatarvideo.musetalk.weights.file_lock import locked

TESTS = Path(__file__).resolve().parents[2]
HEAD = f"""
import sys, time
from pathlib import Path
sys.path.insert(0, {str(TESTS)!r})
import conftest
from avatarvideo.musetalk.weights.file_lock import locked
lock = Path(sys.argv[1])
nothing = lambda: None
"""
COUNT = """
counter = lock.with_name("counter")
for _ in range(40):
    with locked(lock, on_wait=nothing, check_cancelled=nothing):
        number = int(counter.read_text())
        time.sleep(0.001)
        counter.write_text(str(number + 1))
"""
HOLD = """
with locked(lock, on_wait=nothing, check_cancelled=nothing):
    print("held", flush=True)
    time.sleep(60)
"""


def started(script: str, lock: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HEAD + script, str(lock)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def nothing() -> None:
    pass


@pytest.mark.slow
def test_one_process_at_a_time_and_no_file_left(tmp_path: Path) -> None:
    (tmp_path / "counter").write_text("0")
    processes = [started(COUNT, tmp_path / "lock") for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    for process in processes:
        process.communicate()
    assert (tmp_path / "counter").read_text() == "120"
    assert [path.name for path in tmp_path.iterdir()] == ["counter"]


@pytest.mark.slow
def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    waits: list[str] = []
    with started(HOLD, lock) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"

        with locked(lock, on_wait=lambda: waits.append("one"), check_cancelled=holder.kill):
            assert holder.wait(10) != 0
    assert waits == ["one"]
    assert not lock.exists()


def test_a_file_left_by_a_crash_is_no_lock(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.touch()
    waits: list[str] = []
    with locked(lock, on_wait=lambda: waits.append("one"), check_cancelled=nothing):
        assert lock.exists()
    assert waits == []
    assert not lock.exists()


def test_a_wait_can_be_cancelled_and_leaves_the_lock_to_its_holder(tmp_path: Path) -> None:
    lock = tmp_path / "lock"

    def cancel() -> None:
        raise Cancelled("The run was cancelled.")

    with locked(lock, on_wait=nothing, check_cancelled=nothing):
        with (
            pytest.raises(Cancelled),
            locked(lock, on_wait=nothing, check_cancelled=cancel),
        ):
            pytest.fail("both hold it")
        assert lock.exists()
        taken = threading.Event()

        def take() -> None:
            with locked(lock, on_wait=nothing, check_cancelled=nothing):
                taken.set()

        thread = threading.Thread(target=take)
        thread.start()
        assert not taken.wait(0.2)
    thread.join(10)
    assert taken.is_set()


@pytest.mark.skipif(os.name != "posix", reason="flock is POSIX's")
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_without_locks_it_goes_on_with_a_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: int,
) -> None:
    def flock(_descriptor: int, _operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", flock)
    went_on = False
    with locked(tmp_path / "lock", on_wait=nothing, check_cancelled=nothing):
        went_on = True
    assert went_on
    assert not (tmp_path / "lock").exists()
    assert caplog.messages == [
        f"Cannot lock {tmp_path / 'lock'} ({os.strerror(number)}): continuing without a lock; do "
        "not let another command write to this folder."
    ]


def test_a_lock_file_that_cannot_be_opened_is_a_sentence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "lock").mkdir()
    went_on = False
    with locked(tmp_path / "lock", on_wait=nothing, check_cancelled=nothing):
        went_on = True
    assert went_on
    assert [message.split(" (")[0] for message in caplog.messages] == [
        f"Cannot lock {tmp_path / 'lock'}"
    ]


def test_who_needs_a_lock_hears_that_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with (
        pytest.raises(IsADirectoryError),
        locked(tmp_path / "lock", on_wait=nothing, check_cancelled=nothing, is_needed=True),
    ):
        pytest.fail("held")
