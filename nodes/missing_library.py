"""One sentence for a library that is missing or broken when a node first uses it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from ..errors import MissingLibraryError

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

# torchaudio is left out: everything works without it.
MODULES = ("numpy", "cv2", "av", "PIL", "safetensors", "tqdm", "huggingface_hub")
PACKAGES = {"cv2": "opencv-python", "PIL": "Pillow"}  # where the package has another name


def naming_missing_libraries(
    function: Callable[Parameters, Result],
) -> Callable[Parameters, Result]:
    """Turn a function's ImportError of a library listed here into a MissingLibraryError."""

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
    for module in MODULES:
        try:
            importlib.import_module(module)
        except ImportError as error:
            package, reason = PACKAGES.get(module, module), str(error).split("\n")[0].rstrip(".")
            return (
                f"This node needs {package}, which cannot be imported here ({reason}): install it "
                "into the Python that runs this."
            )
    return None
