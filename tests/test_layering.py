"""Who may import whom: a walk over the relative imports of every module."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HOST_SIDE = {"comfy", "comfy_execution", "comfy_api", "folder_paths", "nodes", "server"}
NETWORKS = {
    "musetalk.unet",
    "musetalk.vae",
    "musetalk.taesd",
    "musetalk.whisper",
    "musetalk.face.s3fd",
    "musetalk.face.rtmpose",
    "musetalk.face.bisenet",
}
MEDIA_SIDE = {"encoders", "media", "errors", "system_memory", "system_processors"}
WIRE = {"wire", "media", "errors"}
# module or package -> what of ours it may import
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "system_memory": set(),
    "system_processors": set(),
    "libraries": {"errors"},
    "media": {"errors"},
    "naming": {"errors"},
    "wire": {"media", "errors"},
    "encoders": MEDIA_SIDE,
    "musetalk": {"musetalk", "media", "errors", "system_memory"},
    "musetalk.engine": {
        "musetalk",
        "encoders",
        "host",
        "inputs",
        "system_memory",
        "media",
        "errors",
    },
    "streaming_video": WIRE | {"encoders"},
    "file_video": WIRE | {"encoders", "system_memory"},
    "video_input": WIRE | {"encoders", "streaming_video"},
    "video_output": WIRE | {"encoders", "streaming_video", "video_input"},
    "inputs": WIRE | {"encoders", "musetalk", "video_input"},
    "prompts": {"prompts", "errors"},
    "graph": {"errors", "prompts"},
    "workflow_json": {"errors", "prompts"},
    "servers": {"servers", "prompts", "errors"},
    "comfy_client": {"errors", "prompts", "servers"},
    "commands.session": {"errors", "host"},
    "commands.config_options": {"errors", "prompts"},
    "host": {"errors", "system_memory", "comfy_host"},
    "headless": {
        "errors",
        "graph",
        "host",
        "nodes",
        "prompts",
        "workflow_json",
    },
    "comfy_host": {"host", "errors", "system_memory"},
    "nodes": {
        *WIRE,
        "nodes",
        "musetalk",
        "encoders",
        "host",
        "naming",
        "libraries",
        "inputs",
        "file_video",
        "streaming_video",
        "video_input",
        "video_output",
    },
    "__init__": {"nodes"},
    "__main__": {"cli"},
}
PACKAGES = ("nodes", "musetalk", "encoders", "prompts", "servers", "commands")
EVERYTHING = {"cli", "commands"}


def modules() -> list[str]:
    files = [
        *ROOT.glob("*.py"),
        *(p for d in PACKAGES for p in (ROOT / d).rglob("*.py")),
    ]
    return sorted(".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files)


def own_imports(module: str) -> set[str]:
    """The dotted names of our modules that a module imports, wherever the statement stands."""
    path = ROOT.joinpath(*module.split(".")).with_suffix(".py")
    package = module.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            target = [*base, *(node.module.split(".") if node.module else [])]
            found |= (
                {".".join([*target, alias.name]) for alias in node.names}
                if not node.module
                else {".".join(target)}
            )
    return {name for name in found if _is_module(name)}


def _is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def rule_for(module: str) -> set[str] | None:
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        if name in ALLOWED:
            return ALLOWED[name]
    return None


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_only_what_it_may(module: str) -> None:
    allowed = rule_for(module)
    if allowed is None and module.split(".")[0] in EVERYTHING:
        return
    assert allowed is not None, f"{module} has no rule: add one"
    tops = {name.split(".")[0] for name in own_imports(module)}
    assert tops <= allowed, f"{module} imports {sorted(tops - allowed)}"


@pytest.mark.parametrize("module", sorted(NETWORKS))
def test_a_network_imports_only_errors_and_other_networks(module: str) -> None:
    allowed = {"errors", "musetalk.blocks", "musetalk.convolution", "musetalk.fused", *NETWORKS}
    assert own_imports(module) <= allowed


@pytest.mark.parametrize("module", [m for m in modules() if m.startswith("nodes.")])
def test_nodes_never_import_each_other(module: str) -> None:
    if module == "nodes.__init__":
        return
    others = {name for name in own_imports(module) if name.startswith("nodes.")}
    assert others <= {"nodes.widgets", "nodes.encode_widgets"}


@pytest.mark.parametrize("module", [m for m in modules() if m != "comfy_host"])
def test_only_the_adapter_touches_the_host(module: str) -> None:
    path = ROOT.joinpath(*module.split(".")).with_suffix(".py")
    absolute = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            absolute |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            absolute.add(node.module.split(".")[0])
    assert not absolute & HOST_SIDE


def test_the_encoder_knows_nothing_of_torch() -> None:
    for path in (ROOT / "encoders").glob("*.py"):
        assert "import torch" not in path.read_text(), path.name


def test_the_walk_sees_an_upward_import(tmp_path: Path) -> None:
    assert "encoders.reader" in own_imports("inputs")
    assert "errors" in own_imports("musetalk.audio")
