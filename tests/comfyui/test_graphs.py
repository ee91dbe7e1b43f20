"""Graphs that users build: several lip-sync nodes, changed inputs, lists, muted and bypassed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatarvideo.encoders.read.probe import probe
from avatarvideo.encoders.read.video import VideoReader
from avatarvideo.errors import GraphError
from avatarvideo.headless.editor_format import to_prompt

ROOT = Path(__file__).resolve().parents[2]
MUTED, BYPASSED = 2, 4
Frames = Callable[[Path], np.ndarray]


def mode_of(path: Path) -> str:
    return json.loads(VideoReader(path).metadata["avatarvideo"])["mode"]


def template(host: Any, name: str, modes: dict[int, int]) -> dict[str, Any]:
    """Return a template as the page submits it with some nodes muted or bypassed."""
    document = json.loads((ROOT / "workflows" / f"{name}.json").read_text(encoding="utf-8"))
    for node in document["nodes"]:
        node["mode"] = modes.get(node["id"], 0)
    prompt = to_prompt(document, host.definitions())
    for node in prompt.values():
        if node["class_type"] == "AudioToMel":
            node["inputs"]["duration"] = 0.4
    return prompt


def test_two_lip_syncs_in_one_graph_keep_apart(host: Any, talking: Any, frames_of: Frames) -> None:
    both = talking(prefix="both_puppet")
    both["5"] = host.node("MuseTalkLipSync", avatar=["1", 0], mel=["2", 0], mode="static", fps=10)
    both["6"] = host.node("FFmpegEncode", video=["5", 1], quality="fast", filename_prefix="both_s")

    puppet, static = host.files(host.run(both))

    alone = host.files(host.run(talking(prefix="alone")))[0]
    assert (mode_of(puppet), mode_of(static)) == ("puppet", "static")
    assert [len(frames_of(path)) for path in (puppet, static)] == [10, 4]
    assert np.array_equal(frames_of(puppet), frames_of(alone))


def test_a_changed_input_is_computed_anew_and_an_unchanged_one_is_not(
    host: Any, talking: Any, frames_of: Frames
) -> None:
    host.run(talking(prefix="first"))
    longer = host.files(host.run(talking(seconds=0.8, prefix="first")))[0]
    assert len(frames_of(longer)) == 20
    progress: set[str] = set()
    graph = talking(seconds=0.8, prefix="other_name")
    again = host.files(host.run(graph, lambda one: progress.add(one.node_id)))[0]
    assert "3" not in progress  # only the encoder ran
    assert np.array_equal(frames_of(again), frames_of(longer))


def test_images_linked_after_a_run_are_filled(host: Any, talking: Any) -> None:
    graph = talking(prefix="unlinked", mode="static", images_output="linked")
    host.run(graph)
    progress: set[str] = set()
    graph["4"]["inputs"]["filename_prefix"] = "unlinked_again"
    host.run(graph, lambda one: progress.add(one.node_id))
    assert "3" not in progress  # nothing changed for it
    graph["5"] = host.node("PreviewImage", images=["3", 0])
    assert len(host.run(graph).outputs["5"]["images"]) == 10


def test_a_list_makes_one_video_of_each(host: Any, talking: Any, frames_of: Frames) -> None:
    graph = talking(prefix="listed")
    graph["11"] = host.node("ImageInvert", image=["1", 1])
    graph["12"] = host.node("ImageBatch", image1=["1", 1], image2=["11", 0])
    graph["13"] = host.node("RebatchImages", images=["12", 0], batch_size=1)
    graph["3"]["inputs"] |= {"avatar": ["13", 0], "mode": "static"}

    made = host.files(host.run(graph))

    assert len(made) == 2
    plain, inverted = (frames_of(path)[0].astype(int) for path in made)
    assert abs((plain + inverted).mean() - 255) < 3


def test_a_muted_node_is_left_out(host: Any) -> None:
    document = json.loads((ROOT / "workflows" / "compare_modes.json").read_text(encoding="utf-8"))
    first = next(node["id"] for node in document["nodes"] if node["type"] == "FFmpegEncode")
    run = host.run(template(host, "compare_modes", {first: MUTED}))
    assert str(first) not in run.outputs
    assert len(host.files(run)) == 1


def test_what_hangs_on_a_muted_node_says_what_it_misses(host: Any) -> None:
    with pytest.raises(GraphError, match=r"FFmpegEncode|FFmpeg Encode"):
        host.run(template(host, "talking_avatar", {3: MUTED}))


def test_a_bypassed_encoder_hands_on_its_video(host: Any) -> None:
    document = json.loads((ROOT / "workflows" / "talking_avatar.json").read_text(encoding="utf-8"))
    whole = json.loads((ROOT / "workflows" / "encode_and_inspect.json").read_text(encoding="utf-8"))
    information = next(node for node in whole["nodes"] if node["type"] == "VideoInfo")
    encoder = next(node for node in document["nodes"] if node["type"] == "FFmpegEncode")
    link = document["last_link_id"] + 1
    encoder["mode"] = BYPASSED
    encoder["outputs"][0]["links"] = [link]
    information["id"] = document["last_node_id"] + 1
    information["inputs"][0]["link"] = link
    document["nodes"].append(information)
    document["links"].append([link, encoder["id"], 0, information["id"], 0, "VIDEO"])
    prompt = to_prompt(document, host.definitions())
    for node in prompt.values():
        if node["class_type"] == "AudioToMel":
            node["inputs"]["duration"] = 0.4

    shown = host.run(prompt).outputs[str(information["id"])]["text"][0]

    assert "FFmpegEncode" not in {node["class_type"] for node in prompt.values()}
    assert re.search(r"frames\s+10\b", shown)


@pytest.mark.parametrize("kind", ["rgba", "fp16"])
def test_an_image_of_another_kind_speaks_as_the_plain_one(
    host: Any, talking: Any, frames_of: Frames, kind: str
) -> None:
    def spoken(image: list[Any], prefix: str) -> np.ndarray:
        graph = talking(prefix=prefix)
        graph["9"] = host.node("ProbeImage", image=["1", 1], kind=kind)
        graph["3"]["inputs"]["avatar"] = image
        return frames_of(host.files(host.run(graph))[0])

    plain, other = spoken(["1", 1], "plain"), spoken(["9", 0], kind)
    assert np.abs(plain.astype(int) - other).max() <= (0 if kind == "rgba" else 24)
    assert np.abs(plain.astype(int) - other).mean() <= 0.5


def test_frames_and_sound_of_other_packs_shape_become_a_file(host: Any, talking: Any) -> None:
    graph = talking(prefix="frames")
    graph["4"] = host.node(
        "FFmpegEncode", images=["3", 0], audio=["3", 2], fps=25.0, filename_prefix="frames"
    )
    path = host.files(host.run(graph))[0]
    found = probe(path).as_dict()
    assert found["frame_count"] == 10
    assert VideoReader(path).has_audio
