"""The pack loads quickly, and whatever else is broken; a node then says what it lacks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from avatarvideo.errors import MissingLibraryError
from avatarvideo.nodes.missing_library import naming_missing_libraries

ROOT = Path(__file__).resolve().parents[2]
IMPORT_LIMIT = 0.150  # seconds of processor time beyond torch and numpy

# Loads the pack as ComfyUI does, then calls the nodes that read files.
SCRIPT = """
import importlib.util, json, sys, time
import numpy, torch
folder = sys.argv[1]
name = folder.replace(".", "_x_")
spec = importlib.util.spec_from_file_location(name, folder + "/__init__.py")
module = sys.modules[name] = importlib.util.module_from_spec(spec)
began = time.process_time()
spec.loader.exec_module(module)
nodes = module.NODE_CLASS_MAPPINGS
inputs = {key: node.INPUT_TYPES() for key, node in nodes.items()}
seconds = time.process_time() - began
heavy = [key for key in ("cv2", "av", "PIL", "torchaudio", "transformers") if key in sys.modules]
said = {}
for key, given in json.loads(sys.argv[2]).items():
    node = nodes[key]
    try:
        getattr(node(), node.FUNCTION)(**given)
        said[key] = "done"
    except Exception as error:
        said[key] = f"{type(error).__name__}: {error}"
print(json.dumps({"seconds": seconds, "heavy": heavy, "nodes": sorted(nodes), "said": said}))
"""
CALLS = {
    "LoadAvatar": {
        "avatar": "samples/portrait.png",
        "mouth": "345,438,438,438",
        "face_index": 0,
    },
    "AudioToMel": {"audio": "samples/speech.flac", "start": 0.0, "duration": 0.5},
}


def load(tmp_path: Path, *, broken: str = "", call: bool = True) -> dict[str, object]:
    """What a process of its own sees, with one library that does not import."""
    if broken:
        reason = f"lib{broken}.so.1: cannot open shared object file"
        (tmp_path / f"{broken}.py").write_text(f"raise ImportError({reason!r})\n")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(ROOT), json.dumps(CALLS if call else {})],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
        # The second run of a pack finds its modules compiled; so does every one here, in their
        # usual place: elsewhere all of torch would have to be compiled first.
        env={
            **{key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"},
            "PYTHONPATH": str(tmp_path),
            "OMP_NUM_THREADS": "1",
        },
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_importing_the_nodes_costs_little_and_loads_nothing_heavy(tmp_path: Path) -> None:
    seconds: list[float] = []
    # The first run may compile, and a busy machine is given another chance.
    while len(seconds) < 3 and min(seconds, default=IMPORT_LIMIT) >= IMPORT_LIMIT:
        found = load(tmp_path, call=False)
        assert found["heavy"] == []
        seconds.append(found["seconds"])  # type: ignore[arg-type]
    assert min(seconds) < IMPORT_LIMIT


@pytest.mark.slow
def test_without_torchaudio_everything_works(tmp_path: Path) -> None:
    found = load(tmp_path, broken="torchaudio")
    assert found["said"] == {"LoadAvatar": "done", "AudioToMel": "done"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "package"), [("cv2", "opencv-python"), ("av", "av"), ("PIL", "Pillow")]
)
def test_the_pack_loads_and_its_nodes_name_what_is_broken(
    tmp_path: Path, module: str, package: str
) -> None:
    found = load(tmp_path, broken=module)
    assert len(found["nodes"]) == 5  # type: ignore[arg-type]
    for said in found["said"].values():  # type: ignore[attr-defined]
        assert said == "done" or said == (
            f"MissingLibraryError: This node needs {package}, which cannot be imported here "
            f"(lib{module}.so.1: cannot open shared object file): install it into the Python that "
            "runs this."
        )
    assert "done" not in found["said"].values() or module == "PIL"  # type: ignore[attr-defined]


def test_an_import_error_of_our_own_is_not_blamed_on_a_library() -> None:
    @naming_missing_libraries
    def broken() -> None:
        raise ImportError("cannot import name 'gone'")

    with pytest.raises(ImportError, match="gone") as caught:
        broken()
    assert not isinstance(caught.value, MissingLibraryError)
