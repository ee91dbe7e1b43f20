"""What a real ComfyUI that others can reach lets them read through our nodes."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from avatarvideo.errors import GraphError
from avatarvideo.host.reading import SAMPLES_DIRECTORY

from .conftest import RealHost

CLIP, SPEECH, PORTRAIT = (
    SAMPLES_DIRECTORY / name for name in ("talking_head.mp4", "speech.flac", "portrait.png")
)
VARIABLE = "AVATAR_INPUT_DIRS"


def graphs(host: RealHost, folder: str, suffix: str = "") -> dict[str, dict[str, Any]]:
    """One graph for each of our doors, with files of a folder."""
    portrait, speech, clip = (f"{folder}{file.name}{suffix}" for file in (PORTRAIT, SPEECH, CLIP))
    return {
        "LoadAvatar": {
            "1": host.node("LoadAvatar", avatar=portrait),
            "2": host.node("PreviewImage", images=["1", 1]),
        },
        "AudioToMel": {
            "1": host.node("AudioToMel", audio=speech),
            "2": host.node("PreviewImage", images=["1", 2]),
        },
        "FFmpegEncode": {"1": host.node("FFmpegEncode", path=clip, codec="copy")},
        "VideoInfo": {"1": host.node("VideoInfo", path=clip)},
    }


def said(host: RealHost, graph: Mapping[str, Any]) -> str:
    before = host.everything_written()
    with pytest.raises(GraphError) as error:
        host.run(graph)
    assert host.everything_written() == before
    return str(error.value)


def test_files_elsewhere_stay_unread_and_untold(open_to_others: RealHost, tmp_path: Path) -> None:
    host = open_to_others
    for file in (PORTRAIT, SPEECH, CLIP):
        shutil.copy(file, tmp_path)
    there, missing = graphs(host, f"{tmp_path}/"), graphs(host, f"{tmp_path}/no-")
    for door in there:
        answers = [said(host, graph[door]) for graph in (there, missing)]
        assert all(VARIABLE in answer for answer in answers)
        assert len({re.sub("'[^']*'", "", answer) for answer in answers}) == 1, answers


def test_own_folders_samples_and_links_in_them_are_read(
    open_to_others: RealHost, tmp_path: Path
) -> None:
    host = open_to_others
    for file in (PORTRAIT, SPEECH, CLIP):
        shutil.copy(file, tmp_path)
        shutil.copy(file, host.base / "output")
    (host.base / "input" / "linked").symlink_to(tmp_path)
    for folder, mark in (("samples/", ""), ("linked/", ""), ("", " [output]")):
        for door, graph in graphs(host, folder, mark).items():
            assert host.run(graph).outputs, door


def test_a_video_that_another_pack_takes_from_elsewhere_goes_no_further(
    open_to_others: RealHost,
) -> None:
    host = open_to_others
    shutil.copy(CLIP, host.base / "private.mp4")
    for door, more in (("VideoInfo", {}), ("FFmpegEncode", {"codec": "copy"})):
        graph = {
            "1": host.node("ProbeFile", path=str(host.base / "private.mp4")),
            "2": host.node(door, video=["1", 0], **more),
        }
        assert VARIABLE in said(host, graph)


def test_the_machines_own_user_names_any_file(host: RealHost, tmp_path: Path) -> None:
    for file in (PORTRAIT, SPEECH, CLIP):
        shutil.copy(file, tmp_path)
    for door, graph in graphs(host, f"{tmp_path}/").items():
        assert host.run(graph).outputs, door
