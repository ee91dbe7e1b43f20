"""Where graphs may read: every door is found by reflection, and all ask the same function."""

from __future__ import annotations

import inspect
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from avatarvideo.errors import AvatarVideoError, MediaError
from avatarvideo.headless.core_nodes import CORE_STAND_INS
from avatarvideo.headless.core_video import FileVideo
from avatarvideo.headless.execute import run
from avatarvideo.headless.servers import with_uploads
from avatarvideo.host.current import current_host
from avatarvideo.host.environment import INPUTS_VARIABLE
from avatarvideo.host.reading import SAMPLES_DIRECTORY, readable
from avatarvideo.host.standalone import StandaloneHost
from avatarvideo.nodes import NODE_CLASS_MAPPINGS
from avatarvideo.nodes.video_input import open_video

NODES: dict[str, Any] = {**CORE_STAND_INS, **NODE_CLASS_MAPPINGS}
CLIP, SPEECH, PORTRAIT = (
    SAMPLES_DIRECTORY / name for name in ("talking_head.mp4", "speech.flac", "portrait.png")
)
# Texts and lists of words that name no file to read. Whatever is not here is a door: a new widget
# must be written here or keep what the tests below ask of doors.
NO_PATH = {
    ("LoadAvatar", "mouth"),
    ("LoadAvatar", "face_at"),
    ("FFmpegEncode", "filename_prefix"),
    # A face by number or place; track files are asked for in test_speakers.py.
    *(("MuseTalkLipSync", face) for face in ("face", "face_2", "face_3", "face_4")),
    ("SaveVideo", "filename_prefix"),
    ("SaveImage", "filename_prefix"),
    ("PrimitiveString", "value"),
    ("PrimitiveStringMultiline", "value"),
}
# What belongs behind each door, so that nothing but the place can be wrong.
FITS = {
    ("LoadAvatar", "avatar"): PORTRAIT,
    ("LoadAvatar", "path"): PORTRAIT,
    ("AudioToMel", "audio"): SPEECH,
    ("FFmpegEncode", "path"): CLIP,
    ("VideoInfo", "path"): CLIP,
    ("LoadImage", "image"): PORTRAIT,
    ("LoadAudio", "audio"): SPEECH,
    ("LoadVideo", "file"): CLIP,
}
# Inputs that a node looks at before the graph runs, and what else it has to be given then.
VALIDATED = {
    name: inspect.signature(node.VALIDATE_INPUTS).parameters
    for name, node in NODES.items()
    if hasattr(node, "VALIDATE_INPUTS")
}
OTHERS = {("LoadAvatar", "path"): {"avatar": "samples/portrait.png"}}


def doors() -> list[tuple[str, str]]:
    """The inputs of all nodes that may name a file: free texts, and lists of files."""
    found = []
    for name, node in NODES.items():
        groups = node.INPUT_TYPES()
        for key, (kind, *_) in {**groups.get("required", {}), **groups.get("optional", {})}.items():
            is_file_list = isinstance(kind, list) and any("samples/" in str(one) for one in kind)
            if (kind == "STRING" or is_file_list) and (name, key) not in NO_PATH:
                found.append((name, key))
    return found


@pytest.fixture
def closed(host: StandaloneHost, monkeypatch: pytest.MonkeyPatch) -> StandaloneHost:
    """A host that strangers send graphs to."""
    host.reads_anywhere = False
    monkeypatch.delenv(INPUTS_VARIABLE, raising=False)
    return host


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for file in (CLIP, SPEECH, PORTRAIT):
        shutil.copy(file, folder)
    return folder


def opened(door: tuple[str, str], path: object) -> Any:
    """Run a node with a path and with its widgets' defaults otherwise."""
    name, key = door
    node = NODES[name]
    values = {
        each: options[0].get("default", kind[0] if isinstance(kind, list) else None)
        for each, (kind, *options) in node.INPUT_TYPES()["required"].items()
    }
    return getattr(node(), node.FUNCTION)(**{**values, key: path})


def answers(door: tuple[str, str], path: object) -> list[str]:
    """What a node says of a path at each time it is asked."""
    name, key = door
    node, said = NODES[name], []
    if key in VALIDATED.get(name, ()):
        said.append(str(node.VALIDATE_INPUTS(**{**OTHERS.get(door, {}), key: path})))
    if name == "AudioToMel":  # speech may be linked instead
        assert node.IS_CHANGED(audio=path) == ()
    else:
        said.append(refusal(lambda: node.IS_CHANGED(**{**OTHERS.get(door, {}), key: path})))
    return [*said, refusal(lambda: opened(door, path))]


def refusal(ask: Callable[[], object]) -> str:
    with pytest.raises(MediaError) as error:
        ask()
    return str(error.value)


def test_every_door_is_known(host: StandaloneHost) -> None:
    assert set(doors()) == set(FITS)


@pytest.mark.parametrize("door", FITS, ids="-".join)
def test_a_door_does_not_tell_what_lies_elsewhere(
    closed: StandaloneHost, elsewhere: Path, door: tuple[str, str]
) -> None:
    there = elsewhere / FITS[door].name
    missing = there.with_name("x" * len(there.name))
    through = closed.input_directory / ".." / "elsewhere" / there.name
    said = [text for path in (there, through, missing) for text in answers(door, str(path))]
    assert all(str(elsewhere) in text and INPUTS_VARIABLE in text for text in said)
    assert len({re.sub("'.*'", "", text) for text in said}) == 1
    assert not list(closed.output_directory.iterdir())


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("door", FITS, ids="-".join)
def test_a_door_opens_in_the_hosts_own_and_the_named_folders(
    closed: StandaloneHost,
    elsewhere: Path,
    monkeypatch: pytest.MonkeyPatch,
    door: tuple[str, str],
) -> None:
    file = FITS[door]
    for folder in (closed.input_directory, closed.output_directory, closed.temp_directory):
        shutil.copy(file, folder / f"own{file.suffix}")
    own = f"own{file.suffix}"
    names = [own, f"{own} [output]", f"{own} [temp]", str(closed.temp_directory / own), str(file)]
    for name in [*names, f"samples/{file.name}"]:
        assert opened(door, name) is not None
    monkeypatch.setenv(INPUTS_VARIABLE, os.pathsep.join(["relative", str(elsewhere)]))
    assert opened(door, str(elsewhere / file.name)) is not None


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("door", FITS, ids="-".join)
def test_links_in_the_input_folder_are_followed(
    closed: StandaloneHost, elsewhere: Path, door: tuple[str, str]
) -> None:
    file = elsewhere / FITS[door].name
    (closed.input_directory / f"link{file.suffix}").symlink_to(file)
    (closed.input_directory / "folder").symlink_to(elsewhere)
    assert opened(door, f"link{file.suffix}") is not None
    assert opened(door, f"folder/{file.name}") is not None
    with pytest.raises(MediaError, match="inside"):  # the name itself must not leave the folder
        opened(door, f"folder/../../elsewhere/{file.name}")


def test_a_linked_folder_as_the_input_folder_may_be_named_either_way(
    closed: StandaloneHost, elsewhere: Path, tmp_path: Path
) -> None:
    (tmp_path / "named").symlink_to(elsewhere)
    closed.input_directory = tmp_path / "named"
    for folder in (tmp_path / "named", elsewhere):
        assert readable(closed, folder / CLIP.name) == folder / CLIP.name


@pytest.mark.slow_after(2)
@pytest.mark.parametrize("door", FITS, ids="-".join)
def test_where_nobody_else_sends_graphs_paths_are_free_until_folders_are_named(
    host: StandaloneHost, elsewhere: Path, monkeypatch: pytest.MonkeyPatch, door: tuple[str, str]
) -> None:
    monkeypatch.delenv(INPUTS_VARIABLE, raising=False)
    file = elsewhere / FITS[door].name
    assert opened(door, str(file)) is not None
    monkeypatch.setenv(INPUTS_VARIABLE, str(host.input_directory / "named"))
    with pytest.raises(MediaError, match=INPUTS_VARIABLE):
        opened(door, str(file))


class Named:
    """Another pack's node that brings any text."""

    RETURN_TYPES = ("*",)
    FUNCTION = "give"
    INPUT_TYPES = classmethod(lambda cls: {"required": {"text": ("STRING", {})}})

    def give(self, text: str) -> tuple[str]:
        return (text,)


class Shown:
    """An output node, so that a graph with the node before it runs."""

    RETURN_TYPES = ()
    OUTPUT_NODE = True
    FUNCTION = "show"
    INPUT_TYPES = classmethod(lambda cls: {"required": {"value": ("*", {})}})

    def show(self, value: object) -> dict[str, Any]:
        return {"ui": {"text": [str(type(value).__name__)]}}


def graph(door: tuple[str, str], path: str, **links: Any) -> dict[str, Any]:
    """A node whose path comes by a link, as validation cannot see it."""
    name, key = door
    values = {
        each: options[0].get("default", kind[0] if isinstance(kind, list) else None)
        for each, (kind, *options) in NODES[name].INPUT_TYPES()["required"].items()
    }
    return {
        "1": {"class_type": "Named", "inputs": {"text": path}},
        "2": {"class_type": name, "inputs": {**values, key: ["1", 0], **links}},
        "3": {"class_type": "Shown", "inputs": {"value": ["2", 0]}},
    }


TABLE = {**NODES, "Named": Named, "Shown": Shown}


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("door", FITS, ids="-".join)
def test_a_linked_path_does_not_tell_what_lies_elsewhere(
    closed: StandaloneHost, elsewhere: Path, door: tuple[str, str]
) -> None:
    there = elsewhere / FITS[door].name
    missing = there.with_name("x" * len(there.name))
    through = closed.input_directory / ".." / "elsewhere" / there.name
    said = []
    for path in (there, missing, through, f"'{there}'", f" {there}\n", there.parent):
        with pytest.raises(AvatarVideoError) as error:
            run(graph(door, str(path)), TABLE)
        said.append(str(error.value))
    assert all(f"Node 2 ({door[0]}): Expected a file in the input" in text for text in said)
    assert len({re.sub("'.*'", "", text) for text in said}) == 1
    shutil.copy(FITS[door], closed.input_directory / f"own{FITS[door].suffix}")
    assert run(graph(door, f"own{FITS[door].suffix}"), TABLE).ui["3"]["text"]


@pytest.mark.slow
def test_linked_speech_leaves_the_file_of_audio_to_mel_alone(
    closed: StandaloneHost, elsewhere: Path
) -> None:
    shutil.copy(SPEECH, closed.input_directory / "own.flac")
    lengths = []
    for path in (elsewhere / SPEECH.name, elsewhere / "missing.flac"):
        for audio in (str(path), ["1", 0]):
            flow = graph(("AudioToMel", "audio"), str(path), speech=["4", 0])
            flow["2"]["inputs"]["audio"] = audio
            flow["4"] = {"class_type": "LoadAudio", "inputs": {"audio": "own.flac"}}
            result = run(flow, TABLE)
            lengths.append(result.ui["3"]["text"])
        assert NODES["AudioToMel"].VALIDATE_INPUTS(audio=str(path), speech=None) is True
        assert NODES["AudioToMel"].IS_CHANGED(audio=str(path)) == ()
    assert lengths == [["Mel"]] * 4
    flow["4"]["inputs"]["audio"] = str(elsewhere / SPEECH.name)
    with pytest.raises(AvatarVideoError, match=r"Node 4 .*Expected a file in the input"):
        run(flow, TABLE)


class EditedVideo(FileVideo):
    """A file that another node trimmed: it is asked for its window, and to write itself."""

    def get_active_trim_window(self) -> tuple[float, float]:
        return 0.0, float(self.get_duration()) / 2


@pytest.mark.parametrize("kind", [FileVideo, EditedVideo])
def test_a_linked_video_is_read_from_the_same_folders(
    closed: StandaloneHost, elsewhere: Path, kind: type[FileVideo]
) -> None:
    shutil.copy(CLIP, closed.input_directory)
    taken = open_video(
        kind(closed.input_directory / CLIP.name), temp_directory=closed.temp_directory
    )
    assert (taken.width, taken.frame_count > 10) == (512, True)
    refusals = []
    for name in (CLIP.name, "missing.mp4", PORTRAIT.name):
        with pytest.raises(MediaError) as error:
            open_video(kind(elsewhere / name), temp_directory=closed.temp_directory)
        refusals.append(str(error.value).replace(name, ""))
    assert len(set(refusals)) == 1
    with pytest.raises(MediaError, match=INPUTS_VARIABLE):
        opened(("VideoInfo", "video"), kind(elsewhere / CLIP.name))
    with pytest.raises(MediaError, match=INPUTS_VARIABLE):
        opened(("FFmpegEncode", "video"), kind(elsewhere / CLIP.name))


def test_a_folder_elsewhere_is_not_encoded(closed: StandaloneHost, elsewhere: Path) -> None:
    with pytest.raises(MediaError, match=INPUTS_VARIABLE):
        opened(("FFmpegEncode", "path"), str(elsewhere))


def test_a_workflow_sends_no_file_from_elsewhere_to_a_server(
    closed: StandaloneHost, elsewhere: Path
) -> None:
    from avatarvideo.headless.prompt import definitions

    class Uploads:
        def __init__(self) -> None:
            self.sent: list[Path] = []

        def upload(self, path: Path) -> str:
            self.sent.append(path)
            return path.name

    shutil.copy(PORTRAIT, closed.input_directory)
    prompt = {
        str(number): {"class_type": "LoadImage", "inputs": {"image": str(folder / PORTRAIT.name)}}
        for number, folder in enumerate((elsewhere, closed.input_directory))
    }
    server: Any = Uploads()
    changed = with_uploads(prompt, definitions(NODES), server, closed.input_directory)
    assert [path.parent for path in server.sent] == [closed.input_directory]
    assert changed["0"] == prompt["0"]


@pytest.mark.parametrize(
    "name",
    [
        *(7, 1.5, True, ["a", 0], {"a": 1}, "", "   ", "\0", "a\0b.png", "x" * 5000, "\ud800.png"),
        *("~nobody/x.png", "~", "/" * 3000, "a/" * 2000, "x" * 300 + ".png", "[output]"),
        *("/dev/null", "con.png", "http://host/x.png", "1e99999999"),
    ],
    ids=lambda name: repr(name)[:20],
)
@pytest.mark.parametrize("door", FITS, ids="-".join)
def test_whatever_stands_for_a_name_is_one_sentence(
    host: StandaloneHost, door: tuple[str, str], name: object
) -> None:
    node = NODES[door[0]]
    if door[1] in VALIDATED.get(door[0], ()) and name not in ("/dev/null", "/" * 3000):
        assert isinstance(node.VALIDATE_INPUTS(**{**OTHERS.get(door, {}), door[1]: name}), str)
    with pytest.raises(AvatarVideoError) as error:
        opened(door, name)
    assert len(str(error.value)) < 800
    assert "\0" not in str(error.value)
    assert current_host() is host
