"""Video avatars as a whole: late faces, gaps that pass through and are counted, refusals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from avatarvideo.errors import NoFaceError
from avatarvideo.host.current import set_host
from avatarvideo.host.environment import MODELS_VARIABLE
from avatarvideo.host.standalone import StandaloneHost
from avatarvideo.musetalk import LipSyncConfig
from avatarvideo.musetalk import MuseTalkLipSync as Engine
from support.small_clips import Clips

PORTRAIT = Path(__file__).resolve().parents[3] / "web" / "samples" / "portrait.png"


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    bgr = cv2.imread(str(PORTRAIT))
    assert bgr is not None
    small = cv2.resize(bgr, (256, 256), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_BGR2RGB)


@pytest.fixture
def clips(tmp_path: Path) -> Clips:
    return Clips(tmp_path)


@pytest.fixture(params=["face mesh", "template"])
def way(request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A host without networks, with the face mesh and without."""
    folder = tmp_path / "none"
    if request.param == "face mesh":
        folder = request.getfixturevalue("mesh_models")
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv(MODELS_VARIABLE, str(folder))
    set_host(
        StandaloneHost(input_directory=tmp_path, output_directory=tmp_path, temp_directory=tmp_path)
    )
    yield request.param
    set_host(None)


@pytest.mark.slow
def test_a_late_face_speaks_and_the_frames_without_it_are_counted(
    way: str, portrait: np.ndarray, clips: Clips
) -> None:
    empty = np.full_like(portrait, 120)
    avatar = clips.avatar([empty] * 5 + [portrait] * 8 + [empty] * 2)
    mel = clips.job(avatar, seconds=0.6).mel
    options = LipSyncConfig(mode="puppet", loop="hold", silence="as heard")
    run = Engine().run(avatar, mel, options)
    report = run.report
    assert (report["mode"], report["face"]["method"]) == ("puppet", way)
    assert (report["frames"], report["frames_synced"]) == (15, 8)
    assert report["passed_through_ranges"] == [[0, 4], [13, 14]]
    assert report["reason"].endswith("; 7 of 15 frames show no lips and pass through unchanged")
    assert not run.mask.any()  # nothing changes in the first frame
    frames = list(run.open_frames())
    changed = [bool((a != b).any()) for a, b in zip(frames, avatar.frames(), strict=True)]
    assert changed[:5] == [False] * 5
    assert changed[13:] == [False] * 2
    assert any(changed[5:13])


@pytest.mark.slow
def test_a_clip_without_any_face_is_refused_in_one_sentence(way: str, clips: Clips) -> None:
    avatar = clips.avatar([np.full((96, 128, 3), shade, np.uint8) for shade in (90, 91, 92)])
    mel = clips.job(avatar, seconds=0.12).mel
    with pytest.raises(NoFaceError) as refused:
        Engine().run(avatar, mel, LipSyncConfig(mode="puppet", loop="hold"))
    text = str(refused.value)
    assert text.startswith("The puppet needs lips, but no face was found in the picture")
    assert "; none of the 3 frames shows lips: give the two lip corners" in text
    assert ("download face-mesh" in text) == (way == "template")
    run = Engine().run(avatar, mel, LipSyncConfig(loop="hold"))
    assert run.mode == "static"
    assert run.report["frames_passed_through"] == 3
