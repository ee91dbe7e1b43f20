"""Read what coverage saw: of every module at least one function must have run, not just its import.

It reads from its input what ``coverage json`` reports of the fast tests, as ``.ci/run full`` does.
"""

from __future__ import annotations

import json
import sys


def main() -> int:
    """Name the modules of which nothing ran; return how many there are."""
    idle: list[str] = []
    for path, seen in json.load(sys.stdin)["files"].items():
        # Under no name coverage lists what stands outside of functions.
        functions = [lines for name, lines in seen["functions"].items() if name]
        ran = any(lines["executed_lines"] for lines in functions)
        if not ran and any(lines["missing_lines"] for lines in functions):
            idle.append(path)
    for path in idle:
        print(f"Expected a fast test that runs a function of {path}, found none: add one.")
    return len(idle)


if __name__ == "__main__":
    sys.exit(min(main(), 1))
