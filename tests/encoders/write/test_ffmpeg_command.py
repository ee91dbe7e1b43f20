from __future__ import annotations

import contextlib
import stat
import sys
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatarvideo.encoders.encoder import FFmpegEncoder, encode_frames
from avatarvideo.encoders.interfaces import EncodingConfig
from avatarvideo.encoders.read.audio import read_audio
from avatarvideo.encoders.read.probe import probe
from avatarvideo.encoders.read.video import VideoReader
from avatarvideo.encoders.write.ffmpeg_command import find_ffmpeg
from avatarvideo.encoders.write.ffmpeg_target import ExecutableTarget
from avatarvideo.encoders.write.make_plan import make_plan
from avatarvideo.encoders.write.plan import PictureFacts
from avatarvideo.errors import Cancelled, EncodeError
from avatarvideo.media import AudioClip

Pictures = Callable[..., list[np.ndarray]]
Tone = Callable[..., AudioClip]


def _own(**options: Any) -> EncodingConfig:
    return EncodingConfig(backend="own ffmpeg", quality="fast", **options)


def _own_processes(folder: Path) -> set[str]:
    """The command lines of the processes that write a file of ours into a folder."""
    lines = set()
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended in the meantime
            lines.add(entry.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return {line for line in lines if f"{folder}/.avatarvideo-" in line}


def _script(path: Path, body: str) -> Path:
    path.write_text(f"#!{sys.executable}\n{body}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


_POSES_AS_FFMPEG = """import sys
if '-version' in sys.argv: print('ffmpeg version 9')
if '-version' in sys.argv or 'null' in sys.argv: sys.exit()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("codec", "container"), [("h264", "mp4"), ("vp9", "webm"), ("ffv1", "mkv")]
)
def test_the_file_is_like_the_built_in_one(
    tmp_path: Path, pictures: Pictures, tone: Tone, ffmpeg: str, codec: str, container: str
) -> None:
    clip, path = tone(6400, 48000, 2), tmp_path / f"a.{container}"

    result = encode_frames(
        pictures(4, 66, 50),
        path,
        frame_rate=Fraction(30000, 1001),
        config=_own(codec=codec, ffmpeg=ffmpeg),
        audio=clip,
        metadata={"workflow": "{}"},
    )

    info = probe(path)
    assert (result.frame_count, VideoReader(path).frame_count) == (4, 4)
    assert info.frame_rate == "30000/1001"
    assert read_audio(path).samples.shape == clip.samples.shape
    if codec != "ffv1":
        assert (info.color_matrix, info.color_primaries, info.color_transfer) == ("bt709",) * 3
    assert {k.lower(): v for k, v in info.metadata.items()}["workflow"] == "{}"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.slow
def test_an_encoder_only_it_knows_can_be_named(
    tmp_path: Path, pictures: Pictures, ffmpeg: str
) -> None:
    path = tmp_path / "a.mkv"

    encode_frames(
        pictures(3), path, frame_rate=Fraction(25), config=_own(codec="mpeg4", ffmpeg=ffmpeg)
    )

    assert probe(path).video_codec == "mpeg4"


@pytest.mark.slow_after(1)
@pytest.mark.parametrize(("length", "count"), [("shortest", 13), ("freeze", 25)])
def test_length_policies_hold(
    tmp_path: Path, pictures: Pictures, tone: Tone, ffmpeg: str, length: str, count: int
) -> None:
    path = tmp_path / "a.mkv"
    sound = tone(8320 if length == "shortest" else 16000)

    encode_frames(
        pictures(20), path, frame_rate=Fraction(25), config=_own(length=length), audio=sound
    )

    assert VideoReader(path).frame_count == count
    assert np.array_equal(read_audio(path).samples, sound.samples)


@pytest.mark.slow
def test_a_file_can_be_encoded_again(
    tmp_path: Path, make_video: Callable[..., Path], tone: Tone, ffmpeg: str
) -> None:
    source = make_video(tmp_path / "in.mp4", 12, audio=tone(7680))

    result = FFmpegEncoder().encode(source, tmp_path / "- o:ü.mp4", _own(ffmpeg=ffmpeg))

    assert result.success, result.error
    assert read_audio(tmp_path / "- o:ü.mp4").samples.shape == (1, 7680)


@pytest.mark.slow
def test_its_words_are_in_the_error(tmp_path: Path, pictures: Pictures, ffmpeg: str) -> None:
    with pytest.raises(EncodeError, match=r"ffmpeg says: .*no_such_encoder"):
        encode_frames(
            pictures(3),
            tmp_path / "a.mp4",
            frame_rate=Fraction(25),
            config=_own(codec="no_such_encoder", ffmpeg=ffmpeg),
        )

    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("reason", [Cancelled("stop"), KeyboardInterrupt(), ValueError("bad")])
def test_no_process_thread_or_file_is_left(
    tmp_path: Path, pictures: Pictures, ffmpeg: str, reason: BaseException
) -> None:
    threads, seen = set(threading.enumerate()), set()

    def stop(count: int) -> None:
        for _ in range(100):  # it may not have begun yet
            seen.update(_own_processes(tmp_path))
            if seen:
                break
            time.sleep(0.05)
        if count == 2:
            raise reason

    with pytest.raises(type(reason)):
        encode_frames(
            pictures(5), tmp_path / "a.mp4", frame_rate=Fraction(25), config=_own(), on_frame=stop
        )

    assert len(seen) == 1
    assert _own_processes(tmp_path) == set()
    assert set(threading.enumerate()) <= threads  # those of other tests may end meanwhile
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_one_that_is_stuck_is_ended(tmp_path: Path, pictures: Pictures) -> None:
    stuck = _script(tmp_path / "stuck", _POSES_AS_FFMPEG + "import time\ntime.sleep(600)\n")

    facts = PictureFacts((320, 240), Fraction(25))
    plan = make_plan(tmp_path / "a.mp4", facts, _own(ffmpeg=str(stuck)))
    target = ExecutableTarget(plan, None, stuck_seconds=1.0)

    def write() -> None:
        for number, picture in enumerate(pictures(40, 320, 240)):
            target.add(picture, number)

    with pytest.raises(EncodeError, match="it did nothing for 1 s"):
        write()

    assert [p.name for p in tmp_path.iterdir()] == ["stuck"]


def test_another_program_is_refused(tmp_path: Path) -> None:
    other = _script(tmp_path / "other", "print('hello')\n")

    with pytest.raises(EncodeError, match="but it is another program"):
        find_ffmpeg(str(other))
    with pytest.raises(EncodeError, match="found none"):
        find_ffmpeg(str(tmp_path / "missing"))


def test_the_environment_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = _script(tmp_path / "my ffmpeg", _POSES_AS_FFMPEG)
    monkeypatch.setenv("AVATAR_FFMPEG", str(own))

    assert find_ffmpeg() == own


@pytest.mark.slow
def test_an_ended_encode_leaves_no_process(tmp_path: Path, pictures: Pictures, ffmpeg: str) -> None:
    seen = set()

    encode_frames(
        pictures(3),
        tmp_path / "a.mkv",
        frame_rate=Fraction(25),
        config=_own(),
        on_frame=lambda count: seen.update(_own_processes(tmp_path)),
    )

    assert len(seen) == 1
    assert _own_processes(tmp_path) == set()


@pytest.mark.slow
def test_hardware_it_cannot_open_falls_back_and_says_so(
    tmp_path: Path, pictures: Pictures, ffmpeg: str
) -> None:
    result = encode_frames(
        pictures(3), tmp_path / "a.mp4", frame_rate=Fraction(25), config=_own(codec="h264_amf")
    )

    assert result.encoder == "libx264"
    assert "h264_amf cannot be used here" in result.notes[0]


@pytest.mark.slow
def test_apple_finds_its_tag(tmp_path: Path, pictures: Pictures, ffmpeg: str) -> None:
    path = tmp_path / "a.mp4"

    encode_frames(pictures(2), path, frame_rate=Fraction(25), config=_own(codec="h265"))

    assert b"hvc1" in path.read_bytes()


@pytest.mark.slow
def test_a_name_that_begins_with_a_dash_is_a_name(
    tmp_path: Path, pictures: Pictures, ffmpeg: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    result = encode_frames(pictures(2), "-i concat:x.mp4", frame_rate=Fraction(25), config=_own())

    assert result.output_path == tmp_path / "-i concat:x.mp4"
