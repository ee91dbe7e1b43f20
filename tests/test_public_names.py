"""Names that users wrote down: in scripts, settings, saved files. None of them may go or change.

``public_names.json`` holds them. A test fails where one is gone, and where there is a new one that
the file does not hold yet: ``pytest tests/test_public_names.py --write-names`` adds new ones. It
never takes one out; who means to break what users wrote does that by hand, and says so in the
changelog. Node ids, widgets and their order are in ``released_widgets.json``.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from PIL import Image

from avatarvideo import encoders, musetalk
from avatarvideo.cli.main import avatar
from avatarvideo.encoders.metadata import tags_for
from avatarvideo.encoders.write.custom_formats import read_format
from avatarvideo.errors import EncodeError
from avatarvideo.media import LipCorners
from avatarvideo.musetalk import LipSyncConfig, LipSyncRun, MuseTalkLipSync
from support.small_clips import Clips

ROOT = Path(__file__).resolve().parent.parent
KEPT = Path(__file__).with_name("public_names.json")
PORTRAIT = ROOT / "web" / "samples" / "portrait.png"
LIPS = LipCorners(352, 437, 441, 440)  # in pixels of the portrait
PACKAGES = ("cli", "encoders", "headless", "host", "musetalk", "nodes")
SETTINGS = re.compile(r"AVATAR_[A-Z_]+")


def exported() -> dict[str, list[str]]:
    return {"avatarvideo.musetalk": musetalk.__all__, "avatarvideo.encoders": encoders.__all__}


def fields() -> dict[str, list[str]]:
    kinds = (
        *(musetalk.LipSyncConfig, musetalk.LipSyncResult),
        *(encoders.EncodingConfig, encoders.EncodingResult),
    )
    return {kind.__name__: [field.name for field in dataclasses.fields(kind)] for kind in kinds}


def arguments() -> dict[str, list[str]]:
    """What calls from Python name: the arguments of an engine's and an encoder's methods."""
    calls: dict[str, Callable[..., Any]] = {"encode_frames": encoders.encode_frames}
    for kind in (musetalk.LipSyncEngineInterface, encoders.VideoEncoderInterface):
        for name in sorted(kind.__abstractmethods__):
            calls[f"{kind.__name__}.{name}"] = getattr(kind, name)
    return {
        name: [one for one in inspect.signature(call).parameters if one != "self"]
        for name, call in calls.items()
    }


def flags() -> dict[str, list[str]]:
    """Every flag and argument of every command, by the command as it is typed."""
    whole = avatar.make_context("avatar", [], resilient_parsing=True)
    return {
        context.command_path: sorted(
            flag
            for one in context.command.get_params(context)
            for flag in (
                (*one.opts, *one.secondary_opts) if isinstance(one, click.Option) else [one.name]
            )
            if flag is not None
        )
        for context in commands(whole)
    }


def commands(context: click.Context) -> Iterator[click.Context]:
    """The context of a command, and those of all commands in it."""
    yield context
    if isinstance(context.command, click.Group):
        for name, inner in context.command.commands.items():
            if inner.hidden:  # nobody writes it down
                continue
            yield from commands(click.Context(inner, context, name))


def settings() -> list[str]:
    """The environment variables of ours that the package's texts name."""
    return sorted(
        {
            node.value
            for package in PACKAGES
            for path in (ROOT / package).rglob("*.py")
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and SETTINGS.fullmatch(node.value)
        }
    )


def format_keys(folder: Path) -> list[str]:
    """The keys that a format of a user's own may hold, as its refusal lists them."""
    (folder / "own.json").write_text('{"no such key": 1}')
    with pytest.raises(EncodeError) as refusal:
        read_format(folder, "user/own")
    listed = re.match(r"Expected only (.+) in 'own\.json'", str(refusal.value))
    assert listed is not None, refusal.value
    return listed.group(1).split(", ")


def keys(value: dict[str, Any], prefix: str = "") -> list[str]:
    """The keys of nested dictionaries, written with dots."""
    found = []
    for key, inner in value.items():
        found.append(prefix + key)
        if isinstance(inner, dict):
            found += keys(inner, f"{prefix}{key}.")
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LipSyncRun]:
    """A run of each mode, MuseTalk's with tiny networks."""
    clips = Clips(tmp_path_factory.mktemp("names"))
    clip = clips.job("f", seconds=0.12)
    engine = MuseTalkLipSync(host=clips.host, models=clips.CountingModels())
    with Image.open(PORTRAIT) as picture:
        portrait = clips.avatar([np.array(picture.convert("RGB"))], corners=LIPS)
    return {
        "musetalk": engine.run(
            clip.avatar, clip.mel, LipSyncConfig(mode="musetalk"), mask=clips.everywhere
        ),
        "puppet": engine.run(portrait, clip.mel, LipSyncConfig(mode="puppet")),
        "static": engine.run(portrait, clip.mel, LipSyncConfig(mode="static")),
    }


@pytest.fixture(scope="module")
def names(
    runs: dict[str, LipSyncRun], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, list[str]]]:
    """All public names as they are now, in groups."""
    tags = tags_for(workflow={}, prompt={}, mode="puppet", model="v1.5")
    return {
        "exported": exported(),
        "fields": fields(),
        "arguments": arguments(),
        "attributes": {
            "LipSyncRun": [name for name in dir(runs["static"]) if not name.startswith("_")]
        },
        "reports": {mode: keys(run.report) for mode, run in runs.items()},
        "flags": flags(),
        "settings": {"environment": settings()},
        "formats": {"keys": format_keys(tmp_path_factory.mktemp("formats"))},
        "tags": {
            "of an encode": [*tags],
            "of a run": [*runs["musetalk"].metadata()],
            "avatarvideo": [*json.loads(runs["puppet"].metadata()["avatarvideo"])],
        },
    }


@pytest.fixture(scope="module")
def kept(
    names: dict[str, dict[str, list[str]]], request: pytest.FixtureRequest
) -> dict[str, dict[str, list[str]]]:
    """The names in the file, new ones added first where that was asked for."""
    held = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    if request.config.getoption("--write-names"):
        for group, parts in names.items():
            for part, listed in parts.items():
                before = held.setdefault(group, {}).get(part, [])
                held[group][part] = sorted({*before, *listed})
        KEPT.write_text(json.dumps(held, indent=1) + "\n")
    return held


def missing(
    wanted: dict[str, dict[str, list[str]]], there: dict[str, dict[str, list[str]]]
) -> list[str]:
    """The names of ``wanted`` that are not ``there``, each with its group and part."""
    return [
        f"{group}: {part}: {name}"
        for group, parts in wanted.items()
        for part, listed in parts.items()
        for name in listed
        if name not in there.get(group, {}).get(part, [])
    ]


@pytest.mark.slow
def test_no_public_name_is_gone(names: Any, kept: Any) -> None:
    assert missing(kept, names) == [], "users wrote these down: keep them"


def test_every_public_name_is_in_the_file(names: Any, kept: Any) -> None:
    assert missing(names, kept) == [], (
        "add them by: pytest tests/test_public_names.py --write-names"
    )


def test_the_readme_names_every_setting(kept: Any) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in kept["settings"]["environment"] if f"`{name}`" not in text] == []


def test_a_missing_name_is_told_with_its_place() -> None:
    held = {"flags": {"avatar run": ["--set", "--server"]}}
    assert missing(held, {"flags": {"avatar run": ["--set"]}}) == ["flags: avatar run: --server"]
    assert missing(held, {}) == ["flags: avatar run: --set", "flags: avatar run: --server"]


def test_the_walk_finds_the_names_of_every_kind(names: Any) -> None:
    assert "FFmpegEncoder" in names["exported"]["avatarvideo.encoders"]
    assert "quality" in names["fields"]["LipSyncConfig"]
    assert "avatar_image" in names["arguments"]["LipSyncEngineInterface.generate"]
    assert "frame_count" in names["attributes"]["LipSyncRun"]
    assert {"face.method", "seconds.generate"} <= set(names["reports"]["musetalk"])
    assert "--server" in names["flags"]["avatar run"]
    assert "--bbox-shift" in names["flags"]["avatar video lipsync"]
    assert "AVATAR_MODELS" in names["settings"]["environment"]
    assert "pixel_format" in names["formats"]["keys"]
    assert "avatar_mode" in names["tags"]["of an encode"]
