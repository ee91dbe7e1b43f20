"""Try what strangers may do for so many seconds, and count: tried, survived, failed.

    cd tests && ../.venv/bin/python -m support.hostile SECONDS [PART...]

The parts are servers, cancels, values, signals and company. A part goes once through all it has
and then again with other dice until its share of the time is over.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def _import_package() -> None:
    spec = importlib.util.spec_from_file_location("avatarvideo", ROOT / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["avatarvideo"] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    _import_package()
    from .parts import PARTS, try_all

    seconds = float(sys.argv[1]) if sys.argv[1:] else 60.0
    first = int(os.environ.get("AVATAR_HOSTILE_FIRST", "0"))
    sys.exit(1 if try_all(seconds, sys.argv[2:] or list(PARTS), first) else 0)
