"""The command ``avatar``."""

try:
    from .main import main
except KeyboardInterrupt:  # Ctrl-C while the libraries load
    raise SystemExit(130) from None

__all__ = ["main"]
