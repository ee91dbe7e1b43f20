"""Read what coverage saw: of every module at least one function must have run, not just its import.

After ``coverage run --source=. -m pytest -m "not slow"``, from the root.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from coverage import CoverageData

ROOT = Path(__file__).resolve().parent.parent
NOT_OURS = {"tests", "benchmarks", "build", "dist"}


def function_lines(source: str) -> set[int]:
    """Return the lines of statements inside functions, without the lines that define them."""
    return {
        line
        for function in ast.walk(ast.parse(source))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for statement in function.body
        if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        for line in range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)
    }


def modules() -> list[Path]:
    """Return the files of the package."""
    return sorted(
        path
        for path in ROOT.rglob("*.py")
        if path.relative_to(ROOT).parts[0] not in NOT_OURS
        and not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
    )


def main() -> int:
    """Name the modules of which nothing ran; return how many there are."""
    data = CoverageData()
    data.read()
    idle = []
    for path in modules():
        inside = function_lines(path.read_text(encoding="utf-8"))
        if inside and not inside & set(data.lines(str(path)) or ()):
            idle.append(path.relative_to(ROOT))
    for path in idle:
        print(f"Expected a fast test that runs a function of {path}, found none: add one.")
    return len(idle)


if __name__ == "__main__":
    sys.exit(min(main(), 1))
