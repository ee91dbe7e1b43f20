"""Small random face networks and the goldens made from them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

SCRIPT = Path(__file__).with_name("make_goldens.py")


def _module_at(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def golden_script() -> ModuleType:
    """The script that wrote the goldens: the same networks and pictures again."""
    return _module_at(SCRIPT)


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """The small planted networks of the benchmarks."""
    return _module_at(Path(__file__).resolve().parents[3] / "benchmarks" / "tiny_models.py")


@pytest.fixture(scope="session")
def reference() -> ModuleType:
    """The independent way to a finished frame."""
    return _module_at(Path(__file__).parents[1] / "reference_path.py")


@pytest.fixture(scope="session")
def goldens() -> dict[str, np.ndarray]:
    with np.load(SCRIPT.with_name("goldens.npz")) as file:
        return dict(file)
