"""What an upscale model does in every mode, and what the report says of it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatarvideo.encoders.encoder import encode_frames
from avatarvideo.errors import Cancelled, CheckpointError
from avatarvideo.media import LipCorners
from avatarvideo.musetalk import LipSyncConfig, MuseTalkLipSync
from avatarvideo.musetalk.inputs import load_avatar, load_speech

PORTRAIT = Path(__file__).resolve().parents[2] / "web" / "samples" / "portrait.png"
SPEECH = PORTRAIT.with_name("speech.flac")
LIPS = LipCorners(345, 438, 438, 438)  # in pixels of the bundled portrait


@pytest.fixture
def small(oracle: Any) -> Any:
    oracle("spandrel")
    from support import upscalers

    return upscalers


@pytest.fixture
def puppet(clips: Any) -> Any:
    """``puppet(descriptor)``: a run of the portrait, or of a video of it, with a model."""
    speech = load_speech(SPEECH, start=0.3, duration=0.2)  # of vowels

    def run(descriptor: Any, source: Path = PORTRAIT, mode: str = "puppet") -> Any:
        avatar = load_avatar(source, corners=LIPS)
        engine, config = MuseTalkLipSync(host=clips.host), LipSyncConfig(mode=mode)
        return engine.run(avatar, speech, config, upscale_model=descriptor)

    return run


def frames_of(run: Any) -> np.ndarray:
    return np.stack(list(run.open_frames()))


def watched(small: Any, error: Exception | None = None) -> Any:
    """Return a kind of model that paints everything red, and the pictures it was asked for."""
    asked: list[tuple[int, ...]] = []

    class Watched(small.Nearest):  # type: ignore[misc]
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            if image.device.type != "meta":
                asked.append(tuple(image.shape[2:]))
                if error is not None:
                    raise error
            red = torch.tensor([1.0, 0, 0]).to(image)[None, :, None, None]
            return super().forward(torch.ones_like(image)) * red

    return Watched, asked


@pytest.mark.quick
def test_a_still_puppet_asks_once_and_shows_it_where_the_mouth_is_enlarged(
    puppet: Any, small: Any, clips: Any
) -> None:
    kind, asked = watched(small)
    run, plain = puppet(small.nearest(kind=kind)), puppet(None)
    got, before = frames_of(run), frames_of(plain)
    changed = (got != before).any(axis=3)
    assert len(asked) == 1
    assert changed.any()
    assert not changed[:, run.mask == 0].any()
    assert changed.mean(axis=(1, 2)).max() < 0.25 * run.mask.mean()
    assert run.report["upscale"] == {
        "applied": "super-resolution",
        "model": "ESRGAN",
        "scale": 2,
        "passes": 1,
        "frames": 5,
        "reason": "only where the puppet enlarges the picture's own mouth",
    }
    assert "not sharpened" not in run.report["reason"]
    assert "upscale" not in plain.report
    assert len(clips.left_over()) == 1
    run.release()
    assert clips.left_over() == []


@pytest.mark.slow
def test_a_video_puppet_asks_for_every_source_frame(
    puppet: Any, small: Any, tmp_path: Path
) -> None:
    picture = load_avatar(PORTRAIT).first_frame()
    moving = [np.roll(picture, shift, axis=0) for shift in (0, 1, 2)]
    encode_frames(moving, tmp_path / "moving.mkv", frame_rate=Fraction(25))
    kind, asked = watched(small)
    run = puppet(small.nearest(4, kind=kind), tmp_path / "moving.mkv")
    assert len(asked) == 3
    assert run.report["upscale"]["frames"] == 5
    plain = frames_of(puppet(None, tmp_path / "moving.mkv"))
    assert (frames_of(run) != plain).any()
    run.release()


@pytest.mark.slow
def test_a_puppet_without_memory_for_it_moves_as_it_is(puppet: Any, small: Any, clips: Any) -> None:
    kind, asked = watched(small, torch.OutOfMemoryError("CUDA out of memory. Tried 20 MiB."))
    run = puppet(small.nearest(kind=kind))
    assert len(asked) == 1
    assert run.report["upscale"]["applied"] == "none"
    assert run.report["ladder"] == [
        {
            "stage": "upscale",
            "reason": "CUDA out of memory",
            "from": run.report["ladder"][0]["from"],
            "to": run.report["ladder"][0]["from"].removesuffix(", with the upscale model"),
        }
    ]
    assert run.report["reason"].endswith(
        "; not sharpened: there is not enough memory for it; the report's ladder says more"
    )
    assert np.array_equal(frames_of(run), frames_of(puppet(None)))
    assert clips.left_over() == []


@pytest.mark.slow
def test_a_cancelled_puppet_leaves_nothing(puppet: Any, small: Any, clips: Any) -> None:
    kind, _ = watched(small, Cancelled("enough"))
    with pytest.raises(Cancelled):
        puppet(small.nearest(kind=kind))
    assert clips.left_over() == []


def test_what_a_model_cannot_do_is_said(puppet: Any, small: Any) -> None:
    restorer, sharpener = small.nearest(1, purpose="FaceSR"), small.nearest(1)
    for descriptor, mode, reason in (
        (restorer, "puppet", "a face restorer would make a different face"),
        (sharpener, "puppet", "it does not upscale"),
        (small.nearest(), "static", "the mode static shows the picture as it is"),
    ):
        run = puppet(descriptor, mode=mode)
        assert run.report["upscale"]["applied"] == "none"
        assert run.report["upscale"]["reason"].startswith(reason)
        assert f"not sharpened: {reason}" in run.report["reason"]


def test_what_is_no_model_ends_the_run_before_it_begins(puppet: Any, small: Any) -> None:
    with pytest.raises(CheckpointError, match="as Load Upscale Model loads them, got int"):
        puppet(3)


@pytest.mark.slow
def test_a_file_of_python_s_option_is_used_and_never_replaced(
    clips: Any, picture: Path, tone: Path, small: Any, tmp_path: Path
) -> None:
    path = tmp_path / "model.pth"
    torch.save(small.small_esrgan().model.state_dict(), path)
    config = LipSyncConfig(mode="static", upscale_model=path)  # type: ignore[arg-type]
    engine = MuseTalkLipSync(host=clips.host)
    made = engine.generate(picture, tone, tmp_path / "out.mp4", config)
    assert made.success, made.error
    assert made.report["upscale"]["model"] == "ESRGAN"
    path.rename(tmp_path / "model.mp4")
    config = LipSyncConfig(mode="static", upscale_model=str(tmp_path / "model.mp4"))
    made = engine.generate(picture, tone, tmp_path / "model.mp4", config)
    assert not made.success
    assert "model.mp4" in str(made.error)
    assert torch.load(tmp_path / "model.mp4").keys()
