"""How little is read: openings of a file, digests, and generators that a frame passes through."""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from types import FrameType
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from avatarvideo.encoders import EncodingConfig, encode_frames
from avatarvideo.errors import MediaError
from avatarvideo.host.standalone import StandaloneHost
from avatarvideo.media import AudioClip, Avatar
from avatarvideo.musetalk import LipSyncConfig, MuseTalkLipSync
from avatarvideo.musetalk.inputs import load_avatar, load_speech
from avatarvideo.nodes import NODE_CLASS_MAPPINGS
from avatarvideo.nodes.widgets import SAMPLES_DIRECTORY

ROOT = Path(__file__).resolve().parents[2]
SPEECH = SAMPLES_DIRECTORY / "speech.flac"
RATE = Fraction(25)
FAST = EncodingConfig(quality="fast")


@pytest.fixture
def openings(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the openings of every file by its name."""
    counted: Counter[str] = Counter()
    real: Callable[..., Any] = av.open

    def counting(file: str, *rest: Any, **options: Any) -> Any:
        counted[Path(file).name] += 1
        return real(file, *rest, **options)

    monkeypatch.setattr(av, "open", counting)
    return counted


@pytest.fixture
def digests(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Grow by one for every digest that is begun."""
    begun: list[None] = []
    real: Callable[..., Any] = hashlib.sha256

    def counting(*given: Any, **options: Any) -> Any:
        begun.append(None)
        return real(*given, **options)

    monkeypatch.setattr(hashlib, "sha256", counting)
    return begun


def clip_file(path: Path) -> Path:
    frames = [np.full((48, 64, 3), 3 * number, np.uint8) for number in range(30)]
    tone = 0.3 * np.sin(np.arange(19200, dtype=np.float32)[None] / 9)
    encode_frames(frames, path, frame_rate=RATE, config=FAST, audio=AudioClip(tone, 16000))
    return path


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of the bundled portrait, 0.8 s long, small."""
    path = tmp_path_factory.mktemp("person") / "person.mp4"
    with Image.open(SAMPLES_DIRECTORY / "portrait.png") as picture:
        frame = np.asarray(picture.convert("RGB").resize((256, 256)))
    encode_frames([frame] * 20, path, frame_rate=RATE, config=FAST)
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm"])
def test_a_path_is_opened_once_for_its_pictures_and_once_for_its_sound(
    host: StandaloneHost,
    tmp_path: Path,
    openings: Counter[str],
    digests: list[None],
    suffix: str,
) -> None:
    path = clip_file(tmp_path / f"in.{suffix}")
    node = NODE_CLASS_MAPPINGS["FFmpegEncode"]
    widgets = node.INPUT_TYPES()["required"]
    options = {name: given["default"] for name, (_, given) in widgets.items()}
    openings.clear()
    digests.clear()
    answer = node().encode(**options | {"path": str(path), "quality": "fast"})
    assert Path(answer["result"][1][0]).is_file()
    assert openings[path.name] == 2
    assert not digests


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("seconds", [0.6, 2.0])  # the longer one plays the video backwards too
def test_a_puppet_opens_its_video_three_times(
    tmp_path: Path, person: Path, openings: Counter[str], digests: list[None], seconds: float
) -> None:
    # Where the mouth rests, the voice detector checks its own file by a digest.
    config = LipSyncConfig(mode="puppet", duration=seconds, quality="low", silence="as heard")
    result = MuseTalkLipSync().generate(person, SPEECH, tmp_path / "out.mp4", config)
    assert result.success, result.error
    assert result.mode == "puppet"
    assert openings[person.name] <= 3
    assert not digests


def handed_on(work: Callable[[], object]) -> int:
    """Do the work; return how often generators of ours handed on a frame."""
    count = 0

    def watch(frame: FrameType, event: str, value: object) -> None:
        nonlocal count
        code = frame.f_code
        ours = code.co_filename.startswith(str(ROOT)) and ".venv" not in code.co_filename
        if event == "return" and ours and code.co_flags & inspect.CO_GENERATOR:
            parts = value if isinstance(value, tuple) else (value,)
            count += any(
                isinstance(part, av.VideoFrame) or (isinstance(part, np.ndarray) and part.ndim == 3)
                for part in parts
            )

    sys.setprofile(watch)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.slow
def test_a_composed_frame_passes_through_few_generators(tmp_path: Path, person: Path) -> None:
    speech = load_speech(SPEECH, duration=0.6)
    run = MuseTalkLipSync().run(load_avatar(person), speech, LipSyncConfig(mode="puppet"))

    def encode() -> None:
        encode_frames(
            run.open_frames(),
            tmp_path / "out.mp4",
            frame_rate=run.frame_rate,
            config=FAST,
            audio=run.clip,
        )

    # From the file to the frame it is composed from, from there to the encoder.
    assert run.frame_count <= handed_on(encode) <= 3 * run.frame_count


def test_nothing_is_hashed_until_somebody_compares(
    tmp_path: Path, person: Path, digests: list[None]
) -> None:
    avatar = load_avatar(person)
    load_speech(SPEECH, duration=0.6)
    assert not digests
    assert avatar.content_hash == load_avatar(person).content_hash
    assert avatar.content_hash != load_avatar(clip_file(tmp_path / "other.mp4")).content_hash
    assert len(digests) == 3  # each asked once


def test_a_clip_of_a_varying_rate_knows_when_its_frames_are_shown(
    tmp_path: Path, person: Path
) -> None:
    assert not load_avatar(person).frame_times
    path = tmp_path / "varying.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        ticks = [0, 40, 80, 400, 440, 900]
        for number, tick in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 30 * number, np.uint8))
            frame.pts, frame.time_base = tick, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert [round(1000 * time) for time in load_avatar(path).frame_times] == ticks


def test_an_avatar_keeps_what_its_clip_is_made_of(person: Path) -> None:
    def none(start: int) -> Iterator[np.ndarray]:
        return iter(())

    avatar = load_avatar(person, face_index=2)
    assert (avatar.name, avatar.path, avatar.sources) == ("person", person, (person,))
    assert (avatar.face_index, avatar.face, avatar.is_still) == (2, None, False)
    with pytest.raises(MediaError, match="at least one frame"):
        Avatar(open_frames=none, width=2, height=2, frame_rate=RATE, frame_count=0)
