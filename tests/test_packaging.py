"""What is installed is what is here, and importing it costs and changes nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = [
    name.split(".")[1] for name in PROJECT["tool"]["setuptools"]["packages"] if name.count(".") == 1
]
SHIPPED = ("*.py", *PACKAGES, "web", "workflows", "subgraphs", "locales")
TORCH_FAMILY = ("torch", "torchvision", "torchaudio", "xformers")


def test_packages_are_the_folders_with_an_init_file() -> None:
    folders = {path.parent.relative_to(ROOT) for path in ROOT.glob("*/**/__init__.py")}
    names = {"avatarvideo"} | {
        ".".join(("avatarvideo", *folder.parts))
        for folder in folders
        if folder.parts[0] not in (".venv", "build", "tests")
    }
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == names


def test_requirements_equal_the_dependencies() -> None:
    lines = (ROOT / "requirements.txt").read_text().split("\n")
    assert [line for line in lines if line] == PROJECT["project"]["dependencies"]


def test_requirements_leave_the_torch_family_and_versions_alone() -> None:
    for line in PROJECT["project"]["dependencies"]:
        assert not line.startswith(TORCH_FAMILY)
        assert "==" not in line
        assert "<" not in line.split(";")[0]


def copy_of_the_clone(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for pattern in SHIPPED:
        for path in ROOT.glob(pattern):
            target = folder / path.name
            if path.is_dir():
                shutil.copytree(path, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(path, target)
    return folder


LOAD_BY_PATH = """
import importlib.util, json, sys
folder = sys.argv[1]
name = folder.replace(".", "_x_")
spec = importlib.util.spec_from_file_location(name, folder + "/__init__.py")
module = importlib.util.module_from_spec(spec)
sys.modules[name] = module
sys.modules |= dict.fromkeys(sys.argv[2:])  # as if they were not installed
before = set(sys.modules)
spec.loader.exec_module(module)
light = sorted(set(sys.modules) - before)
print(json.dumps({"light": light, "nodes": sorted(module.NODE_CLASS_MAPPINGS),
                  "web": module.WEB_DIRECTORY, "path": sys.path[0]}))
"""


@pytest.mark.parametrize("missing", [(), ("psutil", "websocket")])
def test_it_loads_by_path_as_the_host_loads_a_pack(
    tmp_path: Path, missing: tuple[str, ...]
) -> None:
    """Also after a git pull, before what it newly requires is installed."""
    folder = copy_of_the_clone(tmp_path / "custom.nodes" / "ComfyUI-Avatar.Video")

    done = subprocess.run(
        [sys.executable, "-c", LOAD_BY_PATH, str(folder), *missing],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    released = json.loads((ROOT / "tests" / "released_widgets.json").read_text(encoding="utf-8"))
    assert found["nodes"] == sorted(released[PROJECT["project"]["version"]])
    assert found["web"] == "./web"


@pytest.mark.slow
def test_importing_the_package_loads_no_heavy_library() -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import conftest;"
        "print([n for n in ('torch', 'cv2', 'av', 'PIL') if n in sys.modules])"
    )
    # conftest itself needs numpy and pytest only.
    done = subprocess.run(
        [sys.executable, "-c", script, str(ROOT / "tests")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": ""},
    )
    assert done.stdout.strip() == "[]"


def test_no_page_holds_marks_of_a_merge() -> None:
    pages = [
        page for folder in (".", "docs", "docs/decisions") for page in (ROOT / folder).glob("*.md")
    ]
    pages += [*(ROOT / "web" / "docs").rglob("*.md"), ROOT / "benchmarks" / "RESULTS.md"]
    assert len(pages) > 15
    marks = re.compile(r"^(<{7} |={7}$|>{7} )", re.MULTILINE)
    assert [page for page in pages if marks.search(page.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize(
    "name",
    [
        *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "NOTICE", "constraints.txt"),
        *("docs/ARCHITECTURE.md", "docs/decisions/0001-the-repository-root-is-the-package.md"),
    ],
)
def test_the_repository_holds(name: str) -> None:
    assert (ROOT / name).stat().st_size > 0
