"""Avatars kept on disk: what is found there is what would be made."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from avatarvideo.errors import Cancelled
from avatarvideo.musetalk.pipeline.avatar_cache import AvatarCache
from avatarvideo.musetalk.pipeline.cpu_features import Tuning


@pytest.mark.slow
def test_a_run_resumed_from_the_disk_equals_a_fresh_one(clips: Any, tmp_path: Path) -> None:
    clips.tuning = Tuning(chunk=1)
    job = clips.job("fff", seconds=0.12)

    def stop_after_two_faces(work: Any) -> None:
        if work.done >= 3 + 2:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        clips.speak(
            job,
            cache=AvatarCache(tmp_path / "kept"),
            poll=stop_after_two_faces,
            poll_seconds=1e-3,
        )
    models, encoded = clips.counting_encodes()
    resumed = clips.shown(job, models, cache=AvatarCache(tmp_path / "kept"))
    assert sum(encoded) <= 2
    assert np.array_equal(resumed, clips.shown(job))


ENTRY = {
    "latents": torch.arange(24, dtype=torch.float16).reshape(2, 3, 4),
    "box": torch.tensor(7),
    "mask": torch.zeros(0, 3, dtype=torch.uint8),
}


def same(one: Any, other: Any) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_what_was_kept_comes_back_in_another_process(tmp_path: Path) -> None:
    AvatarCache(tmp_path).put("key", ENTRY)
    found = AvatarCache(tmp_path).get("key")
    assert found is not None
    assert same(found, ENTRY)


def test_a_kept_avatar_with_other_bytes_is_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    AvatarCache(tmp_path).put("key", ENTRY)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for place in (-1, -10, -30):  # among the tensors, which the format itself does not check
        damaged = bytearray(whole)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        assert AvatarCache(tmp_path).get("key") is None
    assert caplog.text.count("does not hold what was kept there: it is made again") == 3
    path.write_bytes(whole)
    assert AvatarCache(tmp_path).get("key") is not None
    path.rename(tmp_path / "other.safetensors")  # another avatar's
    assert AvatarCache(tmp_path).get("other") is None


def test_a_file_of_an_earlier_version_is_made_again(tmp_path: Path) -> None:
    save_file(ENTRY, tmp_path / "key.safetensors")
    cache = AvatarCache(tmp_path)
    assert cache.get("key") is None
    cache.put("key", ENTRY)
    assert AvatarCache(tmp_path).get("key") is not None


def test_a_file_in_place_of_the_folder_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "cache"
    file.write_text("mine")
    cache = AvatarCache(file)
    for key in ("one", "two"):
        cache.put(key, ENTRY)
        found = cache.get(key)
        assert found is not None
        assert same(found, ENTRY)
    assert caplog.text.count("\n") == 1
    assert f"got the file {file}" in caplog.text
    assert file.read_text() == "mine"


def test_a_folder_that_becomes_a_file_ends_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    cache = AvatarCache(folder)
    folder.write_text("mine")
    cache.put("key", ENTRY)
    assert same(cache.get("key"), ENTRY)


def test_what_a_killed_process_did_not_finish_goes(tmp_path: Path) -> None:
    old, new = (tmp_path / f"key.safetensors.{name}.part" for name in ("old", "new"))
    for path, age in ((old, 7200), (new, 0)):
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age, time.time() - age))
    AvatarCache(tmp_path).put("key", ENTRY)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["key.safetensors", new.name]


def test_whatever_lies_in_place_of_an_entry_is_made_again(tmp_path: Path) -> None:
    entry = tmp_path / "key.safetensors"
    cache = AvatarCache(tmp_path, memory_bytes=0)
    cache.put("key", ENTRY)
    whole = entry.read_bytes()
    cache.put("other", {"latents": torch.zeros(3)})
    others = (tmp_path / "other.safetensors").read_bytes()
    claims = (1 << 62).to_bytes(8, "little") + b"{}"
    for content in (b"", b"x", whole[:9], whole[:-1], whole + b"x", others, claims, b"\xff" * 99):
        entry.write_bytes(content)
        assert cache.get("key") is None
        cache.put("key", ENTRY)
        found = cache.get("key")
        assert found is not None
        assert same(found, ENTRY)
    entry.unlink()
    entry.mkdir()
    assert cache.get("key") is None
    cache.put("key", ENTRY)  # said, and the run goes on
    assert entry.is_dir()
