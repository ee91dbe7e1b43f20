"""MuseTalkLipSync's further speakers: sockets, faces and channels become options of the engine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatarvideo.errors import MediaError
from avatarvideo.host.standalone import StandaloneHost
from avatarvideo.media import AudioClip, Mel
from avatarvideo.musetalk.audio import prepare_mel
from avatarvideo.musetalk.face.mesh_networks import mesh_networks
from avatarvideo.musetalk.speaker import Speaker
from avatarvideo.nodes.lip_sync import MuseTalkLipSync
from avatarvideo.nodes.speakers import speaker_inputs, with_speakers
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
    with pytest.raises(MediaError, match="a speaker in each, got audio of 1: turn speaker_per"):
        with_speakers(options, mel(0.1))
    with pytest.raises(MediaError, match="got further mels linked"):
        with_speakers(options | {"mel_3": mel(0.3)}, mel(0.1, 0.2))


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
    with pytest.raises(MediaError, match=r"Expected a MEL as mel_2, got dict: link Audio to Mel."):
        with_speakers({"mel_2": {}}, mel(0.1))
    with pytest.raises(MediaError, match=r"Expected a face as a text, got int."):
        with_speakers({"face_2": 1}, mel(0.1))


@pytest.mark.slow
def test_two_speak_in_a_graph(
    host: StandaloneHost, mesh_models: Path, real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVATAR_MODELS", str(mesh_models))
    networks = mesh_networks([mesh_models])
    assert networks is not None
    heads = heads_of(real_data, networks)
    clip = PeopleClip(heads[:2], [still(180, 180, 110), still(460, 180, 110)], 1)
    picture = torch.from_numpy(clip.frame(0).astype(np.float32) / 255)[None]
    time = np.arange(16000) / 16000
    buzz = sum(np.sin(2 * np.pi * 150 * k * time) / k for k in range(1, 10))
    early, late = (0.2 * buzz * (time < 0.4), 0.2 * buzz * (time > 0.6))
    speeches = [
        prepare_mel(AudioClip(each.astype(np.float32)[None], 16000)) for each in (early, late)
    ]
    options: dict[str, Any] = {"mode": "puppet", "face": "left 0", "face_2": "460,180"}
    result = MuseTalkLipSync().speak(picture, speeches[0], mel_2=speeches[1], **options)["result"]
    images, _, audio, _, mask = result
    changes = (images != picture).any(dim=3).numpy()
    left, right = changes[:, :, :320].any(axis=(1, 2)), changes[:, :, 320:].any(axis=(1, 2))
    assert left[3:8].any()
    assert not left[14:].any()
    assert right[17:].any()
    assert not right[:12].any()
    assert np.array_equal(audio["waveform"][0, 0].numpy(), (early + late).astype(np.float32))
    assert mask[0, :, :320].any()
    assert mask[0, :, 320:].any()
