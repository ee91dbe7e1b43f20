"""Rows as graphs for ComfyUI servers, and what a server cannot take."""

from __future__ import annotations

import dataclasses
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from avatarvideo.batch.rows import Task
from avatarvideo.batch.server_graph import graph_of, server_problem
from avatarvideo.errors import GraphError
from avatarvideo.headless.prompt import definitions
from avatarvideo.headless.run import node_table
from avatarvideo.headless.validate import validate
from avatarvideo.host.reading import SAMPLES_DIRECTORY
from avatarvideo.musetalk.interfaces import LipSyncConfig
from avatarvideo.musetalk.speaker import Speaker

AVATAR, AUDIO = SAMPLES_DIRECTORY / "portrait.png", SAMPLES_DIRECTORY / "speech.flac"
NODES, NAMES = node_table()
DECLARED = definitions(NODES, NAMES)


def task(output: str = "a/b.mp4", threads: int = 0, **options: Any) -> Task:
    files = str(AVATAR), str(AUDIO)
    config = asdict(LipSyncConfig(**options))
    return Task(1, output, files, *files, options=config, threads=threads)


def test_a_row_is_a_graph_that_our_nodes_take() -> None:
    given = task(
        "a.webm",
        mode="puppet",
        quality="low",
        mouth=(20, 42.5, 44, 42),
        start=0.5,
        duration=1.0,
        fps=30,
        face="left 0",
        speakers=(Speaker(audio=str(AUDIO), face="left 1"),),
    )
    graph = graph_of(given, AVATAR, AUDIO, DECLARED)
    validate(graph, NODES)
    avatar, synced = graph["avatar"]["inputs"], graph["lip sync"]["inputs"]
    assert (avatar["avatar"], avatar["mouth"]) == (str(AVATAR), "20,42.5,44,42")
    for name in ("speech", "speech 2"):
        heard = graph[name]["inputs"]
        assert (heard["audio"], heard["start"], heard["duration"]) == (str(AUDIO), 0.5, 1.0)
    assert (synced["mode"], synced["fps"], synced["face"]) == ("puppet", 30, "left 0")
    assert (synced["mel_2"], synced["face_2"]) == (["speech 2", 0], "left 1")
    assert synced["images_output"] == "never"
    encoded = graph["file"]["inputs"]
    assert (encoded["container"], encoded["quality"]) == ("webm", "low")
    assert encoded["video"] == ["lip sync", 1]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"threads": 2}, "no threads"),
        ({"upscale_model": "x.pth"}, "no upscale_model"),
        ({"face": "/there/track.json"}, "no track file"),
        ({"channel": 1}, "no channel"),
        ({"speakers": [{"channel": 2, "face": "1"}], "channel": 1}, "no channel"),
        ({"speakers": [{"audio": "b.wav", "face": str(n)} for n in range(1, 5)]}, "at most 4"),
        ({"fps": "30000/1001"}, "fps as a number"),
    ],
)
def test_what_a_server_cannot_take_is_named(options: dict[str, Any], named: str) -> None:
    problem = server_problem(task(**options))
    assert problem.startswith(f"Expected {named}")
    assert ": " in problem


def test_a_workflow_is_for_any_server() -> None:
    assert server_problem(Task(1, "a.mp4", ("w.json",), workflow="w.json")) == ""


def test_a_server_without_our_nodes_is_refused() -> None:
    some = {name: one for name, one in DECLARED.items() if name != "FFmpegEncode"}
    with pytest.raises(GraphError, match="FFmpegEncode are not there: install it there"):
        graph_of(task(), AVATAR, AUDIO, some)


def test_an_older_pack_is_refused_only_where_a_row_needs_what_it_lacks() -> None:
    older = dict(DECLARED)
    inputs = dict(older["MuseTalkLipSync"].inputs)
    del inputs["steadiness"]
    older["MuseTalkLipSync"] = dataclasses.replace(older["MuseTalkLipSync"], inputs=inputs)
    assert "steadiness" not in graph_of(task(), AVATAR, AUDIO, older)["lip sync"]["inputs"]
    with pytest.raises(GraphError, match="Expected steadiness in the server's MuseTalkLipSync"):
        graph_of(task(steadiness=0.5), AVATAR, AUDIO, older)


def test_files_of_other_machines_are_named_by_their_copies_here(tmp_path: Path) -> None:
    fetched = tmp_path / "fetched.png"
    graph = graph_of(task(), fetched, AUDIO, DECLARED)
    assert graph["avatar"]["inputs"]["avatar"] == str(fetched)
