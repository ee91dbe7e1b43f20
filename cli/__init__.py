"""The ``avatar`` commands: each turns its arguments into one call below."""

from .main import main

__all__ = ["main"]
