"""What a killed process leaves goes with the next one; what a living one has stays."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from avatarvideo.cli.session import session
from avatarvideo.host.owned_files import MARKER, TEMPORARY_PREFIX, claim, sweep
from avatarvideo.musetalk.pipeline.spool import Spool

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no such locks")
ROOT = Path(__file__).resolve().parents[2]
# Makes what a run makes and waits to be killed.
OWNER = f"""
import importlib.util as u, sys, time
from pathlib import Path
spec = u.spec_from_file_location("avatarvideo", {str(ROOT / "__init__.py")!r})
sys.modules["avatarvideo"] = m = u.module_from_spec(spec); spec.loader.exec_module(m)
from avatarvideo.cli.session import session
from avatarvideo.musetalk.pipeline.spool import Spool
with session() as host:
    spools = [Spool(Path(sys.argv[1])), Spool(host.temp_directory)]
    print(host.temp_directory, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "spools").mkdir()
    command = [sys.executable, "-c", OWNER, str(tmp_path / "spools")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def test_what_a_killed_command_left_goes_with_the_next(
    owner: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert owner.stdout is not None
    folder = Path(owner.stdout.readline().strip())
    assert folder.parent == tmp_path
    with session() as host:
        assert host.temp_directory != folder
        Spool(tmp_path / "spools").release()
    assert folder.is_dir()  # its owner lives
    assert len(list((tmp_path / "spools").iterdir())) == len(list(folder.glob("*.spool"))) == 1

    owner.kill()
    owner.wait()
    time.sleep(0.1)
    assert folder.is_dir()
    with session():
        Spool(tmp_path / "spools").release()
    assert not folder.exists()
    assert list(tmp_path.glob(f"{TEMPORARY_PREFIX}*")) == []
    assert list((tmp_path / "spools").iterdir()) == []


def test_only_what_had_an_owner_is_swept(tmp_path: Path) -> None:
    (tmp_path / f"{TEMPORARY_PREFIX}mine").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / MARKER).touch()
    held = claim(tmp_path / "a.spool")
    os.close(claim(tmp_path / "b.spool"))
    for pattern in (f"{TEMPORARY_PREFIX}*", "*.spool"):
        sweep(tmp_path, pattern)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["a.spool", f"{TEMPORARY_PREFIX}mine", "other"]
    os.close(held)


def test_what_was_killed_before_it_was_claimed_goes_later(tmp_path: Path) -> None:
    folder = tmp_path / f"{TEMPORARY_PREFIX}12345678"
    folder.mkdir()
    full = tmp_path / f"{TEMPORARY_PREFIX}full"
    full.mkdir()
    (full / "mine.txt").touch()
    unclaimed = [folder / "owner.new", full / "owner.new", tmp_path / "a.spool.new"]
    for path in unclaimed:
        path.touch()
    for age, left in ((0, 6), (120, 2)):
        for path in unclaimed:
            os.utime(path, (time.time() - age, time.time() - age))
        for pattern in (f"{TEMPORARY_PREFIX}*", "*.spool"):
            sweep(tmp_path, pattern)
        assert len(list(tmp_path.rglob("*"))) == left
    assert (full / "mine.txt").is_file()
