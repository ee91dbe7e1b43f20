"""No result ever replaces a file it is made from, whichever way it is asked for."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from avatarvideo.cli.main import main
from avatarvideo.encoders import EncodingConfig, FFmpegEncoder
from avatarvideo.encoders.encoder import VideoWriter, encode_frames
from avatarvideo.encoders.read.audio import read_audio
from avatarvideo.encoders.read.video import VideoReader
from avatarvideo.encoders.write.output_file import PendingFile
from avatarvideo.encoders.write.output_names import reserved_file
from avatarvideo.encoders.write.plan import Extras, PictureFacts
from avatarvideo.errors import CheckpointError, EncodeError
from avatarvideo.headless.core_nodes import CORE_STAND_INS
from avatarvideo.headless.core_video import FileVideo
from avatarvideo.headless.execute import run
from avatarvideo.host.current import set_host
from avatarvideo.host.standalone import StandaloneHost
from avatarvideo.media import AudioClip, Clip
from avatarvideo.musetalk import LipSyncConfig, MuseTalkLipSync
from avatarvideo.musetalk.inputs import load_avatar, load_speech
from avatarvideo.musetalk.weights.catalogue import converted_path
from avatarvideo.musetalk.weights.convert import convert
from avatarvideo.nodes import NODE_CLASS_MAPPINGS
from avatarvideo.nodes.streaming_video import StreamingVideo

RATE = Fraction(25)
FAST = EncodingConfig(quality="fast")
REFUSED = "Expected an output other than the input, .* choose another name"
NODES = {**CORE_STAND_INS, **NODE_CLASS_MAPPINGS}


def pictures(count: int = 4) -> list[np.ndarray]:
    return [np.full((32, 48, 3), 20 * number, np.uint8) for number in range(count)]


def clip_of(path: Path) -> Path:
    tone = 0.3 * np.sin(np.arange(3200, dtype=np.float32)[None] / 9)
    encode_frames(pictures(), path, frame_rate=RATE, config=FAST, audio=AudioClip(tone, 16000))
    return path


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a.mp4 and b.mp4, a second picture and a sequence, by several names."""
    folder = tmp_path / "work"
    (folder / "folder").mkdir(parents=True)
    monkeypatch.chdir(folder)
    clip_of(folder / "a.mp4")
    clip_of(folder / "b.mp4")
    os.link("a.mp4", "hard.mp4")
    Path("soft.mp4").symlink_to("a.mp4")
    encode_frames(pictures(2), "seq.png", frame_rate=RATE)
    return folder


@pytest.fixture(autouse=True)
def host(tmp_path: Path) -> Iterator[StandaloneHost]:
    """All folders of the host are one: results land where the sources lie."""
    folder = tmp_path / "work"
    standalone = StandaloneHost(
        input_directory=folder, output_directory=folder, temp_directory=tmp_path / "temp"
    )
    set_host(standalone)
    yield standalone
    set_host(None)


@pytest.fixture
def unchanged(place: Path) -> Iterator[None]:
    """Whatever the test does, every file and link of the folder stays as it was."""

    def state() -> dict[str, tuple[bytes, bool]]:
        found = [path for path in place.rglob("*") if path.is_file()]
        return {str(path): (path.read_bytes(), path.is_symlink()) for path in found}

    before = state()
    yield
    assert state() == before


NAMES = ("a.mp4", "./a.mp4", "folder/../a.mp4", "hard.mp4", "soft.mp4")
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def avatar(capsys: pytest.CaptureFixture[str]) -> Call:
    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(list(arguments))
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.mark.parametrize("output", NAMES)
@pytest.mark.parametrize("inputs", [("a.mp4", "b.mp4"), ("seq/seq_00001.png", "a.mp4")])
def test_lipsync_of_the_command_line(
    unchanged: None, avatar: Call, inputs: tuple[str, str], output: str
) -> None:
    code, out, err = avatar("video", "lipsync", *inputs, "-o", output, "--mode", "static")
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert "other than the input" in err


def test_lipsync_into_the_folder_of_its_picture(unchanged: None, avatar: Call) -> None:
    code, _, err = avatar("video", "lipsync", "seq/seq_00002.png", "b.mp4", "-o", "seq.png")
    assert code == 1
    assert "a folder with a file that the result is made from" in err


@pytest.mark.parametrize("output", NAMES)
@pytest.mark.parametrize(
    "inputs", [("a.mp4",), ("a.mp4", "--codec", "copy"), ("b.mp4", "--audio", "a.mp4")]
)
def test_encode_of_the_command_line(
    unchanged: None, avatar: Call, inputs: tuple[str, ...], output: str
) -> None:
    code, out, err = avatar("video", "encode", *inputs, "-o", output)
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert "other than the input" in err


def test_options_of_a_file_stay_too(place: Path, avatar: Call, monkeypatch: Any) -> None:
    monkeypatch.setenv("AVATAR_FORMATS", str(place))
    options = ("--container", "mp4", "--quality", "fast")
    Path("mine.json").write_text(json.dumps({"codec": "libx264", "container": "mp4"}))
    Path("mine.toml").write_text("crf = 30")
    for output, *extra in (
        ("mine.toml", "--config", "mine.toml"),
        ("mine.json", "--format", "user/mine"),
    ):
        before = Path(output).read_bytes()
        code, _, err = avatar("video", "encode", "a.mp4", "-o", output, *options, *extra)
        assert (code, "other than the input" in err) == (1, True)
        assert Path(output).read_bytes() == before


def test_a_folder_encoded_into_itself_loses_none_of_its_videos(place: Path, avatar: Call) -> None:
    clip_of(place / "folder" / "one.mkv")
    other = clip_of(place / "folder" / "two.mp4")
    before = other.read_bytes()
    code, _, err = avatar("video", "encode", "folder", "-o", "folder", "--quality", "fast")
    assert (code, err.count("other than the input")) == (1, 1)
    assert other.read_bytes() == before


def test_a_folder_encoded_into_itself_replaces_no_namesake(place: Path, avatar: Call) -> None:
    clip_of(place / "folder" / "one.mkv")
    other = clip_of(place / "folder" / "one_mkv.mp4")
    clip_of(place / "folder" / "one.mp4")
    before = other.read_bytes()
    code, _, err = avatar("video", "encode", "folder", "-o", "folder", "--quality", "fast")
    assert (code, err.count("other than the input")) == (1, 2)
    assert other.read_bytes() == before


@pytest.mark.parametrize("output", NAMES)
def test_files_from_python(unchanged: None, output: str) -> None:
    encoder = FFmpegEncoder()
    for result in (
        encoder.encode("a.mp4", output),
        encoder.trim("a.mp4", output, Fraction(0), Fraction(1, 10)),
        encoder.trim("a.mp4", output, config=EncodingConfig(codec="copy")),
        encoder.resize("a.mp4", output, 16, 16),
        encoder.add_audio("a.mp4", "b.mp4", output),
        encoder.add_audio("b.mp4", "a.mp4", output, mix=True),
        MuseTalkLipSync().generate("a.mp4", "b.mp4", output, LipSyncConfig(mode="static")),
        MuseTalkLipSync().generate("b.mp4", "a.mp4", output, LipSyncConfig(mode="static")),
    ):
        assert not result.success
        assert "other than the input" in str(result.error)


def test_frames_and_sound_from_python_know_their_files(unchanged: None) -> None:
    person, speech = load_avatar("a.mp4"), load_speech("b.mp4")
    made = MuseTalkLipSync().run(person, speech, LipSyncConfig(mode="static"))
    still = load_avatar("seq/seq_00001.png")
    for frames, sound, output in (
        (made.open_frames(), None, "hard.mp4"),
        (made.open_frames(), None, "b.mp4"),
        (person.frames(), None, "a.mp4"),
        (VideoReader("a.mp4").frames(1), None, "soft.mp4"),
        (still.frames(), None, "seq.png"),
        (pictures(), read_audio("a.mp4"), "a.mp4"),
        (pictures(), speech.clip.trimmed(Fraction(0), Fraction(1, 10)), "b.mp4"),
    ):
        with pytest.raises(EncodeError, match=REFUSED):
            encode_frames(frames, output, frame_rate=RATE, config=FAST, audio=sound)
    with pytest.raises(EncodeError, match=REFUSED):
        encode_frames(pictures(), "a.mp4", frame_rate=RATE, sources=[Path("hard.mp4")])


def test_a_video_of_ours_is_not_saved_over_what_it_is_made_from(unchanged: None) -> None:
    file = FileVideo("a.mp4")
    stream = StreamingVideo(
        Clip(
            open_frames=lambda start: iter(pictures()[start:]),
            width=48,
            height=32,
            frame_rate=RATE,
            frame_count=4,
            sources=(Path("a.mp4"),),
        ),
        StandaloneHost(temp_directory=Path("never made")),
    )
    for video in (file, stream):
        for output in NAMES:
            with pytest.raises(EncodeError, match=REFUSED):
                video.save_to(output)


def test_a_video_of_ours_is_copied_whole(place: Path) -> None:
    FileVideo("a.mp4").save_to("b.mp4")
    assert Path("b.mp4").read_bytes() == Path("a.mp4").read_bytes()


def ends(source: dict[str, Any], **inputs: Any) -> dict[str, Any]:
    """A graph that ends in an FFmpegEncode which overwrites."""
    widgets = NODE_CLASS_MAPPINGS["FFmpegEncode"].INPUT_TYPES()["required"]
    options = {name: given["default"] for name, (_, given) in widgets.items()}
    options |= {"overwrite": True, "filename_prefix": "a", "quality": "fast"} | inputs
    return source | {"end": {"class_type": "FFmpegEncode", "inputs": options}}


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def speaking(person: str, speech: str) -> dict[str, Any]:
    widgets = NODE_CLASS_MAPPINGS["MuseTalkLipSync"].INPUT_TYPES()["required"]
    options = {name: given.get("default") for name, (_, given) in widgets.items()}
    options |= {"mode": "static", "images_output": "never"}
    load = node("LoadAvatar", avatar=person, face_index=0, mouth="")
    mel = node("AudioToMel", audio=speech, start=0.0, duration=0.0)
    return {
        "1": load,
        "2": mel,
        "3": node("MuseTalkLipSync", **options | {"avatar": ["1", 0], "mel": ["2", 0]}),
    }


@pytest.mark.parametrize(
    "graph",
    [
        ends({}, path="a.mp4"),
        ends({}, path="a.mp4", codec="copy"),
        ends({"1": node("LoadVideo", file="a.mp4")}, video=["1", 0]),
        ends(speaking("a.mp4", "b.mp4"), video=["3", 1]),
        ends(speaking("b.mp4", "a.mp4"), video=["3", 1]),
        ends(speaking("b.mp4", "a.mp4"), video=["3", 1], filename_prefix="hard"),
        ends(
            {
                "1": node("LoadVideo", file="a.mp4"),
                "2": node("GetVideoComponents", video=["1", 0]),
            },
            images=["2", 0],
        ),
        ends(
            {"1": node("LoadVideo", file="b.mp4"), "2": node("LoadAudio", audio="a.mp4")},
            video=["1", 0],
            audio=["2", 0],
        ),
        ends(
            {"1": node("LoadImage", image="seq/seq_00001.png")},
            images=["1", 0],
            container="png",
            filename_prefix="seq",
        ),
    ],
)
def test_graphs(unchanged: None, graph: dict[str, Any]) -> None:
    with pytest.raises(Exception, match=REFUSED) as caught:
        run(graph, NODES)
    assert "FFmpegEncode" in str(caught.value)


def test_a_video_carries_its_files_through_the_nodes(unchanged: None) -> None:
    graph = speaking("a.mp4", "b.mp4")
    again = {**graph["3"]["inputs"], "avatar": ["3", 1], "mel": ["4", 0]}
    graph["4"] = node("AudioToMel", audio="b.mp4", start=0.0, duration=0.0)
    graph["5"] = node("MuseTalkLipSync", **again)
    graph["6"] = node("SaveVideo", video=["5", 1], filename_prefix="saved", format="auto")
    video = run(graph, NODES).outputs["6"][0][0]
    options = ends({})["end"]["inputs"]
    for name in ("a", "b"):  # without a prompt, which names them too
        with pytest.raises(EncodeError, match=REFUSED):
            NODE_CLASS_MAPPINGS["FFmpegEncode"]().encode(
                **options | {"video": video, "filename_prefix": name}
            )
    Path("saved_00001.mp4").unlink()


def test_a_folder_of_inputs_in_a_graph_loses_none(place: Path) -> None:
    clip_of(place / "folder" / "one.mkv")
    other = clip_of(place / "folder" / "one.mp4")
    before = other.read_bytes()
    graph = ends({}, path="folder", filename_prefix="folder/%name%", container="mp4")
    with pytest.raises(Exception, match=REFUSED):
        run(graph, NODES)
    assert other.read_bytes() == before


def test_another_file_may_be_replaced_and_a_number_is_never_refused(place: Path) -> None:
    before = Path("a.mp4").read_bytes()
    video = {"1": node("LoadVideo", file="a.mp4")}
    run(ends(video, video=["1", 0], filename_prefix="b", width=16), NODES)
    run(ends(video, video=["1", 0], overwrite=False), NODES)
    for saves in ({"format": "auto"}, {"format": "mkv"}):
        save = node("SaveVideo", video=["1", 0], filename_prefix="a", **saves)
        run(video | {"2": save}, NODES)
    assert VideoReader("b.mp4").width == 16
    assert sorted(path.name for path in place.glob("a_0*")) == [
        "a_00001.mp4",
        "a_00002.mp4",
        "a_00003.mkv",
    ]
    assert Path("a.mp4").read_bytes() == before


def test_numbered_pictures_pass_by_what_is_there(place: Path) -> None:
    Image.new("RGB", (8, 8), "red").save("p_00001_.png")
    Image.new("RGB", (8, 8), "red").save("p_00001.png")
    before = Path("p_00001.png").read_bytes()
    load = node("LoadImage", image="p_00001.png")
    run({"1": load, "2": node("SaveImage", images=["1", 0], filename_prefix="p")}, NODES)
    assert Path("p_00002.png").is_file()
    assert Path("p_00001.png").read_bytes() == before
    with reserved_file(place, "p", "png") as path:
        assert path.name == "p_00003.png"


@pytest.mark.parametrize("output", ["new.mp4", "new.gif", "new.webp", "new.png"])
def test_a_source_that_takes_the_name_meanwhile_stays(place: Path, output: str) -> None:
    folder = output.endswith(".png")
    taken = Path("new/new_00001.png" if folder else output)
    writer = VideoWriter(
        output, PictureFacts((48, 32), RATE), extras=Extras(sources=(place / "a.mp4",))
    )
    before = Path("a.mp4").read_bytes()

    def write() -> None:
        with writer:
            writer.write(pictures()[0])
            taken.parent.mkdir(exist_ok=True)
            os.link("a.mp4", taken)

    with pytest.raises(EncodeError, match=REFUSED):
        write()
    assert taken.samefile("a.mp4")
    assert taken.read_bytes() == before
    assert not list(place.glob(".avatarvideo-*"))


@pytest.mark.slow
def test_copied_pictures_and_own_ffmpeg_look_again(place: Path, ffmpeg: str) -> None:
    def link(_count: int) -> None:
        if not Path("new.mp4").exists():
            os.link("a.mp4", "new.mp4")

    copied = EncodingConfig(codec="copy")
    for config in (copied, EncodingConfig(quality="fast", backend="own ffmpeg", ffmpeg=ffmpeg)):
        result = FFmpegEncoder(on_frame=link).encode("a.mp4", "new.mp4", config)
        assert "other than the input" in str(result.error)
        assert Path("new.mp4").samefile("a.mp4")
        Path("new.mp4").unlink()
    assert not list(place.glob(".avatarvideo-*"))


def test_the_check_goes_by_the_file_and_not_by_its_name(place: Path) -> None:
    for name in NAMES:
        with pytest.raises(EncodeError, match=REFUSED):
            PendingFile(Path(name), sources=[place / "a.mp4"])
    Path("dangling.mp4").symlink_to("nowhere.mp4")
    for name in ("b.mp4", "new.mp4", "dangling.mp4"):
        assert PendingFile(Path(name), sources=[place / "a.mp4", place / "gone"]).path.name == name


def test_weights_are_not_converted_onto_themselves(tmp_path: Path) -> None:
    target = converted_path("unet", "v1.5", "half", tmp_path)
    target.parent.mkdir(parents=True)
    torch.save({}, target)
    before = target.read_bytes()
    os.link(target, tmp_path / "unet.pth")
    for source in (target, tmp_path / "unet.pth"):
        with pytest.raises(CheckpointError, match="is the source itself: move it"):
            convert("unet", source, target, "half")
    assert target.read_bytes() == before
