"""The modes, ways to make an avatar speak, the best first: ``auto`` takes the first possible one.

A mode is a row here and the file of that name beside it, whose function ``make`` turns a job into
frames or says why it cannot.
"""

from __future__ import annotations

from collections.abc import Mapping

# name: what it does or needs, for the option's help.
MODES: Mapping[str, str] = {
    "musetalk": "needs the model files",
    "puppet": "warps the mouth",
    "static": "shows the picture",
}
HELP = (
    "; ".join(f"{name} {does}" for name, does in MODES.items())
    + ". auto takes the best one possible."
)
