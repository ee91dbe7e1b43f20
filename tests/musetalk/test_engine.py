"""The engine from Python: the whole path, the order of modes, what fails and how."""

from __future__ import annotations

import contextlib
import json
import struct
import threading
import wave
import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from avatarvideo.encoders import EncodingConfig, FFmpegEncoder
from avatarvideo.encoders.read.audio import read_audio
from avatarvideo.encoders.read.probe import probe
from avatarvideo.encoders.read.video import VideoReader
from avatarvideo.errors import Cancelled, DeviceMemoryError
from avatarvideo.host.standalone import StandaloneHost
from avatarvideo.media import LipCorners
from avatarvideo.musetalk import LipSyncConfig, MuseTalkLipSync, VRAMManager
from avatarvideo.musetalk.report import ranges

ROOT = Path(__file__).resolve().parents[2]
PORTRAIT = ROOT / "web" / "samples" / "portrait.png"
PORTRAIT_LIPS = LipCorners(352 / 3, 437 / 3, 441 / 3, 440 / 3)  # of the small portrait below
SPEECH = ROOT / "web" / "samples" / "speech.flac"


def write_tone(path: Path, samples: int, rate: int = 16000) -> Path:
    tone = (np.sin(np.arange(samples) * 0.1) * 8000).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(tone.tobytes())
    return path


@pytest.fixture(scope="module")
def portrait(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled portrait at a third of its size: a video of it takes a third of a second."""
    path = tmp_path_factory.mktemp("portrait") / "small.png"
    with Image.open(PORTRAIT) as picture:
        picture.resize((256, 256)).save(path)
    return path


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    return write_tone(tmp_path / "tone.wav", 16000)


@pytest.fixture
def landscape(tmp_path: Path) -> Path:
    sky = np.linspace(200, 120, 240)[:, None, None] * np.array([0.7, 0.85, 1.0])
    picture = np.broadcast_to(sky, (240, 320, 3)).copy()
    picture[150:] = np.array([60, 110, 50]) + np.random.default_rng(0).normal(0, 12, (90, 320, 3))
    Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(tmp_path / "landscape.png")
    return tmp_path / "landscape.png"


@pytest.mark.slow
def test_the_complete_pipeline_as_first_documented(tmp_path: Path) -> None:
    vram = VRAMManager()
    engine = MuseTalkLipSync(config={}, vram_manager=vram)
    result = engine.generate(
        avatar_image=str(PORTRAIT),
        audio_file=str(SPEECH),
        output_path=str(tmp_path / "lipsync.mp4"),
        config=LipSyncConfig(quality="high", fps=25),
    )
    assert result.success, result.error
    assert result.error is None
    assert result.resolution == (768, 768)
    assert result.fps == 25
    assert result.frame_count == round(result.duration_seconds * 25)

    encoded = FFmpegEncoder().encode(
        input_video=str(tmp_path / "lipsync.mp4"),
        output_path=str(tmp_path / "final.mp4"),
        config=EncodingConfig(preset="medium", crf=23),
    )
    assert encoded.success, encoded.error
    assert encoded.file_size_bytes == (tmp_path / "final.mp4").stat().st_size
    assert encoded.frame_count == result.frame_count


@pytest.mark.slow
def test_sound_and_picture_come_out_exactly_as_long_as_the_formula_says(tmp_path: Path) -> None:
    result = MuseTalkLipSync().generate(PORTRAIT, SPEECH, tmp_path / "out.mp4")

    clip, back = read_audio(SPEECH), read_audio(tmp_path / "out.mp4")
    count = int(clip.duration * 25 + Fraction(1, 2))
    found = probe(tmp_path / "out.mp4", exact_count=True).as_dict()
    assert result.frame_count == found["frame_count"] == count
    assert found["frame_rate"] == "25/1"
    assert found["pixel_format"] == "yuv420p"
    assert back.samples.shape == clip.samples.shape
    near = [
        np.corrcoef(clip.samples[0, 40:-40], np.roll(back.samples[0], lag)[40:-40])[0, 1]
        for lag in range(-20, 21)
    ]
    assert abs(int(np.argmax(near)) - 20) <= back.sample_rate // 1000
    assert max(near) >= 0.99
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out.mp4"]


@pytest.mark.slow
def test_sound_in_mkv_with_flac_is_bit_identical(tmp_path: Path) -> None:
    MuseTalkLipSync().generate(PORTRAIT, SPEECH, tmp_path / "out.mkv")
    back = read_audio(tmp_path / "out.mkv")
    assert (back.samples == read_audio(SPEECH).samples).all()


@pytest.mark.slow
def test_speech_whose_end_is_missing_is_no_success(portrait: Path, tmp_path: Path) -> None:
    speech = write_tone(tmp_path / "tone.wav", 32000)
    speech.write_bytes(speech.read_bytes()[: 44 + 2 * 19200])
    (tmp_path / "out.mkv").write_bytes(b"an older result")

    result = MuseTalkLipSync().generate(
        portrait, speech, tmp_path / "out.mkv", LipSyncConfig(mode="static")
    )

    assert not result.success
    assert result.error == (
        "Expected all 2.00 s of sound of 'tone.wav', but only 1.20 s are there: copy or download "
        "it again. What could be read was kept as 'out.partial.mkv'."
    )
    assert result.output_path == tmp_path / "out.partial.mkv"
    assert result.output_path is not None
    assert (tmp_path / "out.mkv").read_bytes() == b"an older result"
    assert VideoReader(result.output_path).frame_count == 30

    part = LipSyncConfig(mode="static", duration=1)
    whole = MuseTalkLipSync().generate(portrait, speech, tmp_path / "out.mkv", part)
    assert whole.success
    assert whole.frame_count == 25
    assert not any("missing" in note for note in whole.report["notes"])


@pytest.mark.slow
def test_the_mode_is_announced_in_log_result_and_file(
    portrait: Path, tmp_path: Path, tone: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "avatarvideo"):
        result = MuseTalkLipSync().generate(
            portrait, tone, tmp_path / "out.mp4", LipSyncConfig(mouth=PORTRAIT_LIPS)
        )
    assert result.mode == result.report["mode"] == "puppet"
    assert "mode puppet" in caplog.text
    tags = probe(tmp_path / "out.mp4").as_dict()["metadata"]
    assert json.loads(tags["avatarvideo"])["mode"] == "puppet"


@pytest.mark.slow
def test_a_landscape_gives_a_still_video_and_the_reason(
    tmp_path: Path, tone: Path, landscape: Path
) -> None:
    result = MuseTalkLipSync().generate(landscape, tone, tmp_path / "out.mp4")
    assert result.success
    assert result.mode == "static"
    assert "face" in result.report["reason"]
    assert result.report["frames_passed_through"] == result.frame_count == 25
    assert result.report["passed_through_ranges"] == [[0, 24]]


@pytest.mark.slow
def test_a_puppet_without_lips_says_what_to_do(tmp_path: Path, tone: Path, landscape: Path) -> None:
    result = MuseTalkLipSync().generate(
        landscape, tone, tmp_path / "out.mp4", LipSyncConfig(mode="puppet")
    )
    assert not result.success
    assert "mouth" in str(result.error)
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.slow_after(1)
@pytest.mark.parametrize(
    ("fps", "frames", "exact"),
    [(10, 10, "10"), (23.976, 24, "24000/1001"), (29.97, 30, "30000/1001"), (60, 60, "60")],
)
def test_any_rate_gives_the_frames_of_the_formula(
    portrait: Path, tmp_path: Path, tone: Path, fps: float, frames: int, exact: str
) -> None:
    options = LipSyncConfig(fps=fps, mouth=PORTRAIT_LIPS)
    result = MuseTalkLipSync().generate(portrait, tone, tmp_path / "out.mp4", options)
    assert (result.frame_count, result.report["frame_rate"]) == (frames, exact)
    assert VideoReader(tmp_path / "out.mp4").frame_count == frames


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["pingpong", "loop", "hold"])
def test_a_video_avatar_speaks_longer_than_it_lasts(
    portrait: Path, tmp_path: Path, tone: Path, loop: str
) -> None:
    short = tmp_path / "short.mp4"
    MuseTalkLipSync().generate(
        portrait,
        write_tone(tmp_path / "short.wav", 4800),
        short,
        LipSyncConfig(mode="static"),
    )
    options = LipSyncConfig(loop=loop, mouth=PORTRAIT_LIPS, fps=0)  # type: ignore[arg-type]

    result = MuseTalkLipSync().generate(short, tone, tmp_path / "out.mp4", options)

    assert result.success, result.error
    assert result.mode == "puppet"
    assert result.frame_count == VideoReader(tmp_path / "out.mp4").frame_count == 25


def bad_inputs(portrait: Path, folder: Path) -> dict[str, tuple[Path, Path, str]]:
    """Name -> (avatar, audio, what the sentence must say)."""
    text = folder / "text.png"
    text.write_text("not a picture")
    empty = folder / "empty.png"
    empty.touch()
    dot = folder / "dot.png"
    Image.new("RGB", (1, 1)).save(dot)
    silent = folder / "silent.mp4"
    good = write_tone(folder / "good.wav", 16000)
    MuseTalkLipSync().generate(portrait, good, folder / "v.mp4", LipSyncConfig(mode="static"))
    from avatarvideo.encoders.encoder import encode_frames

    encode_frames([np.zeros((16, 16, 3), np.uint8)] * 3, silent, frame_rate=Fraction(25))
    return {
        "missing avatar": (folder / "gone.png", good, "gone.png"),
        "missing audio": (portrait, folder / "gone.wav", "gone.wav"),
        "text named png": (text, good, "text.png"),
        "zero byte picture": (empty, good, "empty.png"),
        "one pixel": (dot, good, "1x1"),
        "video without sound": (portrait, silent, "silent.mp4"),
        "no samples": (portrait, write_tone(folder / "none.wav", 0), "none.wav"),
        "ten milliseconds": (portrait, write_tone(folder / "ten.wav", 160), "20 ms"),
    }


def test_bad_inputs_fail_with_a_sentence_and_leave_no_file(portrait: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    for name, (avatar, audio, said) in bad_inputs(portrait, tmp_path / "in").items():
        result = MuseTalkLipSync().generate(avatar, audio, tmp_path / "out" / "x.mp4")
        assert not result.success, name
        assert said in str(result.error), (name, result.error)
        assert "\n" not in str(result.error), name
        assert list((tmp_path / "out").iterdir()) == [], name


def test_avatar_and_speech_that_were_exchanged_are_said_so(
    portrait: Path, tmp_path: Path, tone: Path
) -> None:
    def refusal(avatar: Path, speech: Path) -> str | None:
        return MuseTalkLipSync().generate(avatar, speech, tmp_path / "x.mp4").error

    clip = ROOT / "web" / "samples" / "talking_head.mp4"
    exchanged = "The avatar 'tone.wav' is audio and the speech {}: swap them."
    assert refusal(tone, portrait) == exchanged.format("'small.png' a picture")
    assert refusal(tone, clip) == exchanged.format("'talking_head.mp4' a video")
    for speech in (tone, tmp_path / "gone.wav"):
        assert refusal(tone, speech) == (
            "Expected a picture or a video, but 'tone.wav' holds only sound: choose a picture or a "
            "video of a person."
        )


def test_a_picture_that_claims_30000_pixels_is_refused_unread(tmp_path: Path, tone: Path) -> None:
    bomb = tmp_path / "bomb.png"
    Image.new("RGB", (8, 8)).save(bomb)
    honest = bomb.read_bytes()
    header = b"IHDR" + struct.pack(">II", 30000, 30000) + honest[24:29]
    bomb.write_bytes(honest[:12] + header + struct.pack(">I", zlib.crc32(header)) + honest[33:])

    result = MuseTalkLipSync().generate(bomb, tone, tmp_path / "out.mp4")
    assert not result.success
    assert "900000000 pixels" in str(result.error)


def test_speech_over_the_limit_names_it_and_how_to_raise_it(
    portrait: Path, tmp_path: Path, tone: Path
) -> None:
    options = LipSyncConfig(max_duration=0.5)
    result = MuseTalkLipSync().generate(portrait, tone, tmp_path / "out.mp4", options)
    assert "at most 0.5 s" in str(result.error)
    assert "raise max duration" in str(result.error)


@pytest.mark.slow
def test_an_output_folder_that_is_missing_is_a_sentence(
    portrait: Path, tmp_path: Path, tone: Path
) -> None:
    result = MuseTalkLipSync().generate(portrait, tone, tmp_path / "no" / "such" / "out.mp4")
    assert not result.success
    assert "no/such" in str(result.error)


@pytest.mark.slow
def test_a_cancelled_run_leaves_no_file_and_the_next_one_works(
    portrait: Path, tmp_path: Path, tone: Path
) -> None:
    host = StandaloneHost()
    engine = MuseTalkLipSync(host=host)
    long = write_tone(tmp_path / "long.wav", 16000 * 20)
    out = tmp_path / "out"
    out.mkdir()
    timer = threading.Timer(0.6, host.cancel)
    timer.start()
    with pytest.raises(Cancelled):
        engine.generate(portrait, long, out / "x.mp4", LipSyncConfig(quality="high"))
    timer.join()
    assert list(out.iterdir()) == []
    assert engine.generate(portrait, tone, out / "x.mp4").success


def test_static_frames_are_the_picture(portrait: Path, tmp_path: Path, tone: Path) -> None:
    from avatarvideo.musetalk.inputs import load_avatar, load_speech

    avatar = load_avatar(portrait)
    run = MuseTalkLipSync().run(avatar, load_speech(tone), LipSyncConfig(mode="static"))
    assert all((frame == avatar.first_frame()).all() for frame in run.open_frames())


def test_ranges_are_first_and_last() -> None:
    assert ranges(np.array([True, True, False, True])) == [[0, 1], [3, 3]]
    assert ranges(np.array([False, False])) == []


def test_supported_formats_are_listed() -> None:
    formats = MuseTalkLipSync().get_supported_formats()
    assert set(formats) == {"image", "video", "audio", "output"}
    assert "mp4" in formats["output"]
    assert {"jpg", "png"} <= set(formats["image"])


def test_the_memory_answer_follows_what_is_free() -> None:
    vram = VRAMManager("cpu")
    assert vram.can_load(1)
    assert not vram.can_load(vram.total_mb() + 1)
    assert 0 < vram.free_mb() <= vram.total_mb()


@pytest.mark.parametrize("failure", [None, RuntimeError])
def test_networks_are_there_for_the_block_and_given_back(failure: type[Exception] | None) -> None:
    network = torch.nn.Linear(2, 2)
    manager = VRAMManager("cpu", free_bytes=lambda device: 1 << 30)
    with contextlib.suppress(RuntimeError), manager.loaded(network, mb=10):
        assert network(torch.zeros(1, 2)).shape == (1, 2)
        if failure is not None:
            raise failure
    assert network.weight.device.type == "cpu"


def test_networks_that_do_not_fit_are_refused_with_the_figures() -> None:
    crowded = VRAMManager("cpu", free_bytes=lambda device: 1 << 20)
    with (
        pytest.raises(DeviceMemoryError, match="Expected 10 MiB free on cpu, found 1 MiB"),
        crowded.loaded(torch.nn.Linear(2, 2), mb=10),
    ):
        pytest.fail("the block must not run")
