"""Import this first: the clone becomes ``avatarvideo``, and what its tests share ``support``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
if "avatarvideo" not in sys.modules:  # else a test runs, and it is the clone already
    import conftest  # noqa: F401
