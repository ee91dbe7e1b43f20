"""The picture that shows how far an encode is."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from avatarvideo.encoders.encoder import encode_frames
from avatarvideo.encoders.interfaces import EncodingConfig
from avatarvideo.encoders.read.video import VideoReader
from avatarvideo.encoders.write.operations import transcode
from avatarvideo.encoders.write.plan import Extras
from avatarvideo.encoders.write.small_picture import small_picture

COLOUR = (200, 100, 40)


def plain(kind: type[np.generic], scale: float, channels: int = 3) -> np.ndarray:
    frame = np.zeros((40, 80, channels), kind)
    frame[..., :3] = (np.array(COLOUR) * scale).astype(kind)
    return frame


@pytest.mark.parametrize(
    "frame", [plain(np.uint8, 1), plain(np.uint16, 257), plain(np.float32, 1 / 255)]
)
def test_every_depth_becomes_eight_bits(frame: np.ndarray) -> None:
    before = frame.copy()
    shown = small_picture(frame)
    assert (shown.shape, shown.dtype) == ((40, 80, 3), np.uint8)
    assert np.abs(shown[20, 40].astype(int) - COLOUR).max() <= 1
    assert np.array_equal(frame, before)


def test_what_is_clear_is_white() -> None:
    frame = plain(np.float32, 1 / 255, channels=4)
    frame[:, 40:, 3] = 1
    shown = small_picture(frame)
    assert shown[20, 10].tolist() == [255, 255, 255]
    assert np.abs(shown[20, 60].astype(int) - COLOUR).max() <= 1


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ((3840, 2160), (512, 288)),
        ((100, 2000), (26, 512)),
        ((64, 32), (64, 32)),
        ((9000, 1), (512, 1)),
    ],
)
def test_no_side_is_longer_than_512(size: tuple[int, int], shown: tuple[int, int]) -> None:
    assert small_picture(np.zeros((size[1], size[0], 3), np.uint8)).shape == (shown[1], shown[0], 3)


def test_a_decoded_frame_is_shown_in_its_colours() -> None:
    frame = av.VideoFrame.from_ndarray(np.tile(np.array(COLOUR, np.uint8), (720, 1280, 1)), "rgb24")
    shown = small_picture(frame.reformat(format="yuv420p"))
    assert shown.shape == (288, 512, 3)
    assert np.abs(shown[100, 100].astype(int) - COLOUR).max() <= 4


def grey(count: int) -> list[np.ndarray]:
    return [np.full((48, 64, 3), 40 * number, np.uint8) for number in range(count)]


def test_each_frame_is_told_before_its_count(tmp_path: Path) -> None:
    told: list[object] = []

    def see(make: Callable[[], np.ndarray]) -> None:
        told.append(int(make().mean()))

    config = EncodingConfig(quality="fast")
    encode_frames(
        iter(grey(3)),
        tmp_path / "a.mp4",
        frame_rate=Fraction(25),
        config=config,
        on_frame=lambda done: told.append(f"frame {done}"),
        on_picture=see,
    )
    first = ["frame 1", "frame 2", "frame 3"]
    assert [one for one in told if isinstance(one, int)] == [0, 40, 80]
    assert told[:6] == [0, first[0], 40, first[1], 80, first[2]]

    told.clear()
    transcode(tmp_path / "a.mp4", tmp_path / "b.mp4", config, extras=Extras(on_picture=see))
    levels = [one for one in told if isinstance(one, int)]
    assert np.abs(np.array(levels) - [0, 40, 80]).max() <= 3
    assert VideoReader(tmp_path / "b.mp4").frame_count == 3
