"""Of several people the chosen one speaks, from the first frame to the last."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from avatarvideo.media import Avatar, LipCorners
from avatarvideo.musetalk import LipSyncConfig, MuseTalkLipSync
from avatarvideo.musetalk.face.detect import FaceTrack

ON_THE_RIGHT = LipCorners(170, 100, 198, 100)  # in the face around (184, 88)


def two_people(clips: Any, **options: Any) -> Avatar:
    """Return two frames: the left face is the larger one in the first, the smaller in the second.

    The detector sees white squares as large faces and red ones as small.
    """
    drawn = clips.frames("..")
    colours = (clips.tiny.WHITE, clips.tiny.RED)
    for frame, left, right in zip(drawn, colours, reversed(colours), strict=True):
        clips.tiny.plant_face(frame, 4, 4, left)
        clips.tiny.plant_face(frame, 11, 5, right)
    return clips.avatar(drawn, **options)


def assert_speaks_on(track: FaceTrack, side: str) -> None:
    assert track.found.all()
    middle = (track.boxes[:, 0] + track.boxes[:, 2]) / 2
    assert (middle > 120).tolist() == [side == "right"] * 2


@pytest.mark.slow
@pytest.mark.parametrize("landmarks_on", ["whole frame", "detected box"])
@pytest.mark.parametrize(
    ("choice", "side"),
    [({}, "left"), ({"face_index": 1}, "right"), ({"corners": ON_THE_RIGHT}, "right")],
    ids=["largest", "by size", "by point"],
)
def test_the_chosen_face_is_followed_though_sizes_change(
    clips: Any, choice: dict[str, Any], side: str, landmarks_on: str
) -> None:
    avatar = two_people(clips, **choice)
    job = clips.job(avatar, seconds=0.08, loop="loop", landmarks_on=landmarks_on)
    clip = clips.speak(job)
    assert_speaks_on(clip.playback.track, side)
    for box, before, after in zip(
        clip.playback.track.boxes, avatar.frames(), clip.playback.frames(), strict=True
    ):
        x0, y0, x1, y1 = box
        outside = np.ones(before.shape[:2], bool)
        outside[y0:y1, x0:x1] = False
        assert np.array_equal(after[outside], before[outside])
        assert not np.array_equal(after, before)


def test_a_mask_points_at_who_speaks(clips: Any) -> None:
    avatar = two_people(clips)
    mask = np.zeros((avatar.height, avatar.width), np.float32)
    mask[60:120, 150:220] = 1.0
    job = clips.job(avatar, seconds=0.08, loop="loop", landmarks_on="detected box", mask=mask)
    assert_speaks_on(clips.speak(job).playback.track, "right")


@pytest.mark.slow
@pytest.mark.parametrize("where", ["avatar", "options"])
def test_the_number_of_the_face_can_come_with_the_avatar_or_the_options(
    clips: Any, where: str
) -> None:
    avatar = two_people(clips, face_index=int(where == "avatar"))
    config = LipSyncConfig(
        mode="musetalk",
        quality="high",
        residency="unload",
        landmarks_on="detected box",
        face_index=int(where == "options"),
    )
    engine = MuseTalkLipSync(host=clips.host, models=clips.CountingModels())
    made = engine.run(avatar, clips.job(avatar, seconds=0.04).mel, config)
    assert made.report["face"]["box"][0] > 120
    assert made.report["frames_synced"] == 1


def test_a_number_beyond_the_last_face_passes_every_frame_through(clips: Any) -> None:
    clip = clips.speak(clips.job(two_people(clips, face_index=2), seconds=0.08))
    assert clip.playback.passed_through().all()
