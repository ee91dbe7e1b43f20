from __future__ import annotations

import os
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from avatarvideo.encoders.encoder import encode_frames
from avatarvideo.encoders.write.output_file import STALE_SECONDS, PendingFile, remove_stale
from avatarvideo.errors import EncodeError

OURS = (".avatarvideo-0123456789ab.part", ".avatarvideo-clip_00001.reserved")
OTHERS = (".avatarvideo-notes.txt", "avatarvideo-0123456789ab.part", "clip.part", "clip_00001.mp4")


def test_only_our_own_old_names_are_cleared(tmp_path: Path) -> None:
    for name in (*OURS, *OTHERS):
        (tmp_path / name).touch()
    folder = tmp_path / ".avatarvideo-ba9876543210.part"
    folder.mkdir()
    (folder / "clip_00001.png").touch()
    now = folder.stat().st_mtime

    remove_stale(tmp_path, now=now + STALE_SECONDS - 10)
    assert len(list(tmp_path.iterdir())) == len(OURS) + len(OTHERS) + 1

    remove_stale(tmp_path, now=now + STALE_SECONDS + 10)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted(OTHERS)


def test_a_link_of_that_name_goes_without_what_it_names(tmp_path: Path) -> None:
    precious, work = tmp_path / "precious", tmp_path / "work"
    precious.mkdir()
    work.mkdir()
    (precious / "holiday.jpg").touch()
    link = work / OURS[0]
    link.symlink_to(precious)
    os.utime(link, (0, 0), follow_symlinks=False)

    PendingFile(work / "a.mp4")

    assert list(work.iterdir()) == []
    assert (precious / "holiday.jpg").exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc and a limit on files")
@pytest.mark.parametrize("room", [0, 1000], ids=["none for the header", "none for the pictures"])
def test_a_file_without_room_is_not_left_open(tmp_path: Path, room: int) -> None:
    import resource

    def opened() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - numbers

    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)
    before = opened()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(EncodeError, match=r"Could not write 'a.mp4': File too large"):
            encode_frames([noise] * 9, tmp_path / "a.mp4", frame_rate=Fraction(25))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert opened() == before
    assert list(tmp_path.iterdir()) == []
