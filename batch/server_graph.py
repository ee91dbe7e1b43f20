"""A row as a graph of our nodes, for ComfyUI servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from ..encoders.write.codecs import container_for
from ..errors import GraphError
from ..headless.prompt import Declared, Prompt
from ..headless.widget_places import default_of, is_widget
from ..json_values import JSON
from ..musetalk.speaker import is_track_file
from ..nodes.speakers import NUMBERS
from .rows import Task

NEEDED = ("LoadAvatar", "AudioToMel", "MuseTalkLipSync", "FFmpegEncode")
MOST_SPEAKERS = NUMBERS[-1]  # that the node has sockets for


def server_problem(task: Task) -> str:
    """Return why a server cannot make a task, empty where it can."""
    if task.threads:
        return "Expected no threads for a ComfyUI server, which chooses its own: leave them out."
    if task.workflow:
        return ""
    options = task.options
    speakers = _items(options.get("speakers"))
    people = [options, *speakers]
    if options.get("upscale_model"):
        return "Expected no upscale_model for a ComfyUI server: make a workflow that loads it."
    if any(is_track_file(one.get("face")) for one in people):
        return "Expected no track file for a ComfyUI server: make a workflow that names it there."
    if any(one.get("channel") for one in people):
        return "Expected no channel for a ComfyUI server: make a workflow with speaker per channel."
    if len(speakers) >= MOST_SPEAKERS:
        return (
            f"Expected at most {MOST_SPEAKERS} people for a ComfyUI server, got "
            f"{len(speakers) + 1}: make this row without --server."
        )
    if isinstance(options.get("fps"), str):
        return "Expected fps as a number for a ComfyUI server: a workflow can take it from a link."
    return ""


def graph_of(task: Task, avatar: Path, audio: Path, declared: Declared) -> Prompt:
    """Return a prompt that makes a row's video; files are named by their paths here.

    avatar, audio: the row's own, fetched. declared: by the server. Raises GraphError.
    """
    missing = [name for name in NEEDED if name not in declared]
    if missing:
        raise GraphError(
            f"Expected this pack's nodes on the server, but {', '.join(missing)} are not there: "
            "install it there."
        )
    options = task.options
    loaded = {
        "avatar": str(avatar),
        "mouth": ",".join(map(str, _items(options.get("mouth")))),
        "face_index": options.get("face_index", 0),
    }
    part = {"start": options.get("start", 0.0), "duration": options.get("duration", 0.0)}
    elsewhere = {*loaded, *part, "channel", "speakers", "upscale_model"}
    synced = {name: value for name, value in options.items() if name not in elsewhere}
    synced |= {"avatar": ["avatar", 0], "mel": ["speech", 0], "images_output": "never"}
    nodes = {
        "avatar": _node("LoadAvatar", loaded, declared),
        "speech": _node("AudioToMel", {"audio": str(audio), **part}, declared),
    }
    for number, speaker in enumerate(_items(options.get("speakers")), start=2):
        heard = {"audio": speaker["audio"], **part}
        nodes[f"speech {number}"] = _node("AudioToMel", heard, declared)
        synced |= {f"mel_{number}": [f"speech {number}", 0], f"face_{number}": speaker["face"]}
    nodes["lip sync"] = _node("MuseTalkLipSync", synced, declared)
    encoded: dict[str, JSON] = {
        "video": ["lip sync", 1],
        "quality": options.get("quality", "medium"),
        "container": container_for(PurePosixPath(task.output).suffix, None),
        "filename_prefix": "avatar_batch/video",  # a server keeps its own copy
    }
    nodes["file"] = _node("FFmpegEncode", encoded, declared)
    return nodes


def _items(value: Sequence[JSON] | None) -> Sequence[JSON]:
    """Return the items of an option that may be None."""
    return () if value is None else value


def _node(name: str, given: Mapping[str, JSON], declared: Declared) -> dict[str, JSON]:
    """Return a node with its defaults, and what is given of its inputs."""
    values: dict[str, JSON] = {}
    for key, one in declared[name].inputs.items():
        if key in given:
            values[key] = given[key]
        elif one.required and is_widget(one):
            values[key] = default_of(one)
    unknown = [key for key, value in given.items() if key not in values and value]
    if unknown:
        raise GraphError(
            f"Expected {', '.join(unknown)} in the server's {name}, but it has no such input: "
            "install this version of the pack there."
        )
    return {"class_type": name, "inputs": values}
