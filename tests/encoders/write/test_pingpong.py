"""GIF and WebP that play forward and backward, and how often."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from avatarvideo.encoders.encoder import FFmpegEncoder, encode_frames
from avatarvideo.encoders.interfaces import EncodingConfig
from avatarvideo.encoders.write.back_again import BackAgain
from avatarvideo.encoders.write.plan import Extras, PictureFacts
from avatarvideo.encoders.write.writer import VideoWriter
from avatarvideo.errors import Cancelled

BACK = EncodingConfig(pingpong=True)
HERE = pytest.mark.parametrize("container", ["gif", "webp"])


def greys(count: int, channels: int = 3) -> list[np.ndarray]:
    frames = [np.full((24, 32, channels), 60 * number, np.uint8) for number in range(count)]
    for frame in frames:
        frame[..., 3:] = 255
    return frames


def shown(path: Path) -> list[tuple[int, int]]:
    """(grey level, milliseconds) of each picture of an animation."""
    found = []
    with Image.open(path) as picture:
        for index in range(getattr(picture, "n_frames", 1)):
            picture.seek(index)
            level = np.asarray(picture.convert("RGB"))[12, 16, 1]
            found.append((round(int(level) / 60), picture.info["duration"]))
    return found


@HERE
@pytest.mark.parametrize(
    ("count", "order"), [(4, [0, 1, 2, 3, 2, 1]), (3, [0, 1, 2, 1]), (2, [0, 1]), (1, [0])]
)
def test_it_turns_without_showing_an_end_twice(
    tmp_path: Path, container: str, count: int, order: list[int]
) -> None:
    path = tmp_path / f"a.{container}"
    done = encode_frames(iter(greys(count)), path, frame_rate=Fraction(10), config=BACK)
    assert [level for level, _ in shown(path)] == order
    assert (done.frame_count, done.duration_seconds) == (len(order), len(order) / 10)
    assert sorted(tmp_path.iterdir()) == [path]


@HERE
def test_pictures_of_their_own_lengths_keep_them_on_the_way_back(
    tmp_path: Path, container: str
) -> None:
    path = tmp_path / f"a.{container}"
    facts = PictureFacts((32, 24), Fraction(10), Fraction(1, 1000))
    times = [Fraction(0), Fraction(1, 10), Fraction(3, 10), Fraction(6, 10)]
    with VideoWriter(path, facts, BACK) as writer:
        for frame, time in zip(greys(4), times, strict=True):
            writer.write(frame, time)
    # The last one shown takes the time of one frame, as the last of every file.
    assert shown(path) == [(0, 100), (1, 200), (2, 300), (3, 100), (2, 300), (1, 100)]


def test_a_file_plays_back_too_and_its_transparency_stays(tmp_path: Path) -> None:
    clear = greys(3, channels=4)
    clear[0][:12, :, 3] = clear[1][:12, :, 3] = 0
    alpha = EncodingConfig(alpha=True)
    encode_frames(iter(clear), tmp_path / "in.webp", frame_rate=Fraction(10), config=alpha)
    path = tmp_path / "out.webp"
    done = FFmpegEncoder().encode(
        tmp_path / "in.webp", path, EncodingConfig(pingpong=True, alpha=True)
    )
    assert done.frame_count == 4
    with Image.open(path) as picture:
        for index, least in ((0, 0), (1, 0), (2, 255), (3, 0)):
            picture.seek(index)
            assert np.asarray(picture.convert("RGBA"))[..., 3].min() == least


def test_other_containers_play_forward_and_say_so(tmp_path: Path) -> None:
    done = encode_frames(iter(greys(3)), tmp_path / "a.mkv", frame_rate=Fraction(10), config=BACK)
    assert done.frame_count == 3
    assert done.notes == ("Only GIF and WebP support pingpong: it was ignored for the mkv.",)


def test_a_cancel_on_the_way_back_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int) -> None:
        if done == 5:
            raise Cancelled("stop")

    writer = VideoWriter(
        tmp_path / "a.gif", PictureFacts((32, 24), Fraction(10)), BACK, extras=Extras(on_frame=stop)
    )
    with pytest.raises(Cancelled), writer:
        writer.write_all(iter(greys(4)), lambda frame, _held: writer.write(frame))
    assert list(tmp_path.iterdir()) == []


def test_pictures_lie_on_disk_without_a_name(tmp_path: Path) -> None:
    back = BackAgain(tmp_path)
    for tick, frame in enumerate(greys(4)):
        back.keep(frame, tick)
    assert [tick for _, tick in back.backwards(4)] == [4, 5]
    assert [int(picture[0, 0, 0]) for picture, _ in back.backwards(4)] == [120, 60]
    back.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("loop", "stored"), [(0, 0), (1, None), (2, 1), (5, 4)])
def test_a_gif_stores_how_often_it_is_repeated(
    tmp_path: Path, loop: int, stored: int | None
) -> None:
    path = tmp_path / "a.gif"
    config = EncodingConfig(loop=loop)
    encode_frames(iter(greys(2)), path, frame_rate=Fraction(10), config=config)
    with Image.open(path) as picture:
        assert picture.info.get("loop") == stored


@pytest.mark.parametrize("loop", [0, 1, 5])
def test_a_webp_stores_how_often_it_plays(tmp_path: Path, loop: int) -> None:
    path = tmp_path / "a.webp"
    config = EncodingConfig(loop=loop)
    encode_frames(iter(greys(2)), path, frame_rate=Fraction(10), config=config)
    with Image.open(path) as picture:
        assert picture.info["loop"] == loop
