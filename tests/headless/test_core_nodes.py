"""The stand-ins take and give what core's nodes take and give, run by the runner itself."""

from __future__ import annotations

import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from avatarvideo.encoders.encoder import encode_frames
from avatarvideo.encoders.read.probe import probe
from avatarvideo.encoders.read.video import VideoReader
from avatarvideo.errors import AvatarVideoError, GraphError, MediaError, SourceEndsEarlyError
from avatarvideo.headless.core_nodes import CORE_STAND_INS
from avatarvideo.headless.execute import run
from avatarvideo.host.current import set_host
from avatarvideo.host.standalone import StandaloneHost
from avatarvideo.media import AudioClip
from avatarvideo.nodes import NODE_CLASS_MAPPINGS
from avatarvideo.nodes.tensors import audio_clip
from support.optional_library import library

# Name -> (inputs with a socket or widget, outputs) of ComfyUI 0.33.
CORE = {
    "LoadImage": (["image"], ["IMAGE", "MASK"]),
    "LoadAudio": (["audio"], ["AUDIO"]),
    "LoadVideo": (["file"], ["VIDEO"]),
    "GetVideoComponents": (["video"], ["IMAGE", "AUDIO", "FLOAT", "INT", "COMBO"]),
    "CreateVideo": (["images", "fps", "audio", "bit_depth"], ["VIDEO"]),
    "SaveVideo": (["video", "filename_prefix", "format", "codec"], []),
    "SaveImage": (["images", "filename_prefix"], []),
    "PreviewImage": (["images"], []),
    "UpscaleModelLoader": (["model_name"], ["UPSCALE_MODEL"]),
    "PrimitiveInt": (["value"], ["INT"]),
    "PrimitiveFloat": (["value"], ["FLOAT"]),
    "PrimitiveBoolean": (["value"], ["BOOLEAN"]),
    "PrimitiveString": (["value"], ["STRING"]),
    "PrimitiveStringMultiline": (["value"], ["STRING"]),
}


@pytest.fixture
def host(tmp_path):
    for name in ("input", "output"):
        (tmp_path / name).mkdir()
    host = StandaloneHost(
        input_directory=tmp_path / "input",
        output_directory=tmp_path / "output",
        temp_directory=tmp_path / "temp",
    )
    set_host(host)
    yield host
    set_host(None)


@pytest.fixture
def clip(host) -> Path:
    frames = [np.full((32, 48, 3), 20 * i, np.uint8) for i in range(10)]
    tone = np.sin(np.arange(16000, dtype=np.float32) / 20)[None] * 0.5
    path = host.input_directory / "clip.mp4"
    sound = AudioClip(tone[:, :6400].astype(np.float32), 16000)
    encode_frames(frames, path, frame_rate=Fraction(25), audio=sound)
    return path


def node(class_type, **inputs):
    return {"class_type": class_type, "inputs": inputs}


def files(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize("name", CORE)
def test_inputs_and_outputs_are_cores(host, name):
    inputs, outputs = CORE[name]
    declared = CORE_STAND_INS[name].INPUT_TYPES()
    names = [n for group in ("required", "optional") for n in declared.get(group, {})]
    assert [n for n in names if "." not in n and n != "audioUI"] == inputs
    assert list(CORE_STAND_INS[name].RETURN_TYPES[: len(outputs)]) == outputs


class Look:
    """Keeps what arrives."""

    OUTPUT_NODE = True
    RETURN_TYPES = ("*", "*", "*")
    FUNCTION = "look"
    INPUT_TYPES = classmethod(lambda cls: {"optional": dict.fromkeys("abc", ("*",))})

    def look(self, a=None, b=None, c=None):
        return (a, b, c)


def look(prompt, source, *outputs):
    links = {name: [source, index] for name, index in zip("abc", outputs, strict=False)}
    result = run(prompt | {"look": node("Look", **links)}, CORE_STAND_INS | {"Look": Look})
    return [column[0] for column in result.outputs["look"]]


def test_an_opaque_picture_gives_cores_small_empty_mask(host):
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    Image.fromarray(pixels).save(host.input_directory / "a.png")
    image, mask, _ = look({"1": node("LoadImage", image="a.png")}, "1", 0, 1)
    assert (image.dtype, image.shape) == (torch.float32, (1, 4, 6, 3))
    assert np.array_equal((image[0] * 255).round().byte().numpy(), pixels)
    assert mask.shape == (1, 64, 64)
    assert not mask.any()


def test_a_transparent_picture_keeps_its_colours_and_gives_the_inverse_of_alpha(host):
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[..., 0], pixels[..., 3] = 200, [[0, 255], [51, 255]]
    Image.fromarray(pixels).save(host.input_directory / "a.png")
    image, mask, _ = look({"1": node("LoadImage", image="a.png")}, "1", 0, 1)
    assert torch.allclose(image[..., 0], torch.tensor(200 / 255))
    assert torch.allclose(mask, torch.tensor([[[1.0, 0.0], [0.8, 0.0]]]))


def test_a_video_is_taken_apart_and_put_together_again(host, clip):
    prompt = {
        "1": node("LoadVideo", file="clip.mp4"),
        "2": node("GetVideoComponents", video=["1", 0]),
        "3": node("CreateVideo", images=["2", 0], audio=["2", 1], fps=["2", 2]),
        "4": node("SaveVideo", video=["3", 0], filename_prefix="made/again", format="auto"),
    }
    images, audio, fps = look(prompt, "2", 0, 1, 2)
    assert (images.shape, fps) == ((10, 32, 48, 3), 25.0)
    assert audio["waveform"].shape[:2] == (1, 1)
    assert files(host.output_directory) == ["made/again_00001.mp4"]
    written = probe(host.output_directory / "made/again_00001.mp4", exact_count=True)
    assert (written.frame_count, written.frame_rate, written.width) == (10, "25/1", 48)
    assert written.audio[0].sample_rate == 16000


def test_an_audio_file_and_the_sound_of_a_video_load_alike(host, clip):
    audio, _, _ = look({"1": node("LoadAudio", audio="clip.mp4", audioUI="")}, "1", 0)
    assert audio["sample_rate"] == 16000
    assert audio["waveform"].shape == (1, 1, 6400)


def test_an_audio_file_whose_end_is_missing_is_said(host, caplog):
    path = host.input_directory / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(2 * 16000))
    path.write_bytes(path.read_bytes()[: 44 + 2 * 12800])

    audio, _, _ = look({"1": node("LoadAudio", audio="a.wav", audioUI="")}, "1", 0)

    note = "The end of the sound of 'a.wav' is missing; only 0.80 of 1.00 s are there."
    assert audio["waveform"].shape == (1, 1, 12800)
    heard = audio_clip(audio)
    assert heard is not None
    assert heard.lack is not None
    assert heard.lack.note == note
    assert [record.getMessage() for record in caplog.records] == [note]


@pytest.mark.slow
def test_a_graph_that_encodes_a_source_without_its_end_names_node_and_part(host, clip):
    clip.write_bytes(clip.read_bytes()[:-300])
    nodes = CORE_STAND_INS | dict(NODE_CLASS_MAPPINGS)
    widgets = NODE_CLASS_MAPPINGS["FFmpegEncode"].INPUT_TYPES()["required"]
    values = {name: options["default"] for name, (_, options) in widgets.items()}
    values |= {"path": "clip.mp4", "filename_prefix": "f", "quality": "fast"}

    with pytest.raises(SourceEndsEarlyError) as caught:
        run({"1": node("FFmpegEncode", **values)}, nodes)

    text = str(caught.value)
    assert text.startswith("Node 1 (FFmpegEncode): Expected the whole of 'clip.mp4', but its end")
    assert caught.value.kept.name in text
    assert files(host.output_directory) == [caught.value.kept.name] == ["f_00001.partial.mp4"]


def save(**options):
    return {
        "1": node("LoadVideo", file="clip.mp4"),
        "2": node("SaveVideo", video=["1", 0], filename_prefix="v", **options),
    }


@pytest.mark.slow_after(1)
@pytest.mark.parametrize(
    ("options", "name", "codec"),
    [
        ({"format": "auto", "codec": "auto"}, "v_00001.mp4", "h264"),
        ({"format": "mp4", "codec": "h264"}, "v_00001.mp4", "h264"),
        ({"format": "auto", "format.codec": "auto", "codec": "auto"}, "v_00001.mp4", "h264"),
        ({"format": "mkv"}, "v_00001.mkv", "h264"),
        (
            {
                "format": "auto",
                "format.codec": "av1",
                "format.codec.encoding": "re-encode",
                "format.codec.encoding.crf": 40.0,
            },
            "v_00001.webm",
            "av1",
        ),
    ],
)
def test_a_video_is_saved_by_older_and_newer_options(host, clip, options, name, codec):
    result = run(save(**options), CORE_STAND_INS)
    assert result.ui["2"] == {
        "images": [{"filename": name, "subfolder": "", "type": "output"}],
        "animated": [True],
    }
    written = probe(host.output_directory / name)
    assert codec in written.video_codec
    assert written.frame_count == 10
    assert files(host.temp_directory) == []


def test_an_mp4_is_copied_as_it_is_and_counted_up(host, clip):
    for _ in range(2):
        run(save(format="auto", codec="auto"), CORE_STAND_INS)
    assert files(host.output_directory) == ["v_00001.mp4", "v_00002.mp4"]
    assert (host.output_directory / "v_00002.mp4").read_bytes() == clip.read_bytes()


NEW = {"format.codec": "h264", "format.codec.encoding": "re-encode"}


@pytest.mark.parametrize("crf", [0.0, 51.0])
def test_a_crf_is_encoded_with_and_never_copied(host, clip, crf):
    run(save(format="mp4", **NEW, **{"format.codec.encoding.crf": crf}), CORE_STAND_INS)
    path = host.output_directory / "v_00001.mp4"
    assert path.read_bytes() != clip.read_bytes()
    wanted = b"crf=51" if crf else b"qp=0"  # x264 writes its settings into the file
    assert wanted in path.read_bytes()


def test_a_codec_that_the_file_has_is_copied_and_another_encoded(host, clip):
    run(save(format="mp4", **{"format.codec": "h264"}), CORE_STAND_INS)
    assert (host.output_directory / "v_00001.mp4").read_bytes() == clip.read_bytes()
    run(save(format="mp4", **{"format.codec": "av1"}), CORE_STAND_INS)
    assert "av1" in probe(host.output_directory / "v_00002.mp4").video_codec


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"format": "ogg"}, "'format': expected one of auto, mp4, mkv, webm, got 'ogg'"),
        ({"format": "webm", "format.codec": "h264"}, "'format.codec': expected one of auto, av1"),
        (
            {"format": "mp4", **NEW, "format.codec.encoding.crf": 52},
            "'format.codec.encoding.crf': expected a value from 0.0 to 51.0, got 52",
        ),
        (
            {"format": "mp4", **NEW, "format.codec.encoding.crf": 20}
            | {"format.codec.encoding.color_space": "HDR PQ"},
            "'format.codec.encoding.color_space': expected one of auto, sRGB, got 'HDR PQ'",
        ),
    ],
)
def test_what_cannot_be_saved_is_refused_by_name(host, clip, options, sentence):
    with pytest.raises(GraphError, match=f"Node 2 .*{sentence}"):
        run(save(**options), CORE_STAND_INS)


@pytest.mark.parametrize("fps", [29.97, 23.976, 59.94, 33.33, 12.5, 24.0, 30000 / 1001])
@pytest.mark.parametrize("options", [{}, {"format.codec.encoding.crf": 30, **NEW}])
def test_every_rate_is_written_exactly(host, clip, fps, options):
    exact = {29.97: "30000/1001", 23.976: "24000/1001", 59.94: "60000/1001", 33.33: "3333/100"}
    exact |= {12.5: "25/2", 24.0: "24/1", 30000 / 1001: "30000/1001"}
    prompt = save(format="mp4", **options)
    prompt["2"]["inputs"]["video"] = ["4", 0]
    prompt |= {
        "3": node("GetVideoComponents", video=["1", 0]),
        "4": node("CreateVideo", images=["3", 0], fps=fps),
        "5": node("GetVideoComponents", video=["4", 0]),
    }
    assert look(prompt, "5", 2)[0] == float(Fraction(exact[fps]))
    written = probe(host.output_directory / "v_00001.mp4", exact_count=True)
    assert (written.frame_rate, written.frame_count) == (exact[fps], 10)


@pytest.mark.parametrize(("depth", "pixels"), [(8, "yuv420p"), (10, "yuv420p10le")])
def test_the_bit_depth_of_a_made_video_is_kept(host, clip, depth, pixels):
    prompt = save(format="mkv")
    prompt["2"]["inputs"]["video"] = ["4", 0]
    prompt |= {
        "3": node("GetVideoComponents", video=["1", 0]),
        "4": node("CreateVideo", images=["3", 0], fps=25.0, bit_depth=depth),
        "5": node("GetVideoComponents", video=["4", 0]),
    }
    assert look(prompt, "5", 3, 4)[:2] == [depth, "sRGB"]
    with av.open(str(host.output_directory / "v_00001.mkv")) as container:
        assert container.streams.video[0].format.name == pixels


def test_a_file_of_another_container_is_not_just_renamed(host, clip):
    run(save(format="mkv"), CORE_STAND_INS)
    (host.output_directory / "v_00001.mkv").rename(host.input_directory / "clip.mkv")
    prompt = save(format="auto")
    prompt["1"]["inputs"]["file"] = "clip.mkv"
    run(prompt, CORE_STAND_INS)
    assert "mp4" in probe(host.output_directory / "v_00001.mp4").container


def test_every_frame_is_saved_as_a_picture_with_the_workflow_in_it(host, clip):
    prompt = {
        "1": node("LoadVideo", file="clip.mp4"),
        "2": node("GetVideoComponents", video=["1", 0]),
        "3": node("SaveImage", images=["2", 0], filename_prefix="p/%width%"),
        "4": node("PreviewImage", images=["2", 0]),
    }
    result = run(prompt, CORE_STAND_INS, extra_pnginfo={"workflow": {"id": "w"}})
    assert files(host.output_directory) == [f"p/48_{i:05}.png" for i in range(1, 11)]
    assert len(files(host.temp_directory)) == 10
    assert result.ui["3"]["images"][1] == {
        "filename": "48_00002.png",
        "subfolder": "p",
        "type": "output",
    }
    with Image.open(host.output_directory / "p" / "48_00003.png") as picture:
        assert picture.info["workflow"] == '{"id": "w"}'
        first = next(VideoReader(clip).frames(2))
        assert np.array_equal(np.asarray(picture), first)


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        ({"1": node("LoadImage", image="gone.png")}, "Node 1 .*'image': .*'gone.png'"),
        ({"1": node("LoadAudio", audio="../x.wav")}, "Node 1 .*'audio': .*inside"),
        ({"1": node("LoadVideo", file="gone.mp4")}, "Node 1 .*'file': .*gone.mp4"),
    ],
)
def test_a_missing_file_is_refused_before_anything_runs(host, prompt, sentence):
    with pytest.raises(GraphError, match=sentence):
        look(prompt, "1", 0)


@pytest.mark.parametrize(
    ("class_type", "name"),
    [("LoadImage", "text.png"), ("LoadAudio", "text.wav"), ("LoadVideo", "text.mp4")],
)
def test_a_file_that_is_something_else_names_node_and_file(host, class_type, name):
    (host.input_directory / name).write_text("not what it says")
    widget = {"LoadImage": "image", "LoadAudio": "audio", "LoadVideo": "file"}[class_type]
    with pytest.raises(MediaError, match=rf"^Node 1 \({class_type}\): .*{name}"):
        look({"1": node(class_type, **{widget: name})}, "1", 0)


@pytest.fixture
def upscalers(host, tmp_path, monkeypatch) -> Path:
    """The folder of upscale models, with a file that holds none."""
    folder = tmp_path / "models" / "upscale_models"
    (folder / "faces").mkdir(parents=True)
    (folder / "text.pth").write_text("not what it says")
    monkeypatch.setenv("AVATAR_MODELS", str(tmp_path / "models"))
    return folder


@pytest.mark.slow
def test_an_upscale_model_is_found_by_its_name_and_by_its_path(upscalers):
    library("spandrel")
    from spandrel.architectures.Compact import Compact

    name = str(Path("faces", "2x.pth"))
    torch.save(Compact(num_feat=4, num_conv=1, upscale=2).state_dict(), upscalers / name)
    for given in (name, str(upscalers / name), f'"{upscalers / name}"'):
        model, *_ = look({"1": node("UpscaleModelLoader", model_name=given)}, "1", 0)
        assert (model.scale, model.purpose) == (2, "SR")


def test_upscale_models_are_offered_by_name(upscalers):
    (upscalers / "faces" / "4x.safetensors").touch()
    (upscalers / "notes.md").touch()
    declared = CORE_STAND_INS["UpscaleModelLoader"].INPUT_TYPES()["required"]
    assert declared == {"model_name": ([str(Path("faces", "4x.safetensors")), "text.pth"],)}


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("gone.pth", "Node 1 .*'gone.pth', found none at .*upscale_models.*full path"),
        ("../../a.pth", "found none at no folder: the name leads out"),
        ("/gone/2x.pth", "found none at .*2x.pth"),
        ("", "got none: choose a file"),
        ("https://host/2x.pth", "URL"),
    ],
)
def test_an_upscale_model_that_is_not_there_is_refused_before_anything_runs(
    upscalers, name, sentence
):
    with pytest.raises(GraphError, match=sentence):
        look({"1": node("UpscaleModelLoader", model_name=name)}, "1", 0)


@pytest.mark.slow
def test_a_file_that_holds_no_upscale_model_names_node_and_file(upscalers):
    library("spandrel")
    with pytest.raises(AvatarVideoError, match=r"^Node 1 \(UpscaleModelLoader\): .*text.pth"):
        look({"1": node("UpscaleModelLoader", model_name="text.pth")}, "1", 0)


def test_a_loaded_upscale_model_fits_the_socket_of_the_lip_sync():
    declared = NODE_CLASS_MAPPINGS["MuseTalkLipSync"].INPUT_TYPES()["optional"]
    loader = CORE_STAND_INS["UpscaleModelLoader"]
    assert declared["upscale_model"][0] == loader.RETURN_TYPES[0]


def test_an_empty_image_is_refused(host):
    with pytest.raises(AvatarVideoError, match="at least one frame"):
        CORE_STAND_INS["SaveImage"]().save(torch.zeros(0, 4, 4, 3))


class Whole:
    """A whole number of another node."""

    RETURN_TYPES = ("INT",)
    FUNCTION = "give"
    INPUT_TYPES = classmethod(lambda cls: {"required": {"value": ("INT", {})}})

    def give(self, value):
        return (value,)


def test_a_whole_number_links_into_fps(host, clip):
    widgets = NODE_CLASS_MAPPINGS["FFmpegEncode"].INPUT_TYPES()["required"].items()
    usual = {n: k[0] if isinstance(k, list) else s["default"] for n, (k, s) in widgets}
    prompt = {
        "1": node("LoadVideo", file="clip.mp4"),
        "2": node("GetVideoComponents", video=["1", 0]),
        "3": node("Whole", value=10),
        "4": node("FFmpegEncode", **usual | {"images": ["2", 0], "fps": ["3", 0]}),
    }
    run(prompt, CORE_STAND_INS | NODE_CLASS_MAPPINGS | {"Whole": Whole})
    assert probe(host.output_directory / "avatar_00001.mp4").frame_rate == "10/1"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PrimitiveInt", 24),
        ("PrimitiveFloat", 29.97),
        ("PrimitiveBoolean", True),
        ("PrimitiveString", "a"),
        ("PrimitiveStringMultiline", "a\nb"),
    ],
)
def test_a_value_of_its_own_node_arrives_as_it_is(host, name, value):
    assert look({"1": node(name, value=value)}, "1", 0)[0] is value


@pytest.mark.parametrize(("kind", "value"), [("PrimitiveInt", 24), ("PrimitiveFloat", 29.97)])
def test_a_number_of_its_own_node_links_into_fps(host, clip, kind, value):
    widgets = NODE_CLASS_MAPPINGS["FFmpegEncode"].INPUT_TYPES()["required"].items()
    usual = {n: k[0] if isinstance(k, list) else s["default"] for n, (k, s) in widgets}
    prompt = {
        "1": node(kind, value=value),
        "2": node("LoadVideo", file="clip.mp4"),
        "3": node("FFmpegEncode", **usual | {"video": ["2", 0], "fps": ["1", 0]}),
    }
    run(prompt, CORE_STAND_INS | NODE_CLASS_MAPPINGS)
    rate = probe(host.output_directory / "avatar_00001.mp4").frame_rate
    assert rate == {24: "24/1", 29.97: "30000/1001"}[value]
