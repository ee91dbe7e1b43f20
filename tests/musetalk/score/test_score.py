"""Whole videos by the real face mesh: a puppet whose motion is known, and what cannot be scored."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from avatarvideo.encoders.encoder import encode_frames
from avatarvideo.encoders.interfaces import EncodingConfig
from avatarvideo.encoders.read.picture import read_image
from avatarvideo.errors import Cancelled, CheckpointError, MediaError
from avatarvideo.host.standalone import StandaloneHost
from avatarvideo.media import AudioClip, Clip
from avatarvideo.musetalk.face.finder import locate_face
from avatarvideo.musetalk.inputs import load_speech
from avatarvideo.musetalk.puppet.pose import MouthPose
from avatarvideo.musetalk.puppet.puppet import Puppet
from avatarvideo.musetalk.score.numbers import OF
from avatarvideo.musetalk.score.plot import (
    EXPECTED,
    HEIGHT,
    LEAST_WIDTH,
    OPENING,
    drawn,
    write_plot,
)
from avatarvideo.musetalk.score.score import Score, score_clip, score_video
from avatarvideo.musetalk.score.speech import heard
from avatarvideo.musetalk.score.table import table

SAMPLES = Path(__file__).resolve().parents[3] / "web" / "samples"
RATE = Fraction(25)
WIDEST = 0.1  # gap of the renders, mouth widths
SECONDS, SIDE = 3, 192
STILL = "The mouth does not move: this is a still picture, or somebody who does not speak."
STILL_WITH_SOUND = STILL.replace("picture,", "picture with sound,")


class OwnModels(StandaloneHost):
    """A host whose models lie in one folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(show_progress=False)
        self.folder = folder

    @property
    def model_directories(self) -> list[Path]:
        return [self.folder]


@pytest.fixture(scope="module")
def host(mesh_models: Path) -> OwnModels:
    return OwnModels(mesh_models)


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    face = np.ascontiguousarray(read_image(SAMPLES / "portrait.png")[120:632, 140:652])
    return cv2.resize(face, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="module")
def speech() -> AudioClip:
    """Three seconds of the bundled speech between half seconds of silence."""
    sound = load_speech(SAMPLES / "speech.flac").speech
    samples = np.zeros((1, SECONDS * 16000), np.float32)
    samples[0, 8000:-8000] = sound[: samples.shape[1] - 16000]
    return AudioClip(samples, 16000)


def clip_of(frames: list[np.ndarray], sound: AudioClip | None, rate: Fraction = RATE) -> Clip:
    return Clip(
        open_frames=lambda start: iter(frames[start:]),
        width=frames[0].shape[1],
        height=frames[0].shape[0],
        frame_rate=rate,
        frame_count=len(frames),
        read_audio=lambda: sound,
    )


@pytest.fixture(scope="module")
def talking(portrait: np.ndarray, speech: AudioClip, host: OwnModels) -> Clip:
    """The portrait's mouth moved by what the speech makes plausible, exactly in time."""
    expected = heard(speech, lambda: None).expected
    times = (np.arange(round(SECONDS * RATE)) + 0.5) / float(RATE)
    curve = np.interp(times * 100 - 0.5, np.arange(len(expected)), expected)
    lips = locate_face(portrait, model_folders=host.model_directories).lips
    assert lips is not None
    puppet = Puppet(portrait, lips)
    poses = [MouthPose(float(each)) for each in WIDEST * curve / curve.max()]
    return clip_of([puppet.render(pose) for pose in poses], speech)


@pytest.fixture(scope="module")
def scored(talking: Clip, portrait: np.ndarray, host: OwnModels) -> Score:
    return score_clip(talking, source=clip_of([portrait], None), host=host)


def later(sound: AudioClip, frames: float) -> AudioClip:
    moved = np.roll(sound.samples, round(frames * 16000 / float(RATE)), axis=1)
    return dataclasses.replace(sound, samples=moved)


@pytest.mark.slow
def test_a_mouth_in_time_has_all_its_numbers(scored: Score) -> None:
    numbers = scored.numbers
    assert list(numbers) == list(OF)
    assert numbers["offset"] == pytest.approx(0, abs=0.3)
    assert (numbers["correlation"] or 0) > 0.6
    assert numbers["closure"] == 1
    assert 0 < (numbers["jitter"] or 0) < 0.005  # speech moves the corners: 0.0041
    assert 0.6 < (numbers["sharpness"] or 0) < 1.4
    assert 0 < (numbers["change"] or 0) < 0.1  # of the neck, which gives way below the chin
    assert (scored.notes, scored.reasons) == ((), {})
    assert (scored.frames, scored.frames_with_face) == (75, 75)


@pytest.mark.slow
@pytest.mark.parametrize("frames", [-1, 1, 4])
def test_sound_that_is_late_is_found_to_be(
    talking: Clip, speech: AudioClip, host: OwnModels, frames: int
) -> None:
    found = score_clip(talking, sound=later(speech, frames), host=host)
    assert found.numbers["offset"] == pytest.approx(frames, abs=0.35)


@pytest.mark.slow
def test_another_sound_is_said_to_be_anothers(
    talking: Clip, speech: AudioClip, host: OwnModels
) -> None:
    backwards = dataclasses.replace(speech, samples=speech.samples[:, ::-1].copy())
    found = score_clip(talking, sound=backwards, host=host)
    assert found.numbers["offset"] is None
    assert "no better than chance at any shift" in found.notes[0]
    assert found.numbers["closure"] is not None
    assert found.reasons["offset"] == found.reasons["correlation"] == found.notes[0]


def only(found: Score, *names: str) -> None:
    """Only these numbers are given; for each of the others there is a reason."""
    given = {name for name, value in found.numbers.items() if value is not None}
    assert given == set(names)
    assert set(found.reasons) == set(OF) - given
    assert all(reason.endswith(".") for reason in found.reasons.values())


@pytest.mark.slow
def test_a_still_with_sound_is_named(
    portrait: np.ndarray, speech: AudioClip, host: OwnModels
) -> None:
    found = score_clip(clip_of([portrait] * 12, speech), host=host)
    assert found.notes == (STILL_WITH_SOUND,)
    only(found, "sharpness")


@pytest.mark.slow
def test_a_still_that_is_turned_and_shifted_is_one(portrait: np.ndarray, host: OwnModels) -> None:
    frames = []
    for number in range(20):
        turn = cv2.getRotationMatrix2D((96, 96), 4 * np.sin(number / 4), 1.1)
        turn[:, 2] += 4 * np.sin(number / 6)
        frames.append(cv2.warpAffine(portrait, turn, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE))
    found = score_clip(clip_of(frames, None), host=host)
    assert found.notes == (STILL,)


def test_a_still_alone_is_named(portrait: np.ndarray, host: OwnModels) -> None:
    found = score_clip(clip_of([portrait] * 3, None), host=host)
    assert found.notes == (STILL,)
    only(found, "sharpness")


@pytest.mark.slow
@pytest.mark.parametrize("has_track", [False, True])
def test_a_silent_video_is_named(talking: Clip, host: OwnModels, has_track: bool) -> None:
    silence = AudioClip(np.zeros((2, 48000 * SECONDS), np.float32), 48000)
    frames = list(talking.frames())[10:40]
    found = score_clip(clip_of(frames, silence if has_track else None), host=host)
    said = "Nobody speaks in the sound." if has_track else "The video has no sound."
    assert found.notes == (said,)
    only(found, "jitter", "sharpness")


def test_a_faceless_video_is_named(host: OwnModels, speech: AudioClip) -> None:
    grey = np.full((96, 96, 3), 90, np.uint8)
    found = score_clip(clip_of([grey] * 5, speech), host=host)
    assert found.notes == ("No face is seen in this video.",)
    only(found)
    assert table(found) == found.notes[0]


@pytest.mark.slow
def test_two_faces_are_named(portrait: np.ndarray, speech: AudioClip, host: OwnModels) -> None:
    both = np.concatenate([portrait, portrait[:, ::-1]], axis=1)
    found = score_clip(clip_of([both] * 3, speech), host=host)
    assert found.notes[0].startswith("2 faces of similar size are seen")
    only(found)


@pytest.mark.slow
def test_frames_without_the_face_are_counted(talking: Clip, host: OwnModels) -> None:
    frames = list(talking.frames())
    gone = [np.full_like(frames[0], 90)] * 10
    found = score_clip(clip_of(frames[:25] + gone + frames[35:], talking.read_audio()), host=host)
    assert found.notes == ("A face is seen in 65 of 75 frames.",)
    assert np.isnan(found.opening).nonzero()[0].tolist() == list(range(25, 35))
    assert found.numbers["offset"] == pytest.approx(0, abs=0.4)


@pytest.mark.slow
def test_a_face_seen_in_passing_is_not_scored(
    portrait: np.ndarray, speech: AudioClip, host: OwnModels
) -> None:
    gone = np.full_like(portrait, 90)
    found = score_clip(clip_of([portrait] * 3 + [gone] * 3, speech), host=host)
    assert found.notes == ("A face is seen in 3 of 6 frames.",)
    only(found)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (
            1.2,
            "The sound lasts 1.2 s and the pictures 3.0 s: frames after its end count as silent.",
        ),
        (4.5, "The sound lasts 4.5 s and the pictures 3.0 s: the rest of it is left out."),
    ],
)
def test_sound_of_another_length_is_named(
    talking: Clip, speech: AudioClip, host: OwnModels, seconds: float, said: str
) -> None:
    samples = np.zeros((1, round(seconds * 16000)), np.float32)
    both = min(samples.shape[1], speech.samples.shape[1])
    samples[:, :both] = speech.samples[:, :both]
    found = score_clip(talking, sound=AudioClip(samples, 16000), host=host)
    assert found.notes[0] == said


def test_a_video_without_pictures_is_refused(portrait: np.ndarray, host: OwnModels) -> None:
    empty = dataclasses.replace(clip_of([portrait], None), open_frames=lambda _start: iter([]))
    with pytest.raises(MediaError, match="Expected a video with pictures, but 'video' has none"):
        score_clip(empty, host=host)


def test_a_source_of_another_size_is_fitted_of_another_shape_refused(
    portrait: np.ndarray, host: OwnModels
) -> None:
    video = clip_of([portrait] * 2, None)
    large = cv2.resize(portrait, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    assert score_clip(video, source=clip_of([large], None), host=host).numbers["change"] == 0
    smooth = cv2.GaussianBlur(portrait, (0, 0), 2)
    small = cv2.resize(smooth, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    found = score_clip(clip_of([smooth] * 2, None), source=clip_of([small], None), host=host)
    assert (found.numbers["change"] or 0) < 1  # pixels that are repeated make 1.9
    found = score_clip(video, source=clip_of([portrait[:100]], None), host=host)
    assert found.reasons["change"] == (
        f"The source has a different aspect ratio ({SIDE}x100) from the video ({SIDE}x{SIDE})."
    )


@pytest.mark.slow
def test_a_source_goes_beside_the_video_in_time(portrait: np.ndarray, host: OwnModels) -> None:
    dark = [(portrait * share).astype(np.uint8) for share in (1.0, 0.9, 0.8, 0.7)]
    twice = [dark[number // 2] for number in range(8)]
    source = clip_of(dark, None)
    found = score_clip(clip_of(twice, None, RATE * 2), source=source, host=host)
    assert found.numbers["change"] == 0
    longer = score_clip(clip_of([*dark, dark[0]], None), source=source, host=host)
    assert longer.numbers["change"] == 0  # as far as the source goes


@pytest.mark.slow
def test_files_are_read(
    portrait: np.ndarray, speech: AudioClip, host: OwnModels, tmp_path: Path
) -> None:
    path = tmp_path / "still.mp4"
    encode_frames(
        [portrait] * 10, path, frame_rate=RATE, audio=speech, config=EncodingConfig(quality="high")
    )
    found = score_video(path, source=SAMPLES / "portrait.png", host=host)
    assert found.notes == (STILL_WITH_SOUND,)
    assert (found.numbers["change"] or 0) > 5  # another crop of the picture
    with pytest.raises(MediaError, match=r"Expected a video, but 'portrait\.png' is a picture"):
        score_video(SAMPLES / "portrait.png", host=host)


def test_without_the_face_mesh_one_sentence_says_how_to_get_it(
    portrait: np.ndarray, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError) as refusal:
        score_clip(clip_of([portrait], None), host=OwnModels(tmp_path))
    assert str(refusal.value) == (
        "The score needs the face mesh (4 MB), but its file is not installed: get it with "
        "`avatar models download face-mesh`."
    )


def test_a_cancel_ends_it_between_frames(portrait: np.ndarray, host: OwnModels) -> None:
    read: list[int] = []

    def opened(_start: int) -> Iterator[np.ndarray]:
        for number, frame in enumerate([portrait] * 40):
            read.append(number)
            if number == 3:
                host.cancel()
            yield frame

    clip = dataclasses.replace(clip_of([portrait] * 40, None), open_frames=opened)
    with pytest.raises(Cancelled):
        score_clip(clip, host=host)
    assert read == [0, 1, 2, 3]


def shown(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Where a colour is in the field of the curves: columns."""
    field = picture[90 : HEIGHT - 64]
    return np.flatnonzero((np.abs(field.astype(int) - colour).sum(axis=2) < 30).any(axis=0))


def made_up(opening: np.ndarray, expected: np.ndarray | None) -> Score:
    return Score(
        numbers=dict.fromkeys(OF) | {"offset": 1.04, "correlation": 0.5},
        certainty=5.0,
        reasons={},
        notes=(),
        frames=len(opening),
        frames_with_face=int(np.isfinite(opening).sum()),
        heard_by="loudness",
        times=(np.arange(len(opening)) + 0.5) / 25,
        opening=opening,
        drop=opening,
        expected=expected,
    )


def test_the_plot_shows_both_curves_over_time(tmp_path: Path) -> None:
    opening = 0.2 + 0.1 * np.sin(np.arange(250) / 5)
    opening[100:150] = np.nan
    score = made_up(opening, np.abs(np.cos(np.arange(250) / 5)))
    picture = drawn(score)
    assert picture.shape == (HEIGHT, LEAST_WIDTH, 3)
    columns = shown(picture, OPENING)
    assert columns.min() < 100
    assert columns.max() > LEAST_WIDTH - 40
    assert not (
        (columns > 0.45 * LEAST_WIDTH) & (columns < 0.6 * LEAST_WIDTH)
    ).any()  # no face, no line
    assert shown(picture, EXPECTED).size > 500

    path = tmp_path / "plot.png"
    write_plot(score, path)
    np.testing.assert_array_equal(read_image(path), picture)
    assert [file.name for file in tmp_path.iterdir()] == ["plot.png"]


def test_a_long_video_gets_a_wide_plot() -> None:
    minute = made_up(np.full(1500, 0.1), None)
    assert drawn(minute).shape[1] == 84 + 24 + 40 * 60
    assert drawn(made_up(np.full(9000, 0.1), None)).shape[1] == 8000


@pytest.mark.parametrize("count", [1, 3])
def test_a_plot_of_almost_nothing_is_drawn(count: int) -> None:
    picture = drawn(made_up(np.full(count, np.nan), None))
    assert shown(picture, OPENING).size == 0
