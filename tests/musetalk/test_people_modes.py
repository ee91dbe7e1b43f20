"""Several people speak in one pass: each by its own speech, everybody else as in the source."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatarvideo.encoders.read.audio import read_audio
from avatarvideo.errors import MediaError
from avatarvideo.host.standalone import StandaloneHost
from avatarvideo.media import AudioClip, Mel
from avatarvideo.musetalk.audio import prepare_mel
from avatarvideo.musetalk.engine import MuseTalkLipSync
from avatarvideo.musetalk.face.mesh_networks import mesh_networks
from avatarvideo.musetalk.interfaces import LipSyncConfig, LipSyncRun
from avatarvideo.musetalk.modes.puppet_people import near_rest
from avatarvideo.musetalk.speaker import Speaker
from support.people_clips import Head, Path_, PeopleClip, heads_of, still, walk

RATE = 16000


@pytest.fixture(scope="session")
def heads(real_data: Path, mesh_models: Path) -> tuple[Head, ...]:
    networks = mesh_networks([mesh_models])
    assert networks is not None
    return heads_of(real_data, networks)


class MeshHost(StandaloneHost):
    """Has the face mesh and no other model file."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    @property
    def model_directories(self) -> list[Path]:
        return [self.folder]


@pytest.fixture
def engine(mesh_models: Path) -> MuseTalkLipSync:
    return MuseTalkLipSync(host=MeshHost(mesh_models))


@pytest.fixture(scope="session")
def words(real_data: Path) -> np.ndarray:
    """Half a second of speech, float32 (N,)."""
    clip = read_audio(real_data / "jfk.flac")
    assert clip is not None
    at = round(0.4 * clip.sample_rate)
    part = clip.trimmed(Fraction(4, 10), Fraction(1, 2))
    assert at
    return prepare_mel(part).speech


def speech(words: np.ndarray, start: float, seconds: float) -> Mel:
    """Words from a second on, in silence."""
    samples = np.zeros(round(seconds * RATE), np.float32)
    first = round(start * RATE)
    part = words[: samples.size - first]
    samples[first : first + part.size] = part
    return prepare_mel(AudioClip(samples[None], RATE))


def changed(run: LipSyncRun, clip: PeopleClip, paths: Sequence[Path_]) -> np.ndarray:
    """Bool (T, people): whether anything within a face's side of each changed in a frame.

    Fails where a pixel further than that from everybody did.
    """
    found = np.zeros((run.frame_count, len(paths)), bool)
    rows, columns = np.mgrid[: clip.size[1], : clip.size[0]]
    for number, frame in enumerate(run.open_frames()):
        source = min(number, clip.count - 1)
        differs = (frame != clip.frame(source)).any(axis=2)
        for person, path in enumerate(paths):
            place = path(source)
            assert place is not None
            x, y, side = place
            near = np.hypot(columns - x, rows - y) < 1.1 * side
            found[number, person] = (differs & near).any()
            differs &= ~near
        assert not differs.any(), number
    return found


def test_each_mouth_moves_by_its_own_speech(
    engine: MuseTalkLipSync, heads: tuple[Head, ...], words: np.ndarray
) -> None:
    paths = [still(110, 180, 100), still(320, 180, 100), still(530, 180, 100)]
    clip = PeopleClip(heads[:3], paths, 1)
    first, second = speech(words, 0.1, 1.6), speech(words, 1.0, 1.6)
    config = LipSyncConfig(
        mode="puppet", face="left 2", speakers=(Speaker(audio=second, face="110,180"),)
    )
    run = engine.run(clip.avatar(), first, config)
    assert run.frame_count == 40
    moved = changed(run, clip, paths)
    assert not moved[:, 1].any()  # not chosen: 0 of 255
    assert moved[5:14, 2].any()
    assert not moved[20:, 2].any()  # at rest
    assert moved[28:37, 0].any()
    assert not moved[:22, 0].any()
    report = run.report
    assert [one["face"] for one in report["speakers"]] == ["left 2", "110,180"]
    assert [one["frames_synced"] for one in report["speakers"]] == [40, 40]
    assert report["frames_passed_through"] == 0
    assert report["mode"] == "puppet"
    json.dumps(report)
    mixture = run.clip.samples[0]
    assert np.array_equal(mixture, first.clip.samples[0] + second.clip.samples[0])


@pytest.mark.slow
def test_an_upscale_model_that_does_nothing_here_is_said(
    engine: MuseTalkLipSync, heads: tuple[Head, ...], words: np.ndarray, oracle: Any
) -> None:
    oracle("spandrel")
    from support import upscalers

    clip = PeopleClip(heads[:2], [still(110, 180, 100), still(320, 180, 100)], 1)
    config = LipSyncConfig(mode="puppet", face="left 1")
    run = engine.run(
        clip.avatar(), speech(words, 0.1, 0.4), config, upscale_model=upscalers.nearest()
    )
    assert run.report["upscale"]["applied"] == "none"
    assert run.report["upscale"]["reason"].startswith("it sharpens one speaker chosen by size")


@pytest.mark.slow
def test_the_frames_are_those_of_each_speech_alone(
    engine: MuseTalkLipSync, heads: tuple[Head, ...], words: np.ndarray
) -> None:
    paths = [walk((130, 180, 110), (190, 184, 110), 0, 12), still(470, 180, 100)]
    clip = PeopleClip(heads[:2], paths, 13)
    one, other = speech(words, 0.0, 0.52), speech(words[3000:], 0.0, 0.52)

    def frames(mel: Mel, face: str, *more: Speaker) -> list[np.ndarray]:
        config = LipSyncConfig(mode="puppet", face=face, speakers=more)
        return list(engine.run(clip.avatar(), mel, config).open_frames())

    both = frames(one, "left 0", Speaker(audio=other, face="left 1"))
    left, right = frames(one, "left 0"), frames(other, "left 1")
    sources = [clip.frame(number) for number in range(13)]
    half = 320
    for made, a, b, source in zip(both, left, right, sources, strict=True):
        assert np.array_equal(made[:, :half], a[:, :half])
        assert np.array_equal(made[:, half:], b[:, half:])
        assert np.array_equal(a[:, half:], source[:, half:])
        assert np.array_equal(b[:, :half], source[:, :half])
    assert any((made != source).any() for made, source in zip(both, sources, strict=True))


@pytest.mark.thorough
@pytest.mark.slow
def test_four_speak_at_once_in_full_hd_at_a_film_rate(
    engine: MuseTalkLipSync, heads: tuple[Head, ...], words: np.ndarray
) -> None:
    paths = [
        walk((300, 500, 220), (330, 510, 226), 0, 8),
        still(800, 420, 180),
        walk((1300, 500, 240), (1280, 490, 230), 0, 8),
        still(1680, 600, 120),
    ]
    film = Fraction(24000, 1001)
    clip = PeopleClip(heads, paths, 8, size=(1920, 1080), rate=film)
    mels = [speech(words[200 * number :], 0, 0.3) for number in range(4)]
    more = tuple(Speaker(audio=mels[n], face=f"left {n}") for n in (1, 2, 3))
    config = LipSyncConfig(mode="puppet", face="left 0", speakers=more, fps=0, silence="as heard")
    run = engine.run(clip.avatar(), mels[0], config)
    assert (run.frame_rate, run.frame_count) == (film, 7)  # 0.3 s are 7.19 frames
    assert [one["frames_synced"] for one in run.report["speakers"]] == [7] * 4
    assert changed(run, clip, paths).any(axis=0).all()


@pytest.mark.slow
def test_who_crosses_over_a_bystander_never_touches_that_face(
    engine: MuseTalkLipSync, heads: tuple[Head, ...], words: np.ndarray
) -> None:
    paths = [still(320, 180, 100), walk((150, 190, 110), (490, 190, 110), 2, 26)]
    clip = PeopleClip(heads[:2], paths, 28)
    loud = np.tile(words, 3)[: round(1.12 * RATE)]
    config = LipSyncConfig(mode="puppet", face="left 0", silence="as heard")
    run = engine.run(clip.avatar(), speech(loud, 0, 1.12), config)
    synced = 0
    for number, frame in enumerate(run.open_frames()):
        source = clip.frame(number)
        differs = (frame != source).any(axis=2)
        synced += bool(differs.any())
        x, y, side = 320, 180, 100
        speaker = paths[1](number)
        assert speaker is not None
        if abs(speaker[0] - x) > side:  # the face is not hidden
            face = differs[y - side // 2 : y + side // 2, x - side // 2 : x + side // 2]
            assert not face.any(), number
    assert synced >= 10
    ranges = run.report["speakers"][0]["ranges_covered"]
    assert all(10 <= first <= last <= 22 for first, last in ranges)


@pytest.mark.slow
def test_speeches_and_faces_that_do_not_fit_are_refused(
    engine: MuseTalkLipSync, heads: tuple[Head, ...], words: np.ndarray, tmp_path: Path
) -> None:
    clip = PeopleClip(heads[:1], [still(320, 180, 120)], 1)
    mel = speech(words, 0, 0.5)
    with pytest.raises(MediaError, match="Expected a face for each of 2 speakers, found at most 1"):
        engine.run(clip.avatar(), mel, LipSyncConfig(speakers=(Speaker(audio=mel, face="1"),)))
    with pytest.raises(MediaError, match="Expected speech with a channel 2, but it has only 1"):
        engine.run(clip.avatar(), mel, LipSyncConfig(channel=2))
    track = tmp_path / "track.json"
    track.write_text('{"width": 640, "height": 360, "frames": [null]}')
    report = engine.run(clip.avatar(), mel, LipSyncConfig(face=str(track))).report
    assert report["mode"] == "static"
    assert report["reason"].endswith("; to move the lips, choose faces that are seen")
    static = LipSyncConfig(mode="static", speakers=(Speaker(audio=mel, face="1"),))
    frames = list(engine.run(clip.avatar(), mel, static).open_frames())
    assert all(np.array_equal(frame, clip.frame(0)) for frame in frames)


def test_a_mouth_comes_to_rest_before_its_face_is_lost() -> None:
    there = np.array([1, 1, 1, 1, 0, 0, 1, 1, 1, 0, 1], bool)
    thirds = np.array([3, 3, 2, 1, 0, 0, 1, 2, 1, 0, 1], np.float32) / 3
    assert np.allclose(near_rest(there, Fraction(25)), thirds)
    assert near_rest(there, Fraction(10)).tolist() == [1, 1, 1, 0.5, 0, 0, 0.5, 1, 0.5, 0, 0.5]
    assert near_rest(np.ones(3, bool), Fraction(25)).tolist() == [1, 1, 1]
    assert near_rest(np.zeros(3, bool), Fraction(25)).tolist() == [0, 0, 0]


def test_without_the_mesh_it_is_said_what_helps(tmp_path: Path) -> None:
    mel = speech(np.ones(8000, np.float32) / 8, 0, 0.5)
    clip = PeopleClip([], [], 1)
    engine = MuseTalkLipSync(host=MeshHost(tmp_path))
    with pytest.raises(
        MediaError,
        match=r"Choosing a face, or having .* needs the face mesh \(4 MB\), but its file is not",
    ):
        engine.run(clip.avatar(), mel, LipSyncConfig(face="left 1"))
