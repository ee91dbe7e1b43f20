"""Several speeches: how they are written, whose they are, and the sound of them together."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatarvideo.errors import MediaError
from avatarvideo.media import AudioClip, Avatar, Clip, LipCorners, Mel
from avatarvideo.musetalk.audio import prepare_mel
from avatarvideo.musetalk.interfaces import LipSyncConfig
from avatarvideo.musetalk.speaker import Speaker, parse_speaker, speakers_of
from avatarvideo.musetalk.speeches import (
    clips_of,
    files_of,
    loaded,
    mixed,
    sound_length,
    speeches_of,
)

RATE = 16000


def clip(*channels: float, seconds: float = 0.5, rate: int = RATE) -> AudioClip:
    """Steady values, one a channel."""
    row = np.array(channels, np.float32)[:, None]
    return AudioClip(np.repeat(row, round(seconds * rate), axis=1), rate)


def mel(*channels: float) -> Mel:
    return prepare_mel(clip(*channels))


def avatar(face_index: int = 0) -> Avatar:
    still = Clip(
        open_frames=lambda _start: iter(()),
        width=64,
        height=64,
        frame_rate=Fraction(25),
        frame_count=1,
    )
    return Avatar.of(still, face_index=face_index)


@pytest.mark.parametrize(
    ("text", "speaker"),
    [
        ("audio=b.wav,face=1", Speaker(audio="b.wav", face="1")),
        ("face=120,80, audio=a, b=c.wav", Speaker(audio="a, b=c.wav", face="120,80")),
        (" channel=2,face=left 1", Speaker(face="left 1", channel=2)),
        ("audio=b.wav", Speaker(audio="b.wav")),
    ],
)
def test_a_speaker_is_written_in_one_line(text: str, speaker: Speaker) -> None:
    assert parse_speaker(text) == speaker


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("b.wav", 'Expected speakers as "audio=FILE,face=WHICH,channel=NUMBER", each at most'),
        ("audio=a,audio=b", 'Expected speakers as "audio=FILE'),
        ("audio=a,channel=x", "Expected a speaker's channel as a whole number, got 'x'."),
        ("channel=65", "Expected a speaker's channel between 0 and 64, got 65."),
        ([{"sound": "b.wav"}], "Expected speakers as audio, face, channel with their values"),
        ([3], "Expected speakers as audio, face, channel with their values, got 3."),
        (3, "Expected speakers as a list, got something else."),
        ([{"face": 1.5}], "Expected a speaker's face as text, got 1.5."),
        ([Speaker()] * 16, "Expected speakers to be fewer than 16, got 16."),
    ],
)
def test_another_speaker_is_refused(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        LipSyncConfig(speakers=value)


def test_speakers_come_as_texts_and_as_names_and_values() -> None:
    wanted = (Speaker(audio="b.wav", face="1"), Speaker(face="3,4", channel=2))
    given = ["audio=b.wav,face=1", {"face": (3, 4), "channel": 2}]
    assert LipSyncConfig(speakers=given).speakers == wanted  # type: ignore[arg-type]
    assert speakers_of({"audio": "b.wav", "face": 1}) == wanted[:1]


def test_each_speech_has_its_face() -> None:
    one, other = mel(0.1), mel(0.2)
    options = LipSyncConfig(speakers=(Speaker(audio=other), Speaker(audio=other, face="left 1")))
    found = speeches_of(one, options, avatar(), None)
    assert [each.mel for each in found] == [one, other, other]
    assert [(each.wish.index, each.wish.from_left) for each in found] == [
        (0, False),
        (1, False),
        (1, True),
    ]
    second = speeches_of(one, options, avatar(face_index=1), None)
    assert [each.wish.index for each in second] == [1, 0, 1]
    assert [each.wish.is_open for each in second] == [False, True, False]
    corners = LipCorners(10, 20, 30, 22)
    assert speeches_of(one, options, avatar(), corners)[0].wish.point == (20, 21)
    clicked = replace(avatar(), face_point=(7, 8.5))
    assert speeches_of(one, options, clicked, corners)[0].wish.point == (20, 21)
    assert speeches_of(one, options, clicked, None)[0].wish.text == "7,8.5"
    assert speeches_of(one, LipSyncConfig(), clicked, None) == ()


def test_one_speech_of_a_face_by_size_is_none_of_several() -> None:
    one = mel(0.1)
    assert speeches_of(one, LipSyncConfig(), avatar(), LipCorners(1, 1, 2, 2)) == ()
    assert speeches_of(one, LipSyncConfig(face="2"), avatar(), None) == ()
    assert len(speeches_of(one, LipSyncConfig(face="3,4"), avatar(), None)) == 1


def test_a_channel_speaks_alone_and_is_heard_with_the_others() -> None:
    stereo = mel(0.25, -0.5)
    options = LipSyncConfig(channel=1, speakers=(Speaker(channel=2),))
    first, second = speeches_of(stereo, options, avatar(), None)
    assert np.array_equal(first.mel.speech, np.full(8000, 0.25, np.float32))
    assert np.array_equal(second.mel.speech, np.full(8000, -0.5, np.float32))
    assert first.mel.clip is stereo.clip
    assert mixed(clips_of(stereo, options)) is stereo.clip
    with pytest.raises(MediaError, match="Expected speech with a channel 3, but it has only 2"):
        speeches_of(stereo, LipSyncConfig(channel=3, face="left 0"), avatar(), None)


def test_the_mix_keeps_levels_and_lengths() -> None:
    short, long = clip(0.25, seconds=0.5), clip(0.125, -0.25, seconds=1)
    heard = mixed([short, long])
    assert sound_length([short, long]) == (16000, RATE)
    assert heard.samples.shape == (2, 16000)
    assert np.array_equal(heard.samples[:, 0], [0.375, 0])  # one channel is heard on both
    assert np.array_equal(heard.samples[:, -1], [0.125, -0.25])
    assert mixed([short]) is short
    again = LipSyncConfig(speakers=(Speaker(audio=mel(0.25)), Speaker(audio=mel(0.5))))
    assert [float(each.samples[0, 0]) for each in clips_of(mel(0.25), again)] == [0.25, 0.5]


def test_a_mix_of_two_rates_has_the_higher_one() -> None:
    slow, fast = clip(0.25, rate=8000), clip(0.5, seconds=0.25, rate=48000)
    heard = mixed([slow, fast])
    assert heard.sample_rate == 48000
    assert heard.samples.shape == (1, 24000)
    assert np.allclose(heard.samples[0, 1000:11000], 0.75, atol=1e-3)
    assert np.allclose(heard.samples[0, 14000:22000], 0.25, atol=1e-3)


def test_a_mix_that_would_clip_is_turned_down_there_alone() -> None:
    quiet = np.full(RATE, 0.25, np.float32)
    loud = quiet.copy()
    loud[8000:8100] = 0.9
    heard = mixed([AudioClip(each[None], RATE) for each in (loud, loud * np.float32(1.0001))])
    samples = heard.samples[0]
    total = loud + loud * np.float32(1.0001)
    assert np.abs(samples).max() <= 1
    assert samples[8050] > 0.97
    assert np.array_equal(samples[:4000], total[:4000])
    assert np.array_equal(samples[12000:], total[12000:])
    steps = np.abs(np.diff(samples / total))
    assert steps.max() < 2e-3  # no click


def test_files_are_read_once_and_known(real_data: Path) -> None:
    options = LipSyncConfig(
        face="track.json",
        duration=0.5,
        speakers=("audio=b.wav,face=other.json", "channel=2"),  # type: ignore[arg-type]
    )
    assert files_of(options) == [Path("b.wav"), Path("track.json"), Path("other.json")]
    speech = real_data / "jfk.flac"
    read = loaded(LipSyncConfig(duration=0.5, speakers=(Speaker(audio=speech),)))
    audio = read.speakers[0].audio
    assert isinstance(audio, Mel)
    assert float(audio.clip.duration) == 0.5
    with pytest.raises(MediaError, match="no-such"):
        loaded(LipSyncConfig(speakers=(Speaker(audio="no-such.wav"),)))
