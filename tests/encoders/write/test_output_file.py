from __future__ import annotations

import os
from pathlib import Path

from avatarvideo.encoders.write.output_file import STALE_SECONDS, PendingFile, remove_stale

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
