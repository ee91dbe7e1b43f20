"""The option ``life`` through the engine: who blinks, what changes, and what the report says."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatarvideo.host.environment import MODELS_VARIABLE
from avatarvideo.media import Avatar, FaceLocation, LipCorners
from avatarvideo.musetalk import LipSyncConfig
from avatarvideo.musetalk.audio import prepare_mel
from avatarvideo.musetalk.inputs import load_avatar, load_speech
from avatarvideo.musetalk.lips.held_corners import locate_by_corners
from support.planted_face import inside_eye, mesh_points, planted_face

ROOT = Path(__file__).resolve().parents[2]
LIPS = LipCorners(108.0, 185.0, 148.0, 185.0)
MISSING = "the face mesh cannot be used"


@pytest.fixture(scope="module")
def mel() -> Any:
    """Three seconds of real speech."""
    clip = load_speech(ROOT / "web" / "samples" / "speech.flac").clip
    return prepare_mel(replace(clip, samples=clip.samples[:, : 3 * clip.sample_rate]))


def planted_avatar(clips: Any, *, count: int = 1, points: np.ndarray | None = None) -> Avatar:
    """The planted face as a still or a video, found by a mesh as LoadAvatar would hand it on."""
    picture = planted_face()
    found = locate_by_corners(picture, LIPS)
    known = mesh_points() if points is None else points
    face = FaceLocation(found.box, found.lips, 1.0, "face mesh", "planted", known)
    return replace(clips.avatar([picture] * count), face=face)


def run(engine: Any, avatar: Avatar, mel: Any, mask: Any = None, **options: Any) -> Any:
    options.setdefault("mode", "puppet")
    return engine().run(avatar, mel, LipSyncConfig(**options), mask=mask)


def blinking(made: Any, source: np.ndarray) -> list[bool]:
    """For every frame, whether anything above the mouth differs from the source."""
    return [bool((frame[:150] != source[:150]).any()) for frame in made.open_frames()]


def differing(made: Any, source: np.ndarray) -> np.ndarray:
    """Bool (H, W): pixels that differ from the source in any frame."""
    changed = np.zeros(source.shape[:2], bool)
    for frame in made.open_frames():
        changed |= np.any(frame != source, axis=2)
    return changed


@pytest.mark.slow
def test_none_leaves_all_but_the_lower_face(engine: Any, clips: Any, mel: Any) -> None:
    made = run(engine, planted_avatar(clips), mel)
    assert made.report["life"] == {"applied": "none", "blinks": 0, "reason": ""}
    changed = differing(made, planted_face())
    assert changed.any()
    assert not changed[:150].any()
    assert not made.mask[:150].any()


@pytest.mark.slow
def test_a_still_blinks_with_both_eyes(engine: Any, clips: Any, mel: Any) -> None:
    made = run(engine, planted_avatar(clips), mel, life="blink")
    told = made.report["life"]
    assert (told["applied"], told["reason"]) == ("blink", "")
    assert told["blinks"] >= 1
    source = planted_face()
    frames = list(made.open_frames())
    eyes = [inside_eye(number) for number in (0, 1)]
    moving = np.array([[(f[eye] != source[eye]).any() for eye in eyes] for f in frames])
    assert np.array_equal(moving[:, 0], moving[:, 1])
    assert not moving[0].any()
    assert 0 < moving[:, 0].sum() < len(frames) / 2
    changed = differing(made, source)
    assert not changed[made.mask == 0].any()
    assert all((made.mask[eye] == 1).all() for eye in eyes)


@pytest.mark.slow
def test_a_run_repeats_and_another_picture_blinks_at_other_times(
    engine: Any, clips: Any, mel: Any
) -> None:
    avatar, source = planted_avatar(clips), planted_face()
    first, again = (blinking(run(engine, avatar, mel, life="blink"), source) for _ in range(2))
    assert first == again
    brighter = source + np.uint8(1)
    other = replace(avatar, open_frames=lambda start: iter([brighter][start:]))
    assert blinking(run(engine, other, mel, life="blink"), brighter) != first


@pytest.mark.slow
def test_the_mouth_is_the_same_with_and_without_blinks(engine: Any, clips: Any, mel: Any) -> None:
    plain = run(engine, planted_avatar(clips), mel).open_frames()
    alive = run(engine, planted_avatar(clips), mel, life="blink").open_frames()
    for one, other in zip(plain, alive, strict=True):
        assert np.array_equal(one[150:], other[150:])


@pytest.mark.slow
def test_a_swaying_head_leaves_the_pictures_edge(engine: Any, clips: Any, mel: Any) -> None:
    made = run(engine, planted_avatar(clips), mel, life="blink and sway")
    assert made.report["life"]["applied"] == "blink and sway"
    source = planted_face()
    changed = differing(made, source)
    assert not changed[made.mask == 0].any()
    assert changed[60:140].mean() > 0.02
    assert not any(changed[edge].any() for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]))


@pytest.mark.slow
def test_a_users_mask_limits_life(engine: Any, clips: Any, mel: Any) -> None:
    mask = np.zeros((256, 256), np.float32)
    mask[150:] = 1
    made = run(engine, planted_avatar(clips), mel, mask=mask, life="blink and sway")
    changed = differing(made, planted_face())
    assert not changed[:150].any()
    assert changed[150:].any()
    assert not made.mask[:150].any()


def refused(made: Any, why: str) -> None:
    assert made.report["life"] == {"applied": "none", "blinks": 0, "reason": why}
    assert made.report["reason"].endswith(why)


@pytest.mark.slow
def test_a_video_has_no_life(engine: Any, clips: Any, mel: Any) -> None:
    made = run(engine, planted_avatar(clips, count=3), mel, life="blink and sway")
    refused(made, "no blink or sway: life is for stills, and the avatar is a video")
    assert not differing(made, planted_face())[:140].any()


@pytest.mark.slow
def test_static_shows_the_picture_as_it_is(engine: Any, clips: Any, mel: Any) -> None:
    made = run(engine, planted_avatar(clips), mel, life="blink", mode="static")
    refused(made, "no blink: the mode static shows the picture as it is")
    assert not differing(made, planted_face()).any()


def test_without_the_mesh_the_report_says_how_to_get_it(
    engine: Any, clips: Any, mel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "XDG_CACHE_HOME", MODELS_VARIABLE):
        monkeypatch.setenv(name, str(tmp_path))
    made = run(engine, clips.avatar([planted_face()]), mel, life="blink", mouth=LIPS)
    told = made.report["life"]
    assert told["applied"] == "none"
    assert told["reason"].startswith(f"no blink: {MISSING}")
    assert "avatar models download face-mesh" in told["reason"]
    assert told["reason"] in made.report["reason"]


def test_closed_eyes_do_not_blink_but_the_head_sways(engine: Any, clips: Any, mel: Any) -> None:
    avatar = planted_avatar(clips, points=mesh_points(gap=0.05))
    made = run(engine, avatar, mel, life="blink and sway")
    why = "no blinks: an eye is closed in the picture"
    assert made.report["life"] == {"applied": "sway", "blinks": 0, "reason": why}
    assert made.report["reason"].count(why) == 1


@pytest.mark.slow
def test_the_bundled_portrait_blinks(
    engine: Any, mel: Any, mesh_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MODELS_VARIABLE, str(mesh_models))
    portrait = load_avatar(ROOT / "web" / "samples" / "portrait.png", corners=None)
    made = run(engine, portrait, mel, life="blink")
    assert made.report["life"]["applied"] == "blink"
    assert made.report["life"]["blinks"] >= 1
    source = portrait.first_frame()
    assert differing(made, source)[250:330].any()


@pytest.mark.slow
def test_musetalks_still_blinks_over_its_own_frames(engine: Any, clips: Any, mel: Any) -> None:
    picture = clips.frames("f")[0]
    points = mesh_points(scale=0.4) + np.array([5.0, 3.0])
    face = FaceLocation(None, None, 1.0, "face mesh", "planted", points)
    avatar = replace(clips.avatar([picture]), face=face)
    options = {"mode": "musetalk", "quality": "high", "residency": "unload"}
    plain = run(engine, avatar, mel, **options)
    alive = run(engine, avatar, mel, life="blink", **options)
    assert alive.report["life"]["applied"] == "blink"
    eyes = alive.mask > plain.mask
    assert eyes.any()
    changed = np.zeros(picture.shape[:2], bool)
    for one, other in zip(plain.open_frames(), alive.open_frames(), strict=True):
        changed |= np.any(one != other, axis=2)
    assert changed.any()
    assert not changed[alive.mask == 0].any()
    assert not changed[60:].any()  # below the eyes it is MuseTalk's alone
    for made in (plain, alive):
        if made.release:
            made.release()


@pytest.mark.slow
def test_lip_corners_that_cannot_be_meant_cost_musetalk_its_blinks_only(
    engine: Any, clips: Any, mel: Any
) -> None:
    avatar = clips.avatar(clips.frames("f"), corners=LipCorners(-1.0, 70.0, 80.0, 70.0))
    short = prepare_mel(mel.clip.trimmed(Fraction(0), Fraction(1, 10)))
    options = {"mode": "musetalk", "quality": "high", "residency": "unload"}
    made = run(engine, avatar, short, mask=clips.everywhere, life="blink", **options)
    assert made.report["mode"] == "musetalk"
    assert made.report["life"]["reason"].startswith("no blink: Expected")
    if made.release:
        made.release()
