"""The five nodes, called as a graph calls them."""

from __future__ import annotations

import json
import shutil
import wave
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from avatarvideo.encoders.read.audio import read_audio
from avatarvideo.encoders.read.picture import read_image
from avatarvideo.encoders.read.probe import probe
from avatarvideo.errors import CheckpointError, EncodeError, MediaError
from avatarvideo.headless.core_video import ComponentsVideo
from avatarvideo.host.standalone import StandaloneHost
from avatarvideo.nodes import (
    NODE_CLASS_MAPPINGS,
    NODE_DISPLAY_NAME_MAPPINGS,
    lip_sync,
    load_avatar,
    video_info,
)
from avatarvideo.nodes.encode_widgets import LATER_WIDGETS
from avatarvideo.nodes.speakers import speaker_inputs
from avatarvideo.nodes.tensors import audio_dict, image_frames
from avatarvideo.nodes.widgets import SAMPLES_DIRECTORY

WIDGET_TYPES = ("INT", "FLOAT", "FLOAT,INT", "STRING", "BOOLEAN")
LIPS = "352,437,441,440"


def defaults(name: str) -> dict[str, Any]:
    """The values of a node's widgets as they come up."""
    values = {}
    for key, (kind, *rest) in NODE_CLASS_MAPPINGS[name].INPUT_TYPES()["required"].items():
        options = rest[0] if rest else {}
        if isinstance(kind, list):
            values[key] = options.get("default", kind[0] if kind else None)
        elif kind in WIDGET_TYPES:
            values[key] = options["default"]
    return values


def call(name: str, **given: Any) -> Any:
    node = NODE_CLASS_MAPPINGS[name]
    answer = getattr(node(), node.FUNCTION)(**{**defaults(name), **given})
    result = answer["result"] if isinstance(answer, dict) else answer
    lists = getattr(node, "OUTPUT_IS_LIST", (False,) * len(result))
    return tuple(one[0] if is_list else one for one, is_list in zip(result, lists, strict=True))


def speak(portrait: str, speech: Any, **options: Any) -> Any:
    avatar = call("LoadAvatar", avatar=portrait, mouth=options.pop("mouth", LIPS))[0]
    mel = call("AudioToMel", speech=speech)[0]
    return call("MuseTalkLipSync", avatar=avatar, mel=mel, **options)


def test_an_upscale_model_is_an_optional_socket_and_reaches_the_run(
    host: StandaloneHost, portrait: str, speech: Any
) -> None:
    optional = NODE_CLASS_MAPPINGS["MuseTalkLipSync"].INPUT_TYPES()["optional"]
    assert optional["upscale_model"][0] == "UPSCALE_MODEL"
    with pytest.raises(CheckpointError, match="as Load Upscale Model loads them, got str"):
        speak(portrait, speech, mode="static", upscale_model="model.pth")


@pytest.mark.parametrize("name", sorted(NODE_CLASS_MAPPINGS))
def test_every_input_and_output_is_explained(host: StandaloneHost, name: str) -> None:
    node = NODE_CLASS_MAPPINGS[name]
    inputs = node.INPUT_TYPES()
    for key, (_, *rest) in {**inputs["required"], **inputs.get("optional", {})}.items():
        assert key == "audioUI" or rest[0]["tooltip"], key
    assert len(node.RETURN_TYPES) == len(node.RETURN_NAMES) == len(node.OUTPUT_TOOLTIPS)
    assert node.DESCRIPTION
    assert NODE_DISPLAY_NAME_MAPPINGS[name]


@pytest.mark.parametrize("name", sorted(NODE_CLASS_MAPPINGS))
def test_only_sockets_and_later_widgets_are_optional(host: StandaloneHost, name: str) -> None:
    later = {
        "FFmpegEncode": LATER_WIDGETS,
        "LoadAvatar": load_avatar.LATER_WIDGETS,
        "MuseTalkLipSync": (*lip_sync.LATER_WIDGETS, *speaker_inputs()),
        "VideoInfo": video_info.LATER_WIDGETS,
    }.get(name, ())
    for key, (kind, options) in NODE_CLASS_MAPPINGS[name].INPUT_TYPES().get("optional", {}).items():
        if options.get("forceInput"):
            continue
        assert key in later or kind not in WIDGET_TYPES, key
        assert key in later or not isinstance(kind, list), key


@pytest.mark.slow
def test_a_prompt_from_before_a_widget_runs(host: StandaloneHost, samples: Path) -> None:
    required = NODE_CLASS_MAPPINGS["FFmpegEncode"].INPUT_TYPES()["required"]
    assert not LATER_WIDGETS.keys() & required.keys()
    values = {key: kind[1].get("default", "auto") for key, kind in required.items()}
    values |= {"path": str(samples / "talking_head.mp4"), "format": "none"}
    made = NODE_CLASS_MAPPINGS["FFmpegEncode"]().encode(**values)
    assert probe(made["result"][1][0]).frame_count == probe(values["path"]).frame_count


def test_combos_list_the_samples_and_the_input_folder(host: StandaloneHost, samples: Path) -> None:
    shutil.copy(samples / "portrait.png", host.input_directory / "me.PNG")
    (host.input_directory / "notes.txt").touch()

    files = NODE_CLASS_MAPPINGS["LoadAvatar"].INPUT_TYPES()["required"]["avatar"][0]

    assert "samples/portrait.png" in files
    assert "me.PNG" in files
    assert "notes.txt" not in files


@pytest.mark.slow
def test_an_avatar_comes_with_its_picture_and_what_was_found(
    host: StandaloneHost, portrait: str
) -> None:
    avatar, image, face = call("LoadAvatar", avatar=portrait)
    assert (avatar.width, avatar.height, avatar.is_still) == (768, 768, True)
    assert image.shape == face.shape == (1, 768, 768, 3)
    assert not torch.equal(image, face)


@pytest.mark.parametrize("mouth", ["1,2,3", "a,b,c,d", "1,2,3,nan"])
def test_corners_that_cannot_be_read_are_refused(
    host: StandaloneHost, portrait: str, mouth: str
) -> None:
    with pytest.raises(MediaError, match="two lip corners"):
        call("LoadAvatar", avatar=portrait, mouth=mouth)


def test_silent_samples_are_not_offered_as_speech(host: StandaloneHost, samples: Path) -> None:
    offered = NODE_CLASS_MAPPINGS["AudioToMel"].INPUT_TYPES()["required"]["audio"][0]
    heard = set()
    for path in samples.glob("*.[!j]*"):
        with av.open(str(path)) as media:
            heard |= {f"samples/{path.name}"} if media.streams.audio else set()
    assert set(offered) == heard == {"samples/speech.flac", "samples/speech_reply.flac"}


@pytest.mark.slow
def test_a_linked_path_is_used_instead_of_the_file(host: StandaloneHost, samples: Path) -> None:
    node = NODE_CLASS_MAPPINGS["LoadAvatar"]
    clip = str(samples / "talking_head.mp4")
    avatar, image, _ = call("LoadAvatar", avatar="gone.png", path=f'"{clip}"')
    assert (avatar.is_still, image.shape[1:3]) == (False, (avatar.height, avatar.width))
    assert avatar.frame_count == probe(clip).frame_count
    assert node.VALIDATE_INPUTS(avatar="gone.png", path=None) is True
    assert "gone.png" in node.VALIDATE_INPUTS(avatar="gone.png")
    assert node.IS_CHANGED(avatar="gone.png", path=clip)[1] == Path(clip).stat().st_size
    assert node.IS_CHANGED(avatar="gone.png", path=None) == ()  # linked: hosts do not say to what


@pytest.mark.parametrize("path", ["", "../secret.png", "nowhere.png"])
def test_a_linked_path_that_names_no_file_is_refused(host: StandaloneHost, path: str) -> None:
    (host.input_directory.parent / "secret.png").touch()
    with pytest.raises(MediaError, match="Expected"):
        call("LoadAvatar", avatar="samples/portrait.png", path=path)
    answer = NODE_CLASS_MAPPINGS["LoadAvatar"].VALIDATE_INPUTS("samples/portrait.png", path=path)
    assert str(answer).startswith("Expected")


def test_a_missing_file_is_refused_before_the_run(host: StandaloneHost) -> None:
    answer = NODE_CLASS_MAPPINGS["LoadAvatar"].VALIDATE_INPUTS(avatar="gone.png")
    assert isinstance(answer, str)
    assert "gone.png" in answer


@pytest.mark.parametrize("name", ["../secret.png", "a/../../b.png", "../x.png [output]"])
def test_a_file_outside_the_input_folder_is_refused(host: StandaloneHost, name: str) -> None:
    (host.input_directory.parent / "secret.png").touch()
    answer = NODE_CLASS_MAPPINGS["LoadAvatar"].VALIDATE_INPUTS(avatar=name)
    assert isinstance(answer, str)
    assert "inside" in answer


def test_linked_speech_wins_and_is_trimmed(host: StandaloneHost, speech: Any) -> None:
    mel, audio, picture = call(
        "AudioToMel", audio="gone.wav", speech=speech, start=0.25, duration=0.5
    )
    assert audio["sample_rate"] == 22050
    assert audio["waveform"].shape == (1, 1, 11025)
    assert mel.speech.shape == (8000,)
    assert picture.shape[1] == 240


def test_linked_speech_needs_no_file(host: StandaloneHost) -> None:
    node = NODE_CLASS_MAPPINGS["AudioToMel"]
    assert node.VALIDATE_INPUTS(audio="gone.wav", speech=None) is True
    assert isinstance(node.VALIDATE_INPUTS(audio="gone.wav"), str)
    assert node.VALIDATE_INPUTS(audio="samples/talking_head.mp4", speech=None) is True
    assert node.VALIDATE_INPUTS(audio="samples/speech.flac") is True


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "got neither a file nor a link: link speech or choose a file."),
        ("samples/talking_head.mp4", "'talking_head.mp4' is a video without sound: choose a file"),
        ("notes.wav", "'notes.wav' is damaged or in a format that is not supported"),
    ],
)
def test_what_cannot_be_heard_is_refused_before_the_run(
    host: StandaloneHost, name: str, why: str
) -> None:
    (host.input_directory / "notes.wav").write_text("This is no sound.\n" * 9)
    answer = NODE_CLASS_MAPPINGS["AudioToMel"].VALIDATE_INPUTS(audio=name)
    assert why in str(answer)
    assert str(answer).count("Expected") == 1
    with pytest.raises(MediaError) as error:
        call("AudioToMel", audio=name)
    assert str(error.value) == answer


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("linked", [False, True])
def test_speech_whose_end_is_missing_is_said(
    host: StandaloneHost, portrait: str, caplog: pytest.LogCaptureFixture, linked: bool
) -> None:
    path = host.input_directory / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(2 * 16000))
    path.write_bytes(path.read_bytes()[: 44 + 2 * 12800])
    note = "The end of the sound of 'a.wav' is missing; only 0.80 of 1.00 s are there."
    node = NODE_CLASS_MAPPINGS["AudioToMel"]()
    given: Any = {"audio": "a.wav", "start": 0.0, "duration": 0.0}
    if linked:
        given = {**given, "speech": audio_dict(read_audio(path))}

    with caplog.at_level("INFO", "avatarvideo"):
        answer = node.convert(**given)

    assert isinstance(answer, dict)
    assert answer["ui"] == {"text": [note]}
    assert note in caplog.text
    mel = answer["result"][0]
    _, video, audio, report, _ = call(
        "MuseTalkLipSync", avatar=call("LoadAvatar", avatar=portrait)[0], mel=mel, mode="static"
    )
    assert note in json.loads(report)["notes"]
    assert audio["waveform"].shape[-1] == 12800
    with pytest.raises(
        EncodeError, match=r"all 1\.00 s of sound of 'a\.wav', but only 0\.80 s are"
    ) as e:
        call("FFmpegEncode", video=video, width=64, height=64, quality="fast")
    assert "partial" in str(e.value)
    assert probe(next(host.output_directory.rglob("*.partial.mp4"))).frame_count == 20
    assert isinstance(node.convert(**{**given, "duration": 0.5}), tuple)


def test_the_bundled_speech_is_read(host: StandaloneHost) -> None:
    mel, audio, _ = call("AudioToMel", audio="samples/speech.flac")
    assert audio["waveform"].shape[-1] == mel.clip.samples.shape[1]
    assert 3 < float(mel.clip.duration) < 6


@pytest.mark.slow
def test_a_puppet_speaks_and_says_so(host: StandaloneHost, portrait: str, speech: Any) -> None:
    images, video, audio, report, mask = speak(portrait, speech)

    told = json.loads(report)
    assert told["mode"] == "puppet"
    assert (told["frames"], told["frames_synced"], told["frames_passed_through"]) == (25, 25, 0)
    assert images.shape == (25, 768, 768, 3)
    assert torch.equal(audio["waveform"], speech["waveform"])
    still = images == images[0]
    assert not still.all()
    outside = (mask[0] == 0)[None, :, :, None].expand_as(images)
    assert still[outside].all()
    assert video.clip.frame_count == 25


@pytest.mark.slow
def test_the_video_holds_the_same_frames_as_the_images(
    host: StandaloneHost, portrait: str, speech: Any
) -> None:
    images, video, *_ = speak(portrait, speech)
    for one, other in zip(image_frames(images), video.frames(), strict=True):
        assert (one == other).all()


@pytest.mark.slow
def test_static_shows_the_picture(host: StandaloneHost, portrait: str, speech: Any) -> None:
    images, _, _, report, mask = speak(portrait, speech, mode="static")
    assert (images == images[0]).all()
    assert json.loads(report)["mode"] == "static"
    assert not mask.any()


def test_musetalk_without_files_names_each_and_where_it_was_looked_for(
    host: StandaloneHost, portrait: str, speech: Any
) -> None:
    with pytest.raises(Exception, match="unet") as caught:
        speak(portrait, speech, mode="musetalk")
    assert "avatar models download" in str(caught.value)


@pytest.mark.slow
def test_the_users_mask_bounds_the_change(host: StandaloneHost, portrait: str, speech: Any) -> None:
    mask = torch.zeros(1, 768, 768)
    mask[:, :440, :] = 1

    images, *_ = speak(portrait, speech, mask=mask)

    still = images == images[0]
    assert still[:, 440:].all()
    assert not still[:, :440].all()


def test_a_mask_of_another_size_is_refused(
    host: StandaloneHost, portrait: str, speech: Any
) -> None:
    with pytest.raises(MediaError, match="size 768x768"):
        speak(portrait, speech, mask=torch.zeros(1, 8, 8))


def linked(output: int) -> dict[str, Any]:
    return {
        "prompt": {
            "7": {"class_type": "MuseTalkLipSync", "inputs": {}},
            "8": {"class_type": "SaveImage", "inputs": {"images": ["7", output]}},
        },
        "unique_id": "7",
    }


@pytest.fixture
def large(speech: Any) -> dict[str, Any]:
    """Inputs whose frames would take 1.3 GiB as a tensor."""
    wave = speech["waveform"].repeat(1, 1, 9)
    return {"mel": call("AudioToMel", speech={**speech, "waveform": wave}), "mode": "static"}


@pytest.mark.slow
def test_images_too_large_are_refused_when_linked(
    host: StandaloneHost, portrait: str, large: dict[str, Any]
) -> None:
    avatar = call("LoadAvatar", avatar=portrait)[0]
    with pytest.raises(MediaError, match=r"1\.\d GiB.*video output"):
        call("MuseTalkLipSync", avatar=avatar, mel=large["mel"][0], mode="static", **linked(0))


@pytest.mark.slow
def test_images_too_large_are_blocked_when_not_linked(
    host: StandaloneHost, portrait: str, large: dict[str, Any]
) -> None:
    avatar = call("LoadAvatar", avatar=portrait)[0]
    images, video, *_ = call(
        "MuseTalkLipSync", avatar=avatar, mel=large["mel"][0], mode="static", **linked(1)
    )
    assert "1.5 GiB" in images.message
    assert video.clip.frame_count == 225


def test_images_can_be_switched_off(host: StandaloneHost, portrait: str, speech: Any) -> None:
    images, *_ = speak(portrait, speech, images_output="never")
    assert "never" in images.message


@pytest.mark.slow
def test_linked_fills_the_images_only_where_something_is_linked(
    host: StandaloneHost, portrait: str, speech: Any
) -> None:
    images, video, *_ = speak(portrait, speech, images_output="linked", **linked(1))
    assert "linked" in images.message
    filled, *_ = speak(portrait, speech, images_output="linked", **linked(0))
    assert len(filled) == video.clip.frame_count


@pytest.mark.slow
def test_an_image_and_a_video_can_be_avatars(
    host: StandaloneHost, portrait: str, speech: Any
) -> None:
    _, image, _ = call("LoadAvatar", avatar=portrait)
    mel = call("AudioToMel", speech=speech)[0]
    still = call("MuseTalkLipSync", avatar=image, mel=mel, mode="static")
    again = call("MuseTalkLipSync", avatar=still[1], mel=mel, mode="static", fps=0.0)
    assert json.loads(again[3])["frames"] == 25


@pytest.mark.parametrize(
    "images", [torch.zeros(0, 8, 8, 3), torch.full((1, 8, 8, 3), float("nan"))]
)
def test_broken_tensors_are_refused(
    host: StandaloneHost, speech: Any, images: torch.Tensor
) -> None:
    mel = call("AudioToMel", speech=speech)[0]
    with pytest.raises(MediaError, match="Expected"):
        call("MuseTalkLipSync", avatar=images, mel=mel)


def test_broken_sound_is_refused(host: StandaloneHost) -> None:
    sound = {"waveform": torch.full((1, 1, 16000), float("nan")), "sample_rate": 16000}
    with pytest.raises(MediaError, match="finite"):
        call("AudioToMel", speech=sound)


def test_speech_over_the_limit_names_the_limit(
    host: StandaloneHost, portrait: str, speech: Any
) -> None:
    with pytest.raises(MediaError, match=r"at most 0\.5 s.*raise max duration"):
        speak(portrait, speech, max_duration=0.5)


@pytest.mark.slow
def test_a_video_is_encoded_with_its_sound_under_the_expected_name(
    host: StandaloneHost, portrait: str, speech: Any
) -> None:
    video = speak(portrait, speech)[1]

    _, path = call("FFmpegEncode", video=video, filename_prefix="day/clip")

    assert Path(path) == host.output_directory / "day" / "clip_00001.mp4"
    found = probe(path).as_dict()
    assert (found["frame_count"], found["frame_rate"]) == (25, "25/1")
    assert found["audio_codec"] == "aac"
    assert "puppet" in json.dumps(found["metadata"])
    assert [entry for entry in host.output_directory.rglob("*") if entry.is_file()] == [Path(path)]
    assert not list(host.temp_directory.iterdir())


def test_images_are_encoded_with_linked_sound(host: StandaloneHost, speech: Any) -> None:
    images = torch.rand(5, 32, 48, 3)
    _, path = call("FFmpegEncode", images=images, audio=speech, fps=10.0)
    found = probe(path).as_dict()
    assert (found["frame_count"], found["fps"], found["width"]) == (5, 10.0, 48)
    assert found["audio_codec"] == "aac"


@pytest.mark.parametrize(
    ("codec", "container", "suffix", "probed"),
    [
        ("h265", "auto", "mp4", "hevc"),
        ("vp9", "auto", "webm", "vp9"),
        ("prores", "auto", "mov", "prores"),
        ("auto", "gif", "gif", "gif"),
        ("libx264", "mkv", "mkv", "h264"),
    ],
)
def test_other_codecs_and_containers_are_written(
    host: StandaloneHost, codec: str, container: str, suffix: str, probed: str
) -> None:
    images = torch.rand(4, 64, 96, 3)
    _, path = call("FFmpegEncode", images=images, codec=codec, container=container, quality="fast")
    assert path.endswith("." + suffix)
    assert probe(path).as_dict()["video_codec"] == probed


def test_the_picture_is_fitted_to_another_size(host: StandaloneHost) -> None:
    images = torch.rand(2, 32, 64, 3)
    _, path = call("FFmpegEncode", images=images, width=32, height=32, fit="pad")
    found = probe(path).as_dict()
    assert (found["width"], found["height"]) == (32, 32)


def test_a_file_gets_another_rate(host: StandaloneHost) -> None:
    _, path = call("FFmpegEncode", path="samples/talking_head.mp4", fps=12.5, quality="fast")
    found = probe(path).as_dict()
    assert (found["frame_rate"], found["frame_count"]) == ("25/2", 38)


@pytest.mark.slow
def test_a_streamed_video_keeps_its_rate(host: StandaloneHost, portrait: str, speech: Any) -> None:
    video = speak(portrait, speech, mode="static")[1]
    with pytest.raises(EncodeError, match="choose the rate where the video is made"):
        call("FFmpegEncode", video=video, fps=30.0)


def test_loudness_is_measured_when_asked(host: StandaloneHost, speech: Any) -> None:
    _, path = call("FFmpegEncode", images=torch.rand(25, 16, 16, 3), audio=speech)
    *_, plain = call("VideoInfo", path=path)
    *_, measured = call("VideoInfo", path=path, measure_loudness=True)
    assert json.loads(plain)["audio"][0]["loudness_lufs"] is None
    assert -40 < json.loads(measured)["audio"][0]["loudness_lufs"] < 0


def test_the_preview_names_the_file_as_the_page_asks_for_it(host: StandaloneHost) -> None:
    node = NODE_CLASS_MAPPINGS["FFmpegEncode"]
    options = defaults("FFmpegEncode") | {"filename_prefix": "a/b"}
    answer = node().encode(images=torch.rand(2, 16, 16, 3), **options)
    assert answer["ui"] == {
        "images": [{"filename": "b_00001.mp4", "subfolder": "a", "type": "output"}],
        "animated": (True,),
    }


def test_the_workflow_is_kept_in_the_file(host: StandaloneHost) -> None:
    prompt = {"1": {"class_type": "FFmpegEncode", "inputs": {}}}
    images = torch.rand(2, 16, 16, 3)
    _, kept = call("FFmpegEncode", images=images, prompt=prompt)
    _, bare = call("FFmpegEncode", images=images, prompt=prompt, save_metadata=False)
    assert json.loads(probe(kept).as_dict()["metadata"]["prompt"]) == prompt
    assert "prompt" not in probe(bare).as_dict()["metadata"]


@pytest.mark.slow
def test_an_existing_file_is_encoded_and_inspected(host: StandaloneHost) -> None:
    video, path = call("FFmpegEncode", path="samples/talking_head.mp4", quality="low")
    fps, count, *_ = call("VideoInfo", video=video)
    assert (fps, count) == (25.0, 75)
    assert probe(path).as_dict()["frame_count"] == 75


@pytest.mark.parametrize("given", [{}, {"images": torch.zeros(1, 8, 8, 3), "video": object()}])
def test_exactly_one_picture_source_is_wanted(host: StandaloneHost, given: Any) -> None:
    with pytest.raises(MediaError, match="exactly one"):
        call("FFmpegEncode", **given)


def test_a_folder_that_cannot_be_written_is_one_sentence(host: StandaloneHost) -> None:
    (host.output_directory / "taken").touch()
    with pytest.raises(EncodeError, match="taken"):
        call("FFmpegEncode", images=torch.zeros(1, 8, 8, 3), filename_prefix="taken/x")


@pytest.mark.slow
def test_video_info_hands_out_what_it_found(
    host: StandaloneHost, portrait: str, speech: Any
) -> None:
    video = speak(portrait, speech)[1]
    fps, count, duration, width, height, info = call("VideoInfo", video=video)
    assert (fps, count, duration, width, height) == (25.0, 25, pytest.approx(1.0), 768, 768)
    assert json.loads(info)["video_codec"] == "h264"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_video_info_takes_a_video_in_memory(host: StandaloneHost, dtype: torch.dtype) -> None:
    tone = torch.sin(torch.arange(32000) / 10)[None, None].to(dtype)
    sound = {"waveform": tone, "sample_rate": 16000}
    video = ComponentsVideo(torch.rand(60, 32, 48, 3).to(dtype), sound, 29.97)
    *found, info = call("VideoInfo", video=video, measure_loudness=True)
    rate = 30000 / 1001
    assert found == [rate, 60, pytest.approx(60 / rate), 48, 32]
    told = json.loads(info)
    assert (told["frame_rate"], told["display_aspect_ratio"]) == ("30000/1001", "3:2")
    assert (told["container"], told["video_codec"], told["sample_rate"]) == ("none", "none", 16000)
    assert told["audio"][0]["loudness_lufs"] == pytest.approx(-3, abs=1)  # a sine at full scale


@pytest.mark.slow
def test_video_info_scores_when_asked(
    host: StandaloneHost, mesh_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVATAR_MODELS", str(mesh_models))
    picture = torch.tensor(read_image(SAMPLES_DIRECTORY / "portrait.png")) / 255
    still = ComponentsVideo(picture[None, ::3, ::3].repeat(3, 1, 1, 1), None, 25.0)
    node = NODE_CLASS_MAPPINGS["VideoInfo"]()
    answer = node.inspect(path="", exact_count=False, measure_loudness=False, video=still)
    assert "score" not in json.loads(answer["result"][-1])
    answer = node.inspect(
        path="", exact_count=False, measure_loudness=False, video=still, score=True
    )
    told = json.loads(answer["result"][-1])["score"]
    assert told["notes"] == [
        "The mouth does not move: this is a still picture, or somebody who does not speak."
    ]
    assert told["numbers"]["offset"] is None
    assert answer["ui"]["text"][0].endswith("No source was given.")
    assert told["notes"][0] in answer["ui"]["text"][0]


def test_video_info_without_a_video_says_what_to_do(host: StandaloneHost) -> None:
    with pytest.raises(MediaError, match="link one"):
        call("VideoInfo")


@pytest.mark.slow
def test_the_lips_corners_of_a_mask_are_its_widest_ends(host: StandaloneHost, speech: Any) -> None:
    grey = torch.full((1, 200, 200, 3), 0.5) + torch.rand(1, 200, 200, 3) * 0.02
    mask = torch.zeros(1, 200, 200)
    mask[:, 110:130, 70:131] = 1
    mel = call("AudioToMel", speech=speech)[0]

    report = json.loads(call("MuseTalkLipSync", avatar=grey, mel=mel, mask=mask)[3])

    assert report["mode"] == "puppet"
    assert report["face"]["lip_corners"] == pytest.approx([70, 119.5, 130, 119.5], abs=1)
    assert np.isfinite(report["peak_memory_bytes"])


SEARCHES = {
    "LoadAvatar": "portrait, load portrait, face, person, talking portrait",
    "AudioToMel": "speech, voice, load audio, mel, spectrogram, text to speech",
    "MuseTalkLipSync": "lip sync, lipsync, talking head, talking avatar, dub, wav2lip, puppet, "
    "face animation, musetalk, mouth",
    "FFmpegEncode": "video combine, save video, video encode, export, mp4, gif, mux, ffmpeg, "
    "frames to video, save gif, export mp4, pingpong, vhs, 保存视频, 视频编码",
    "VideoInfo": "video info, probe, ffprobe, metadata, frame rate, loudness, get fps, lufs",
}


@pytest.mark.parametrize(
    ("wanted", "search"),
    [(name, one) for name, many in SEARCHES.items() for one in many.split(", ")],
)
def test_a_search_finds_at_most_one_other_node_of_ours(wanted: str, search: str) -> None:
    def names(node: str) -> list[str]:
        shown = [node.lower(), NODE_DISPLAY_NAME_MAPPINGS[node].lower()]
        return [*NODE_CLASS_MAPPINGS[node].SEARCH_ALIASES, *shown]

    assert any(search in name for name in names(wanted))
    assert sum(search in names(node) for node in NODE_CLASS_MAPPINGS if node != wanted) <= 1


@pytest.mark.parametrize("name", sorted(NODE_CLASS_MAPPINGS))
def test_search_words_are_said_once_and_in_small_letters(name: str) -> None:
    words = NODE_CLASS_MAPPINGS[name].SEARCH_ALIASES
    assert len(set(words)) == len(words) >= 10
    assert words == [word.strip().lower() for word in words]
