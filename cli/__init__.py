"""The command ``avatar``."""

import os
import sys


def _end(what: "sys.UnraisableHookArgs") -> None:
    """End at Ctrl-C in a callback of the import machinery, out of which Python raises nothing."""
    if issubclass(what.exc_type, KeyboardInterrupt):
        os._exit(130)
    _hook(what)


_hook, sys.unraisablehook = sys.unraisablehook, _end
try:
    from .main import main
except KeyboardInterrupt:  # Ctrl-C while the libraries load
    raise SystemExit(130) from None
finally:
    sys.unraisablehook = _hook

__all__ = ["main"]
