"""MuseTalkLipSync's further speakers: sockets, faces and channels become options of the engine."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from avatarvideo.errors import MediaError
from avatarvideo.host.standalone import StandaloneHost
from avatarvideo.media import AudioClip, Mel
from avatarvideo.musetalk.audio import prepare_mel
from avatarvideo.musetalk.face.mesh_networks import mesh_networks
from avatarvideo.musetalk.speaker import Speaker
from avatarvideo.nodes.lip_sync import MuseTalkLipSync
from avatarvideo.nodes.load_avatar import LoadAvatar
from avatarvideo.nodes.speakers import speaker_inputs, unused_faces, with_speakers
from support.people_clips import PeopleClip, heads_of, still


def mel(*channels: float) -> Mel:
    row = np.array(channels, np.float32)[:, None]
    return prepare_mel(AudioClip(np.repeat(row, 8000, axis=1), 16000))


def test_the_inputs_stand_in_the_order_that_saved_workflows_know() -> None:
    assert [*speaker_inputs()] == [
        "speaker_per_channel",
        *("mel_2", "face_2", "mel_3", "face_3", "mel_4", "face_4"),
    ]


def test_linked_mels_speak_with_their_faces(host: StandaloneHost) -> None:
    one, two, four = mel(0.1), mel(0.2), mel(0.4)
    options = {"face": "left 0", "face_2": "1", "mel_2": two, "mel_4": four, "face_3": "9"}
    assert with_speakers(options, one) == {
        "face": "left 0",
        "speakers": (Speaker(audio=two, face="1"), Speaker(audio=four, face="")),
    }
    assert with_speakers({"mode": "static"}, one) == {"mode": "static"}


def test_each_channel_may_be_a_speaker(host: StandaloneHost) -> None:
    options = {"speaker_per_channel": True, "face": "0", "face_2": "left 1"}
    assert with_speakers(options, mel(0.1, 0.2)) == {
        "face": "0",
        "channel": 1,
        "speakers": (Speaker(face="left 1", channel=2),),
    }
    with pytest.raises(MediaError, match="a speaker in each, got audio of 1: turn speaker per"):
        with_speakers(options, mel(0.1))
    with pytest.raises(MediaError, match="got further mels linked"):
        with_speakers(options | {"mel_3": mel(0.3)}, mel(0.1, 0.2))


def test_a_face_without_a_speech_is_said() -> None:
    options = {"face": "0", "face_2": "1", "mel_2": mel(0.2), "face_3": "left 1", "face_4": " "}
    said = "face_3 was not used: nothing is linked to mel_3."
    assert unused_faces(options, mel(0.1)) == [said]
    channels = {"speaker_per_channel": True, "face_2": "1", "face_4": "2"}
    said = "face_4 was not used: the audio has 2 channels."
    assert unused_faces(channels, mel(0.1, 0.2)) == [said]


def test_the_node_says_what_it_did_not_use(host: StandaloneHost) -> None:
    picture = torch.zeros(1, 64, 64, 3)
    options: dict[str, Any] = {
        "face_2": "1",
        "mode": "static",
        "images_output": "never",
        "face": "left 0",
    }
    answer = MuseTalkLipSync().speak(picture, mel(0.1), **options)
    notes = json.loads(answer["result"][3])["notes"]
    assert "face_2 was not used: nothing is linked to mel_2." in notes
    assert any(note.startswith("The mode static moves no mouth") for note in notes)
    assert answer["ui"]["text"][1:] == ["face_2 was not used: nothing is linked to mel_2."]


def test_a_track_file_is_one_that_graphs_may_read(host: StandaloneHost, tmp_path: Path) -> None:
    (host.input_directory / "a.json").write_text("{}")
    made = with_speakers({"face": "a.json"}, mel(0.1))
    assert made == {"face": str(host.input_directory / "a.json")}
    outside = tmp_path / "outside.json"
    outside.write_text("{}")
    for face in ("../outside.json", "none.json"):
        with pytest.raises(MediaError, match="Expected"):
            with_speakers({"face": face}, mel(0.1))


def test_a_track_file_does_not_tell_what_lies_elsewhere(
    host: StandaloneHost, tmp_path: Path
) -> None:
    host.reads_anywhere = False
    (tmp_path / "there.json").write_text("{}")
    said = set()
    for name in ("there.json", "none_.json"):
        for ask in (MuseTalkLipSync.IS_CHANGED, lambda face: with_speakers({"face": face}, mel(0))):
            with pytest.raises(MediaError) as error:
                ask(face=str(tmp_path / name))
            said.add(re.sub("'.*'", "", str(error.value)))
    assert len(said) == 1


def test_a_changed_track_file_is_read_again(host: StandaloneHost) -> None:
    file = host.input_directory / "a.json"
    file.write_text("{}")
    before = MuseTalkLipSync.IS_CHANGED(images_output="always", face="a.json")
    file.write_text('{"width": 1}')
    assert MuseTalkLipSync.IS_CHANGED(images_output="always", face="a.json") != before
    assert MuseTalkLipSync.IS_CHANGED(images_output="always", face="1") is False


def test_what_is_no_mel_or_text_is_said(host: StandaloneHost) -> None:
    with pytest.raises(MediaError, match=r"Expected a MEL as mel 2, got dict: link Audio to Mel."):
        with_speakers({"mel_2": {}}, mel(0.1))
    with pytest.raises(MediaError, match=r"Expected a face as text, got int."):
        with_speakers({"face_2": 1}, mel(0.1))


@pytest.fixture
def two(mesh_models: Path, real_data: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Two people, the left one larger: uint8 (360, 640, 3)."""
    monkeypatch.setenv("AVATAR_MODELS", str(mesh_models))
    networks = mesh_networks([mesh_models])
    assert networks is not None
    heads = heads_of(real_data, networks)
    return PeopleClip(heads[:2], [still(180, 180, 118), still(460, 180, 110)], 1).frame(0)


def buzzes() -> tuple[np.ndarray, list[Mel]]:
    """Two who speak one after the other: their sound together, and what each says."""
    time = np.arange(16000) / 16000
    buzz = sum(np.sin(2 * np.pi * 150 * k * time) / k for k in range(1, 10))
    early, late = (0.2 * buzz * (time < 0.4), 0.2 * buzz * (time > 0.6))
    clips = [AudioClip(each.astype(np.float32)[None], 16000) for each in (early, late)]
    return (early + late).astype(np.float32), [prepare_mel(clip) for clip in clips]


@pytest.mark.slow
def test_a_face_that_was_clicked_speaks_and_the_other_has_the_second_speech(
    host: StandaloneHost, two: np.ndarray
) -> None:
    Image.fromarray(two).save(host.input_directory / "two.png")
    load, found = LoadAvatar().load, {}
    for face_at in ("", "460,170", "190,180"):
        answer = load("two.png", "", 0, face_at=face_at)
        found[face_at] = answer["result"][0], answer["ui"]["avatar_lips"][0]
        left, right = answer["ui"]["avatar_faces"]  # by size
        assert left[0] < 180 < left[2] < right[0] < 460 < right[2]
        seen = answer["result"][0].face.faces
        assert seen is not None
        assert len(seen) == 2  # seen once, and not looked for again
    assert found[""][1] == found["190,180"][1]
    assert 420 < found["460,170"][1][0] < 460 < found["460,170"][1][2] < 500
    with pytest.raises(MediaError, match=r"^No face was found at the point 320,20: click"):
        load("two.png", "", 0, face_at="320,20")

    speeches = buzzes()[1]
    alone = MuseTalkLipSync().speak(found["460,170"][0], speeches[0], mode="puppet")["result"][0]
    frames = np.rint(alone.numpy() * 255)
    assert np.array_equal(frames[:, :, :320], np.repeat(two[None, :, :320], len(frames), axis=0))
    assert (frames[3:8, :, 320:] != two[:, 320:]).any()
    run = MuseTalkLipSync().speak(
        found["190,180"][0], speeches[0], mel_2=speeches[1], mode="puppet"
    )
    speakers = json.loads(run["result"][3])["speakers"]
    assert [one["face"] for one in speakers] == ["190,180", "face 0 by size"]
    changes = np.rint(run["result"][0].numpy() * 255) != two
    assert changes[3:8, :, :320].any()
    assert not changes[:12, :, 320:].any()
    assert changes[17:, :, 320:].any()


@pytest.mark.slow
def test_two_speak_in_a_graph(host: StandaloneHost, two: np.ndarray) -> None:
    picture = torch.from_numpy(two.astype(np.float32) / 255)[None]
    heard, speeches = buzzes()
    options: dict[str, Any] = {"mode": "puppet", "face": "left 0", "face_2": "460,180"}
    result = MuseTalkLipSync().speak(picture, speeches[0], mel_2=speeches[1], **options)["result"]
    images, _, audio, _, mask = result
    changes = (images != picture).any(dim=3).numpy()
    left, right = changes[:, :, :320].any(axis=(1, 2)), changes[:, :, 320:].any(axis=(1, 2))
    assert left[3:8].any()
    assert not left[14:].any()
    assert right[17:].any()
    assert not right[:12].any()
    assert np.array_equal(audio["waveform"][0, 0].numpy(), heard)
    assert mask[0, :, :320].any()
    assert mask[0, :, 320:].any()
