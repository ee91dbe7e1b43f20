"""What the Comfy registry and its manager ask of a pack."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from avatarvideo import NODE_CLASS_MAPPINGS

ROOT = Path(__file__).resolve().parent.parent
if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
KNOWN_CLASSIFIERS = {  # one that the host does not know makes it drop all of them
    "Operating System :: OS Independent",
    "Operating System :: Microsoft :: Windows",
    "Operating System :: POSIX :: Linux",
    "Operating System :: MacOS",
    "Environment :: GPU :: NVIDIA CUDA",
    "Environment :: GPU :: AMD ROCm",
    "Environment :: GPU :: Intel Arc",
    "Environment :: GPU :: Apple Metal",
    "Environment :: NPU :: Huawei Ascend",
}
PACKAGES = [
    name.removeprefix("avatarvideo").removeprefix(".").replace(".", "/")
    for name in PROJECT["tool"]["setuptools"]["packages"]
]
SHIPPED = (*filter(None, PACKAGES), "web", "workflows", "subgraphs", "locales")
MODULES = [path for part in PACKAGES for path in (ROOT / part).glob("*.py")]


def test_the_name_and_version_are_the_registrys() -> None:
    project = PROJECT["project"]
    assert re.fullmatch(r"[a-z](?:[a-z0-9]|[-_.](?![-_.]))*", project["name"])
    assert len(project["name"]) < 100
    assert "comfyui" not in project["name"].lower()
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["version"])
    assert project["license-files"][0] == "LICENSE"
    assert set(project["classifiers"]) <= KNOWN_CLASSIFIERS


def test_it_says_which_host_it_needs_and_what_it_is_called() -> None:
    comfy = PROJECT["tool"]["comfy"]
    assert comfy["DisplayName"]
    assert comfy["requires-comfyui"] == ">=0.3.64"
    # The page serves a folder named here under another address than help pages are asked from.
    assert "web" not in comfy


def sides(picture: str) -> tuple[int, int]:
    head = (ROOT / "web" / picture).read_text()[:200]
    found = re.search(r'width="(\d+)" height="(\d+)"', head)
    assert found is not None
    return int(found.group(1)), int(found.group(2))


def test_the_icon_is_a_square_of_at_most_400_pixels() -> None:
    width, height = sides("icon.svg")
    assert width == height <= 400


def test_the_banner_is_21_to_9() -> None:
    width, height = sides("banner.svg")
    assert 9 * width == 21 * height
    assert (ROOT / "web" / "banner.svg").stat().st_size < 10_000


def test_what_names_an_account_is_empty_until_someone_publishes() -> None:
    comfy = PROJECT["tool"]["comfy"]
    assert (comfy["PublisherId"], comfy["Icon"], comfy["Banner"]) == ("", "", "")
    assert "urls" not in PROJECT["project"]
    assert "To publish, fill in PublisherId" in (ROOT / "pyproject.toml").read_text()


def test_the_archive_holds_what_runs_and_nothing_else() -> None:
    listed = ["git", "ls-files", "--cached", "--ignored", "--exclude-from=.comfyignore"]
    done = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("this is no clone: git does not list its files")
    left_out = done.stdout.splitlines()
    assert {path.split("/")[0] for path in left_out} == {
        *(
            ".ci",
            ".comfyignore",
            ".editorconfig",
            ".github",
            ".gitignore",
            ".pre-commit-config.yaml",
        ),
        *("CONTRIBUTING.md", "benchmarks", "constraints.txt", "docs", "tests"),
    }
    assert not [path for path in left_out if path.startswith(SHIPPED)]


def test_node_ids_can_be_read_without_running_us() -> None:
    tree = ast.parse((ROOT / "nodes" / "__init__.py").read_text())
    tables = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "NODE_CLASS_MAPPINGS"
    ]
    assert isinstance(tables[0], ast.Dict)
    assert {ast.literal_eval(key) for key in tables[0].keys if key} == set(NODE_CLASS_MAPPINGS)


@pytest.mark.slow
@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_runs_text_installs_packages_or_changes_the_process(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("eval", "exec", "os.system", "logging.basicConfig")
            assert called != "warnings.filterwarnings"
            assert "'pip'" not in ast.unparse(node)
        if isinstance(node, ast.Assign):
            of_a_host = ("torch.backends", "folder_paths.")
            if path != ROOT / "__main__.py":  # only ever the start of a process of its own
                of_a_host += ("sys.path",)
            for target in map(ast.unparse, node.targets):
                assert not target.startswith(of_a_host)
