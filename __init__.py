"""Lip-sync for ComfyUI, for Python and for the command line; this file is ComfyUI's door.

Importing it does nothing: no weights, no device query, no file search. Inside ComfyUI it hands
over the node classes; elsewhere they are imported only when asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

__version__ = "0.1.0"
__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "WEB_DIRECTORY"]

WEB_DIRECTORY = "./web"


def __getattr__(name: str) -> Any:  # Any: either mapping
    # ComfyUI asks for these right after importing us; nobody else pays for torch and OpenCV.
    if name in ("NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"):
        from . import nodes

        return getattr(nodes, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
