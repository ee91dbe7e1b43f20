"""FFmpegEncode: what people expect of a node that ends a graph."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from avatarvideo.encoders.read.audio import read_audio
from avatarvideo.encoders.read.probe import probe
from avatarvideo.encoders.read.video import VideoReader
from avatarvideo.errors import EncodeError, MediaError
from avatarvideo.headless.core_video import FileVideo
from avatarvideo.headless.execute import run
from avatarvideo.host.current import set_host
from avatarvideo.host.standalone import StandaloneHost
from avatarvideo.nodes import NODE_CLASS_MAPPINGS
from avatarvideo.nodes.widgets import SAMPLES_DIRECTORY

NODE = NODE_CLASS_MAPPINGS["FFmpegEncode"]
CLIP = SAMPLES_DIRECTORY / "talking_head.mp4"
SMALL = {"width": 64, "height": 64, "quality": "fast", "fit": "stretch"}


def defaults() -> dict[str, Any]:
    widgets = NODE.INPUT_TYPES()["required"]
    return {name: options["default"] for name, (_, options) in widgets.items()}


def answer(**given: Any) -> dict[str, Any]:
    return NODE().encode(**{**defaults(), **given})


def encode(**given: Any) -> Path:
    return Path(answer(**given)["result"][1][0])


def still(channels: int = 3, count: int = 2) -> torch.Tensor:
    """Red frames; with a fourth channel their left half is clear."""
    images = torch.zeros(count, 32, 64, channels)
    images[..., 0] = 1
    if channels == 4:
        images[:, :, 32:, 3] = 1
    return images


@pytest.fixture
def formats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Write (name, values) -> the name under which the format can be chosen."""
    folder = tmp_path / "formats"
    folder.mkdir()
    monkeypatch.setenv("AVATAR_FORMATS", str(folder))

    def write(name: str, values: Any) -> str:
        text = values if isinstance(values, str) else json.dumps(values)
        (folder / f"{name}.json").write_text(text)
        return f"user/{name}"

    return write


@pytest.mark.parametrize(
    ("codec", "container"),
    [
        ("prores", "mov"),
        ("auto", "webm"),
        ("ffv1", "mkv"),
        ("auto", "webp"),
        ("auto", "gif"),
        ("auto", "png"),
    ],
)
def test_transparency_is_kept_where_the_codec_has_it(
    host: StandaloneHost, codec: str, container: str
) -> None:
    made = answer(images=still(4), codec=codec, container=container)

    path = Path(made["result"][1][0])
    assert not [text for text in made["ui"].get("text", []) if "Transparency" in text]
    if container in ("webp", "gif", "png"):
        with Image.open(path / f"{path.name}_00001.png" if path.is_dir() else path) as picture:
            alpha = np.asarray(picture.convert("RGBA"))[..., 3]
        assert (alpha[:, :30].max(), alpha[:, 34:].min()) == (0, 255)
    else:
        found = probe(path)
        # In WebM transparency is a second stream of packets, which the pixel format does not show.
        assert found.pixel_format in ("yuva444p12le", "bgra", "yuv420p", "yuva420p")


@pytest.mark.parametrize("source", ["mov", "mkv", "webp", "gif"])
@pytest.mark.parametrize("target", ["mkv", "mov", "webp", "mp4"])
def test_transparency_goes_from_file_to_file(
    host: StandaloneHost, tmp_path: Path, source: str, target: str
) -> None:
    codec = {"mov": "prores", "mkv": "ffv1", "mp4": "h264"}
    given = encode(images=still(4), codec=codec.get(source, "auto"), container=source)
    shutil.copyfile(given, host.input_directory / given.name)

    made = answer(path=given.name, codec=codec.get(target, "auto"), container=target)

    reader = VideoReader(made["result"][1][0])
    shown = next(reader.frames())
    assert shown[:, :28].min() > 235, "white behind what is clear"
    assert np.abs(shown[16, 50].astype(int) - [255, 0, 0]).max() < 8
    lost = [text for text in made["ui"].get("text", []) if "Transparency" in text]
    assert (reader.has_alpha, bool(lost)) == (target != "mp4", target == "mp4")


@pytest.mark.parametrize("source", ["mov", "mkv", "webp", "gif"])
def test_opaque_pictures_of_a_format_with_transparency_stay_what_they_are(
    host: StandaloneHost, source: str
) -> None:
    codec = {"mov": "prores", "mkv": "ffv1"}
    opaque = torch.ones(2, 32, 64, 4)
    given = encode(images=opaque, codec=codec.get(source, "auto"), container=source)
    shutil.copyfile(given, host.input_directory / given.name)

    made = answer(path=given.name, container="mov")

    assert not [text for text in made["ui"].get("text", []) if "ransparency" in text]
    assert probe(made["result"][1][0]).video_codec == "h264"


def test_transparency_that_does_not_stay_is_said(host: StandaloneHost) -> None:
    given = encode(images=still(4), container="webm")
    shutil.copyfile(given, host.input_directory / given.name)

    for codec, why in (("h264", "was replaced with white"), ("copy", "cannot hold")):
        made = answer(path=given.name, codec=codec, container="mp4")
        (note,) = [text for text in made["ui"].get("text", []) if "ransparency" in text]
        assert why in note


def test_where_there_is_none_the_note_says_so(host: StandaloneHost) -> None:
    made = answer(images=still(4), codec="h264")

    assert made["ui"]["text"] == [
        "Transparency was replaced with white: h264 as yuv420p cannot hold it."
    ]
    picture = next(VideoReader(made["result"][1][0]).frames())
    assert picture[:, :28].min() > 235  # but for the edge, which fewer chroma samples blur
    assert np.abs(picture[16, 50].astype(int) - [255, 0, 0]).max() < 6


def test_ten_bits_come_from_the_floats(host: StandaloneHost) -> None:
    ramp = torch.linspace(0, 1, 1024).reshape(1, 1, 1024, 1).expand(2, 32, 1024, 3)

    path = encode(images=ramp, codec="ffv1", bit_depth=10)

    import av

    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    values = np.frombuffer(bytes(frame.planes[0]), np.uint16)
    assert len(np.unique(values)) > 1000


def test_the_name_is_made_of_the_inputs(host: StandaloneHost) -> None:
    shutil.copyfile(CLIP, host.input_directory / "my clip.mp4")

    path = encode(path="my clip.mp4", codec="copy", filename_prefix="%name%/%counter%_%width%")

    assert path == host.output_directory / "my clip" / f"00001_{probe(CLIP).width}.mp4"


def test_copy_leaves_the_pictures_and_takes_other_sound(host: StandaloneHost) -> None:
    sound = {"waveform": torch.zeros(1, 1, 4800), "sample_rate": 48000}

    path = encode(path="samples/talking_head.mp4", codec="copy", audio=sound)

    assert probe(path).frame_count == probe(CLIP).frame_count
    assert read_audio(path).samples.max() == 0
    assert np.array_equal(next(VideoReader(path).frames()), next(VideoReader(CLIP).frames()))


def test_sound_can_be_added_instead(host: StandaloneHost) -> None:
    low, high = (
        {"waveform": torch.full((1, 1, samples), level), "sample_rate": 48000}
        for samples, level in ((4800, 0.125), (2400, 0.25))
    )
    first = encode(images=still(count=3), audio=low, container="mkv")

    path = encode(
        path=f"{first.name} [output]", codec="copy", audio=high, mix_audio=True, container="mkv"
    )

    both = read_audio(path).samples[0]
    assert np.array_equal(both, np.repeat(np.array([0.375, 0.125], np.float32), 2400))


def test_surround_becomes_stereo_when_asked(host: StandaloneHost) -> None:
    sound = {"waveform": torch.rand(1, 6, 4800) - 0.5, "sample_rate": 48000}

    path = encode(images=still(), audio=sound, channels=2)

    assert probe(path).audio[0].channels == 2


def test_every_video_of_a_folder_is_encoded(host: StandaloneHost) -> None:
    folder = host.input_directory / "batch"
    folder.mkdir()
    for name in ("b.mp4", "a.mp4"):
        shutil.copyfile(CLIP, folder / name)
    (folder / "broken.mp4").write_bytes(b"no video")
    (folder / "notes.txt").touch()

    made = answer(path="batch", codec="copy", filename_prefix="%name%")

    videos, paths = made["result"]
    assert [Path(path).name for path in paths] == ["a_00001.mp4", "b_00001.mp4"]
    assert [entry["filename"] for entry in made["ui"]["images"]] == ["a_00001.mp4", "b_00001.mp4"]
    assert len(videos) == 2
    assert "broken.mp4" in made["ui"]["text"][0]


@pytest.mark.slow
def test_videos_of_a_folder_never_overwrite_each_other(host: StandaloneHost) -> None:
    folder = host.input_directory / "batch"
    folder.mkdir()
    for name in ("a.mp4", "b.mp4"):
        shutil.copyfile(CLIP, folder / name)

    for _ in range(2):  # what an earlier run made is overwritten, as asked
        made = answer(path="batch", codec="copy", filename_prefix="out", overwrite=True)
        assert [Path(path).name for path in made["result"][1]] == ["out.mp4", "out_00001.mp4"]
        for path in host.output_directory.glob("out_*"):
            path.unlink()


def test_a_folder_of_nothing_but_broken_files_is_an_error(host: StandaloneHost) -> None:
    (host.input_directory / "batch").mkdir()
    with pytest.raises(MediaError, match="has none"):
        answer(path="batch")
    for name in ("a.mp4", "b.mp4"):
        (host.input_directory / "batch" / name).write_bytes(b"no video")
    with pytest.raises(MediaError, match=r"a\.mp4.*b\.mp4"):
        answer(path="batch")


class Clips:
    """A node that gives a list of two videos."""

    FUNCTION = "give"
    RETURN_TYPES = ("VIDEO",)
    OUTPUT_IS_LIST = (True,)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {}}

    def give(self) -> tuple[list[FileVideo]]:
        return ([FileVideo(CLIP), FileVideo(CLIP)],)


def test_lists_and_several_encoders_work_in_one_graph(host: StandaloneHost) -> None:
    encoder = {"class_type": "FFmpegEncode", "inputs": {**defaults(), "video": ["1", 0]}}
    second = {**encoder, "inputs": {**encoder["inputs"], "container": "mkv"}}
    for node in (encoder, second):
        node["inputs"]["codec"] = "copy"
    prompt = {"1": {"class_type": "Clips", "inputs": {}}, "2": encoder, "3": second}

    run(prompt, {"Clips": Clips, "FFmpegEncode": NODE})

    names = sorted(path.name for path in host.output_directory.iterdir())
    assert [name.split(".")[0] for name in names] == [f"avatar_0000{n}" for n in (1, 2, 3, 4)]
    assert sorted(name.split(".")[1] for name in names) == ["mkv", "mkv", "mp4", "mp4"]


def test_other_folders_need_the_administrator(
    host: StandaloneHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive = tmp_path / "drive"
    with pytest.raises(EncodeError, match="let the administrator allow"):
        encode(images=still(), filename_prefix=f"{drive}/day/x")

    monkeypatch.setenv("AVATAR_OUTPUT_DIRS", str(drive))
    made = answer(images=still(), filename_prefix=f"{drive}/day/x")

    assert made["result"][1] == [str(drive / "day" / "x_00001.mp4")]
    assert made["ui"] == {"text": [str(drive / "day" / "x_00001.mp4")]}
    with pytest.raises(EncodeError, match="let the administrator allow"):
        encode(images=still(), filename_prefix=f"{tmp_path}/elsewhere")


def test_a_sequence_gets_the_next_number_too(host: StandaloneHost) -> None:
    first, second = (encode(images=still(), container="png") for _ in range(2))
    assert (first.name, second.name) == ("avatar_00001", "avatar_00002")


@pytest.mark.slow
def test_the_users_own_ffmpeg_encodes(host: StandaloneHost, ffmpeg: str) -> None:
    path = encode(images=still(), backend="own ffmpeg")
    assert probe(path).frame_count == 2


def test_a_graphics_card_that_is_not_there_is_announced(host: StandaloneHost) -> None:
    made = answer(images=still(), codec="h264_amf")
    assert "h264_amf cannot be used here" in made["ui"]["text"][0]
    assert probe(made["result"][1][0]).video_codec == "h264"


def test_a_format_of_the_users_decides(host: StandaloneHost, formats: Callable[..., str]) -> None:
    name = formats(
        "my film",
        {
            "description": "for the editor",
            "codec": "libx264",
            "container": "mkv",
            "pixel_format": "yuv444p",
            "preset": "ultrafast",
            "crf": 10,
            "options": {"tune": "film", "g": 2},
            "audio_codec": "opus",
        },
    )
    assert NODE.INPUT_TYPES()["required"]["format"][0] == ["none", name]
    sound = {"waveform": torch.zeros(1, 1, 4800), "sample_rate": 48000}

    found = probe(encode(images=still(), audio=sound, format=name))

    assert (found.container, found.video_codec) == ("matroska,webm", "h264")
    assert (found.pixel_format, found.audio[0].codec) == ("yuv444p", "opus")


def test_a_format_may_name_any_encoder(host: StandaloneHost, formats: Callable[..., str]) -> None:
    name = formats(
        "anim", {"codec": "qtrle", "container": "mov", "pixel_format": "argb", "options": {}}
    )
    found = probe(encode(images=still(4), format=name))
    assert (found.video_codec, found.pixel_format) == ("qtrle", "argb")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ("{", "it is broken"),
        ([], "got a list"),
        ({"codec": "h264"}, "Expected a container"),
        ({"codec": "h264", "container": "exe"}, "Expected one of mp4"),
        ({"codec": "h264", "container": "mp4", "crf": "18"}, "crf as a whole number"),
        ({"codec": "h264", "container": "mp4", "command": "rm"}, "got 'command'"),
        ({"codec": "nothing", "container": "mp4"}, "to open"),
        (
            {"codec": "h264", "container": "mp4", "options": {"tuen": "film"}},
            "tuen is not a known one",
        ),
        ({"codec": "h264", "container": "mp4", "options": {"x264-params": "stats=x"}}, "no files"),
        ({"codec": "h264", "container": "mp4", "options": {"i": "/etc/passwd"}}, "no files"),
        ({"codec": "h264", "container": "mp4", "pixel_format": "yuv999p"}, "yuv999p"),
        ({"codec": "libvpx-vp9", "container": "mov"}, "container that holds vp9"),
    ],
)
def test_a_bad_format_is_one_sentence(
    host: StandaloneHost, formats: Callable[..., str], values: Any, sentence: str
) -> None:
    name = formats("bad", values)
    with pytest.raises(EncodeError, match=sentence):
        encode(images=still(), format=name)
    assert list(host.output_directory.iterdir()) == []


def test_formats_stay_in_their_folder(host: StandaloneHost, formats: Callable[..., str]) -> None:
    formats("one", {"codec": "h264", "container": "mp4"})
    for name in ("one", "user/../formats/one", "user/two"):
        with pytest.raises(EncodeError, match="user/one"):
            encode(images=still(), format=name)


class KeepsNoMetadata(StandaloneHost):
    @property
    def saves_metadata(self) -> bool:
        return False


def test_metadata_can_be_left_out(host: StandaloneHost) -> None:
    prompt, extra = {"1": {}}, {"workflow": {"nodes": []}, "other": 1}
    kept = {"prompt": '{"1": {}}', "workflow": '{"nodes": []}', "other": "1"}
    given = {"images": still(), "prompt": prompt, "extra_pnginfo": extra}

    tags = probe(encode(**given)).metadata
    bare = probe(encode(**given, save_metadata=False)).metadata
    unmarked = probe(encode(**given, mark_generated=False)).metadata
    set_host(
        KeepsNoMetadata(
            input_directory=host.input_directory,
            output_directory=host.output_directory,
            temp_directory=host.temp_directory,
        )
    )
    switched_off = probe(encode(**given)).metadata

    assert kept.items() <= tags.items()
    assert tags["comment"] == bare["comment"] == switched_off["comment"] == "AI-generated video"
    assert not kept.keys() & (bare.keys() | switched_off.keys())
    assert "comment" not in unmarked


def test_metadata_survives_other_sound_and_keeps_its_own_comment(host: StandaloneHost) -> None:
    first = encode(images=still(), prompt={"1": {}}, mark_generated=False)
    sound = {"waveform": torch.zeros(1, 1, 3840), "sample_rate": 48000}

    again = encode(path=f"{first.name} [output]", codec="copy", audio=sound)
    third = encode(path=f"{again.name} [output]", quality="fast")

    for path in (again, third):
        assert probe(path).metadata["prompt"] == '{"1": {}}'
        assert probe(path).metadata["comment"] == "AI-generated video"


@pytest.mark.parametrize("name", ["FFmpegEncode", "VideoInfo"])
def test_another_file_of_the_same_name_is_another_input(host: StandaloneHost, name: str) -> None:
    node, file = NODE_CLASS_MAPPINGS[name], host.input_directory / "a.mp4"
    file.write_bytes(b"1")
    first = node.IS_CHANGED(path="a.mp4", quality="low")
    file.write_bytes(b"two")
    assert node.IS_CHANGED(path="a.mp4", quality="low") != first
    assert node.IS_CHANGED(path="") == node.IS_CHANGED(path=" ")


def test_a_crf_that_the_codec_has_not_is_named(host: StandaloneHost) -> None:
    made = answer(images=still(), codec="ffv1", crf=10)
    assert made["ui"]["text"] == ["ffv1 has no crf: 10 was ignored."]


@pytest.mark.slow_after(1)
@pytest.mark.parametrize(
    ("container", "animated"), [("gif", False), ("webp", True), ("mp4", True), ("mkv", True)]
)
def test_the_page_is_told_what_it_can_play(
    host: StandaloneHost, container: str, animated: bool
) -> None:
    made = answer(path=str(SAMPLES_DIRECTORY / "talking_head.mp4"), container=container, width=64)
    assert made["ui"]["images"][0]["filename"].endswith(f".{container}")
    assert made["ui"].get("animated") == ((True,) if animated else None)


FLOATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn]


@pytest.mark.slow_after(2)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_images_and_sound_of_any_float_type_are_in_the_file(
    host: StandaloneHost, dtype: torch.dtype
) -> None:
    squares = torch.tensor([[0.0, 0.25, 0.5, 1.0]]).repeat_interleave(16, 0)
    images = squares.repeat_interleave(16, 1)[None, ..., None].repeat(4, 1, 1, 3)
    tone = 0.5 * torch.sign(torch.sin(torch.arange(32000) / 20))[None, None]
    audio = {"waveform": tone.to(dtype), "sample_rate": 16000}

    path = encode(
        images=images.to(dtype),
        audio=audio,
        fps=2,
        codec="ffv1",
        container="mkv",
        audio_codec="flac",
        length="audio",
    )

    shown = next(VideoReader(path).frames())
    assert np.abs(shown[8, 8::16, 0].astype(int) - [0, 64, 128, 255]).max() <= 2
    heard = read_audio(path)
    assert heard.sample_rate == 16000
    assert np.abs(heard.samples[0, :32000] - tone[0, 0].numpy()).max() <= 1e-3


@pytest.mark.parametrize(
    ("fps", "exact"),
    [(29.97, "30000/1001"), (33.33, "3333/100"), (12.5, "25/2"), (0.5, "1/2"), (30, "30/1")],
)
def test_a_rate_is_exact_in_a_format_of_the_users(
    host: StandaloneHost, formats: Callable[..., str], fps: float, exact: str
) -> None:
    chosen = formats("mine", {"codec": "ffv1", "container": "mkv"})
    assert probe(encode(images=still(), format=chosen, fps=fps)).frame_rate == exact


def test_a_result_that_is_not_saved_lies_in_the_temp_folder(host: StandaloneHost) -> None:
    made = answer(images=still(), save_output=False, filename_prefix="look/at", quality="fast")

    path = Path(made["result"][1][0])
    assert path == host.temp_directory / "look" / "at_00001.mp4"
    assert probe(path).frame_count == 2
    assert made["ui"]["images"] == [
        {"filename": "at_00001.mp4", "subfolder": "look", "type": "temp"}
    ]
    assert made["ui"]["text"] == [
        f"Not saved: {path} lies in the temp folder, which ComfyUI empties when it starts."
    ]
    assert list(host.output_directory.iterdir()) == []


def test_a_folder_of_pictures_that_is_not_saved_is_named_once(host: StandaloneHost) -> None:
    made = answer(images=still(), save_output=False, container="png")
    path = made["result"][1][0]
    assert made["ui"] == {
        "text": [
            f"Not saved: {path} lies in the temp folder, which ComfyUI empties when it starts."
        ]
    }


def test_a_number_out_of_its_range_has_the_widgets_name_and_unit(host: StandaloneHost) -> None:
    for name, value, said in (
        ("loop_count", 70000, "Expected loop_count between 0 and 65535, got 70000."),
        ("audio_bitrate", 1001, "Expected audio_bitrate between 0 and 640, got 1001."),
        ("crf", 70, "Expected crf between -1 and 63, got 70."),
    ):
        with pytest.raises(EncodeError) as refused:
            encode(images=still(), **{name: value})
        assert str(refused.value) == said


def test_a_result_that_is_not_saved_stays_out_of_the_administrators_folders(
    host: StandaloneHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    films = tmp_path / "films"
    monkeypatch.setenv("AVATAR_OUTPUT_DIRS", str(films))
    path = encode(images=still(), save_output=False, filename_prefix=str(films / "a"))
    assert path == host.temp_directory / "a_00001.mp4"
    assert not films.exists()


def test_a_gif_plays_forward_and_backward_as_often_as_asked(host: StandaloneHost) -> None:
    images = torch.stack([torch.full((16, 16, 3), level) for level in (0.0, 0.5, 1.0)])
    path = encode(images=images, container="gif", loop_count=3, pingpong=True)
    with Image.open(path) as picture:
        assert (getattr(picture, "n_frames", 1), picture.info["loop"]) == (4, 2)
