"""``python -m avatarvideo``, or ``python FOLDER`` of a clone: the command ``avatar``."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

NAME = "avatarvideo"


def command() -> Callable[[], int]:
    """Return the command, of the package that this file lies in, installed or not.

    A folder that is run is first on sys.path, where its modules would hide others of their names.
    """
    if __package__:
        from .cli.main import main

        return main
    folder = Path(__file__).resolve().parent
    sys.path[:] = [path for path in sys.path if Path(path or ".").resolve() != folder]
    spec = importlib.util.spec_from_file_location(NAME, folder / "__init__.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder} holds no package")
    module = sys.modules[NAME] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return importlib.import_module(f"{NAME}.cli.main").main


if __name__ == "__main__":
    sys.exit(command()())
