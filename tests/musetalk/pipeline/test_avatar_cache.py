"""Avatars kept on disk: what is found there is what would be made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

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
