"""The bundled samples are what the documentation and the example workflows promise."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from avatarvideo.encoders.read.audio import read_audio
from avatarvideo.musetalk.face.finder import locate_face

SAMPLES = Path(__file__).resolve().parent.parent / "web" / "samples"


def test_portrait_is_a_square_opaque_picture_of_moderate_size():
    path = SAMPLES / "portrait.png"
    with Image.open(path) as portrait:
        assert (portrait.format, portrait.mode, portrait.size) == ("PNG", "RGB", (768, 768))
    assert path.stat().st_size < 420 * 1024


def test_speech_is_mono_level_and_framed_by_silence():
    with av.open(str(SAMPLES / "speech.flac")) as container:
        stream = container.streams.audio[0]
        assert (stream.codec_context.name, stream.rate) == ("flac", 22050)
        assert stream.codec_context.channels == 1
        decoded = [frame.to_ndarray() for frame in container.decode(stream)]
    samples = np.concatenate(decoded, axis=1)[0] / 32768
    assert 3.5 < len(samples) / 22050 < 4.6
    assert 0.6 < np.abs(samples).max() < 0.72  # -3 dBFS
    edge = int(0.15 * 22050)
    assert np.abs(samples[:edge]).max() < 0.01
    assert np.abs(samples[-edge:]).max() < 0.01


def test_two_people_are_in_a_picture_and_the_second_answers_the_first():
    path = SAMPLES / "two_people.jpg"
    with Image.open(path) as pair:
        assert (pair.format, pair.mode, pair.size) == ("JPEG", "RGB", (1024, 576))
    assert path.stat().st_size < 200 * 1024
    first, second = (read_audio(SAMPLES / name) for name in ("speech.flac", "speech_reply.flac"))
    assert second.sample_rate == first.sample_rate
    until = first.samples.shape[1]
    assert not second.samples[:, :until].any()
    assert 2 < (second.samples.shape[1] - until) / second.sample_rate < 4
    assert np.abs(second.samples).max() == pytest.approx(10 ** (-3 / 20), abs=0.02)


def test_video_lasts_three_seconds_without_sound():
    path = SAMPLES / "talking_head.mp4"
    with av.open(str(path)) as container:
        assert not container.streams.audio
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.average_rate) == ("h264", Fraction(25))
        assert sum(1 for _ in container.decode(stream)) == 75
    assert path.stat().st_size < 300 * 1024


@pytest.mark.slow
def test_lip_corners_are_shipped_beside_the_portrait():
    shipped = json.loads((SAMPLES / "portrait.json").read_text(encoding="utf-8"))
    with Image.open(SAMPLES / shipped["picture"]) as portrait:
        found = locate_face(np.asarray(portrait.convert("RGB")))
    assert found.lips is not None, found.reason
    assert np.abs(np.subtract(found.lips.corners, shipped["lip_corners"])).max() < 0.1 * 89
