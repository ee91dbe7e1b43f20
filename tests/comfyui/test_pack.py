"""What a real ComfyUI says of the pack, and its templates run there as without it."""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatarvideo.cli.main import main
from avatarvideo.host.current import set_host
from avatarvideo.nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
# Core's SaveVideo encodes by itself, at another quality than our stand-in: mean levels apart.
LOSS = {"frames_for_other_nodes": 4.0}


def test_all_nodes_are_there(host: Any) -> None:
    offered = host.get("/object_info")
    ours = {name: one for name, one in offered.items() if "AvatarVideo" in one["python_module"]}
    assert set(ours) == set(NODE_CLASS_MAPPINGS)
    for name, one in ours.items():
        assert one["display_name"] == NODE_DISPLAY_NAME_MAPPINGS[name]
        assert one["category"] == "avatar video"
        aliases = NODE_CLASS_MAPPINGS[name].SEARCH_ALIASES
        assert one.get("search_aliases", aliases) == aliases  # older hosts have no such search
    assert "IMPORT FAILED" not in host.log()
    assert "retrieving information for" not in host.log()


def test_templates_help_and_translations_are_served(host: Any) -> None:
    served = host.get("/workflow_templates")["ComfyUI-AvatarVideo"]
    assert sorted(served) == [path.stem for path in WORKFLOWS]
    assert "avatar_video.js" in str(host.get("/extensions"))
    for name in NODE_CLASS_MAPPINGS:
        for language in ("en", "zh"):
            address = f"{host.url}/extensions/ComfyUI-AvatarVideo/docs/{name}/{language}.md"
            with urllib.request.urlopen(address, timeout=60) as page:
                assert page.read().decode().startswith("#")
    assert set(host.get("/i18n")["zh"]["nodeDefs"]) >= set(NODE_CLASS_MAPPINGS)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_template_makes_the_same_frames_as_without_the_host(
    workflow: Path,
    host: Any,
    headless: Callable[..., list[Path]],
    frames_of: Callable[[Path], np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.chdir(tmp_path)
    nodes = json.loads(workflow.read_text(encoding="utf-8"))["nodes"]
    voices = [node["id"] for node in nodes if node["type"] == "AudioToMel"]
    short = [text for voice in voices for text in ("--set", f"{voice}.duration=0.4")]
    if len(voices) > 1:  # people are told apart by the face mesh
        (mesh,) = request.getfixturevalue("mesh_models").rglob("face_landmarker.task")
        folder = host.base / "models" / "detection"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(mesh, folder)
        request.addfinalizer((folder / mesh.name).unlink)
        monkeypatch.setenv("AVATAR_MODELS", str(folder.parent))

    code = main(["run", str(workflow), "--output-dir", "out", "--server", host.url, *short])

    set_host(None)
    out, err = capsys.readouterr()
    assert code == 0, err
    there = [Path(line) for line in out.splitlines() if line.startswith(str(tmp_path))]
    here = headless(workflow, *short)
    assert len(there) == len(here)
    for one, other in zip(there, here, strict=True):
        first, second = frames_of(one), frames_of(other)
        assert first.shape == second.shape
        apart = float(np.abs(first.astype(np.int16) - second).mean())
        assert apart <= LOSS.get(workflow.stem, 0.0)


def test_unload_models_and_free_memory_leave_the_nodes_working(host: Any, talking: Any) -> None:
    assert host.files(host.run(talking()))
    host.post("/free", {"unload_models": True, "free_memory": True})
    again = host.files(host.run(talking(prefix="after_free")))
    assert [path.exists() for path in again] == [True]


def test_an_error_names_the_node_and_what_to_do(host: Any, talking: Any) -> None:
    from avatarvideo.errors import GraphError

    graph = talking(seconds=1.0, max_duration=0.5)
    with pytest.raises(GraphError, match="raise max duration or choose a part"):
        host.run(graph)
    graph["1"]["inputs"]["avatar"] = "nobody.png"
    with pytest.raises(GraphError, match="check the name or upload it"):
        host.run(graph)
