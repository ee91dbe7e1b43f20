"""Reads the workflow in a file: JSON, or what ComfyUI and we keep in pictures and videos."""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import GraphError
from ..json_values import JSON, is_object


def read_workflow(path: str | Path) -> dict[str, JSON]:
    """Return the object in a workflow file. Raises GraphError when there is none."""
    path = Path(path)
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise GraphError(
            f"Expected a workflow file, cannot read {path}: {error.strerror}."
        ) from error
    except UnicodeDecodeError as error:
        raise GraphError(f"Expected a workflow in JSON, {path} is not a text file.") from error
    except (ValueError, RecursionError) as error:
        raise GraphError(f"Expected a workflow in JSON, {path} is broken: {error}.") from error
    if not is_object(document):
        raise GraphError(
            f"Expected a workflow, {path} holds {type(document).__name__}: save it from ComfyUI."
        )
    return dict(document)
