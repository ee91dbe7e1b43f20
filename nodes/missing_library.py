"""What to say of a library that is missing or broken, which shows when it is first used."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from ..errors import MissingLibraryError

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

# Module -> what it is installed as. torchaudio is not among them: nothing stops without it.
INSTALLED_AS = {
    "numpy": "numpy",
    "cv2": "opencv-python",
    "av": "av",
    "PIL": "Pillow",
    "safetensors": "safetensors",
    "tqdm": "tqdm",
    "huggingface_hub": "huggingface_hub",
}


def naming_missing_libraries(
    function: Callable[Parameters, Result],
) -> Callable[Parameters, Result]:
    """Let a function say in one sentence which library it lacks, instead of how an import failed.

    Raises MissingLibraryError for the ImportError of a library that is listed here.
    """

    @wraps(function)
    def called(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return function(*args, **kwargs)
        except ImportError as error:
            message = _missing()
            if message is None:
                raise
            raise MissingLibraryError(message) from error

    return called


def _missing() -> str | None:
    """Say which library does not import, None when all do and the fault is another."""
    for module, package in INSTALLED_AS.items():
        try:
            importlib.import_module(module)
        except ImportError as error:
            reason = str(error).split("\n")[0].rstrip(".")
            return (
                f"This node needs {package}, which cannot be imported here ({reason}): install it "
                "into the Python that runs this."
            )
    return None
