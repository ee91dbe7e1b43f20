"""Who may import whom: a walk over the relative imports of every module."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
HOST_SIDE = {"comfy", "comfy_execution", "comfy_api", "folder_paths", "nodes", "server"}
# From the top down: a module imports from its own line and from those below it. What a longer
# name says wins over a shorter one.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("__main__",),
    ("cli",),
    ("batch",),
    ("headless",),
    ("__init__", "nodes"),
    ("musetalk.__init__", "musetalk.engine"),
    ("musetalk.modes", "musetalk.score"),
    ("musetalk.pipeline", "musetalk.puppet"),
    ("musetalk.report",),
    ("musetalk.job", "musetalk.inputs", "musetalk.speeches"),
    ("musetalk.face", "musetalk.voice", "musetalk.upscale"),
    ("musetalk.lips", "musetalk.weights"),
    ("musetalk.networks",),
    (
        "musetalk.interfaces",
        "musetalk.audio",
        "musetalk.out_of_memory",
        "musetalk.background_encode",
        "musetalk.source_frames",
        "musetalk.speaker",
        "musetalk.work",
    ),
    ("musetalk.modes.__init__",),  # the table, which imports none of them
    ("encoders.__init__", "encoders.encoder"),
    ("encoders.write",),
    ("encoders.read",),
    ("encoders.interfaces", "encoders.color", "encoders.metadata", "encoders.channel_layouts"),
    ("encoders.orientation", "encoders.tone_map", "encoders.profiles"),
    ("media", "host"),
    ("pasted",),
    ("errors", "options", "option_types", "json_values", "texts", "pace", "web_opener"),
)
# On one line these are strangers all the same.
STRANGERS = (
    ("musetalk.pipeline", "musetalk.puppet"),
    ("musetalk.modes", "musetalk.score"),
    ("musetalk.lips", "musetalk.weights"),
    ("media", "host"),
    ("errors", "options"),
)
# The stand-ins for core nodes answer for a host that has none of its own.
UPWARD = {("host.standalone", "headless.core_video")}
NETWORKS = {"unet", "vae", "taesd", "whisper", "s3fd", "rtmpose", "bisenet"}


def packages() -> list[str]:
    """The packages that an installation holds, without the root's name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    names = project["tool"]["setuptools"]["packages"]
    return [name.removeprefix("avatarvideo.") for name in names if name != "avatarvideo"]


def modules() -> list[str]:
    files = [
        *ROOT.glob("*.py"),
        *(path for name in packages() for path in ROOT.joinpath(*name.split(".")).glob("*.py")),
    ]
    return sorted(".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files)


MODULES = modules()


def source_of(module: str) -> str:
    return ROOT.joinpath(*module.split(".")).with_suffix(".py").read_text()


def own_imports(module: str) -> set[str]:
    """The dotted names of our modules that a module imports, wherever the statement stands."""
    package = module.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(source_of(module))):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        base = package[: len(package) - node.level + 1]
        target = [*base, *(node.module.split(".") if node.module else [])]
        for alias in node.names:
            inner = ".".join([*target, alias.name])
            found.add(inner if _path_of(inner) else ".".join(target))
    return {_path_of(name) or "__init__" for name in found}


def _path_of(name: str) -> str | None:
    """The dotted name of the file that a dotted name imports, or None where there is none."""
    path = ROOT.joinpath(*name.split("."))
    if path.with_suffix(".py").is_file():
        return name
    return f"{name}.__init__" if name and (path / "__init__.py").is_file() else None


def layer_of(module: str) -> int:
    matches = {
        name: line
        for line, names in enumerate(LAYERS)
        for name in names
        if module == name or module.startswith(f"{name}.")
    }
    assert matches, f"{module} has no line in LAYERS: add it where it belongs"
    return matches[max(matches, key=len)]


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_one_way(module: str) -> None:
    for imported in own_imports(module):
        if (module, imported) in UPWARD or imported == "__init__":
            continue
        assert layer_of(imported) >= layer_of(module), f"{module} imports {imported}, above it"
        for one, other in STRANGERS:
            pair = (within(module, one), within(imported, other))
            assert pair != (True, True), f"{module} imports {imported}"
            assert (within(module, other), within(imported, one)) != (True, True), (
                f"{module} imports {imported}"
            )


def circle_in(graph: dict[str, set[str]]) -> list[str]:
    """The modules of one circle in order, or none: depth first, every edge looked at once."""
    done: set[str] = set()

    def walk(module: str, way: list[str]) -> list[str]:
        if module in way:
            return [*way[way.index(module) :], module]
        if module in done:
            return []
        for imported in sorted(graph.get(module, ())):
            found = walk(imported, [*way, module])
            if found:
                return found
        done.add(module)
        return []

    return next((circle for module in sorted(graph) if (circle := walk(module, []))), [])


@pytest.mark.slow
def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {
        module: {name for name in own_imports(module) if (module, name) not in UPWARD}
        for module in MODULES
        if not module.endswith("__init__")  # a package's door names what lies behind it
    }
    assert circle_in(graph) == []


def test_a_circle_is_found() -> None:
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"d", "b"}}) == ["b", "c", "b"]
    assert circle_in({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


@pytest.mark.parametrize("module", MODULES)
def test_a_network_imports_only_errors_and_its_kind(module: str) -> None:
    if not module.startswith("musetalk.networks."):
        return
    for imported in own_imports(module):
        assert imported == "errors" or imported.startswith("musetalk.networks."), imported


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_a_plain_network_knows_no_fast_path(name: str) -> None:
    imported = own_imports(f"musetalk.networks.{name}")
    assert not [each for each in imported if within(each, "musetalk.networks.fast")]


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("nodes.")])
def test_node_classes_never_import_each_other(module: str) -> None:
    if module == "nodes.__init__":
        return
    node_modules = {name for name in own_imports("nodes.__init__") if name.startswith("nodes.")}
    assert not own_imports(module) & node_modules


@pytest.mark.parametrize("module", [m for m in MODULES if m != "host.comfy"])
def test_only_the_adapter_touches_the_host(module: str) -> None:
    absolute = set()
    for node in ast.walk(ast.parse(source_of(module))):
        if isinstance(node, ast.Import):
            absolute |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            absolute.add(node.module.split(".")[0])
    assert not absolute & HOST_SIDE


def test_the_encoder_knows_nothing_of_torch() -> None:
    encoder = [module for module in MODULES if module.startswith("encoders.")]
    assert len(encoder) > 30
    for module in encoder:
        assert "import torch" not in source_of(module), module


def test_the_walk_sees_what_is_imported() -> None:
    assert "encoders.read.file_clip" in own_imports("musetalk.inputs")
    assert "musetalk.lips.cascade" in own_imports("musetalk.lips.search")
    assert "errors" in own_imports("musetalk.audio")
    assert set(LAYERS[0]) < set(MODULES)
    assert {f"musetalk.networks.{name}" for name in NETWORKS} < set(MODULES)


def test_what_a_change_of_the_hosts_nodes_would_cost_is_small() -> None:
    # docs/decisions/0002 counts on it.
    for name in ("load_avatar", "audio_to_mel", "lip_sync", "ffmpeg_encode", "video_info"):
        lines = (ROOT / "nodes" / f"{name}.py").read_text(encoding="utf-8").splitlines()
        assert len(lines) < 200, name
