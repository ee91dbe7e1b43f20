"""Write ``locales/en/nodeDefs.json``, the texts of the nodes as their classes say them.

Run it when a node, an input or an explanation changes: ``python -m support.make_locale`` in
``tests``. Then translate what is new in ``locales/zh/nodeDefs.json``, which is written by hand.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from avatarvideo import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

LOCALES = Path(__file__).resolve().parents[2] / "locales"
ENGLISH = LOCALES / "en" / "nodeDefs.json"
WITHOUT_A_LABEL = {"audioUI"}  # the host's own player
# Where words in place of underscores do not say enough.
LABELS = {
    "audio_bitrate": "audio bitrate (kbit/s)",
    "bbox_shift": "face box shift",
    "crf": "quality number (crf)",
    "duration": "duration (seconds)",
    "fps": "frame rate (fps)",
    "max_duration": "max duration (seconds)",
    "mel": "speech (mel)",
    "mouth": "lip corners",
    "start": "start (seconds)",
}


def english_locale() -> str:
    """Return the text of the file: labels are the names of inputs and outputs, as words."""
    nodes = {
        name: {
            "display_name": NODE_DISPLAY_NAME_MAPPINGS[name],
            "description": node.DESCRIPTION,
            "inputs": _inputs(node),
            "outputs": {
                str(place): {"name": label_of(label), "tooltip": tooltip}
                for place, (label, tooltip) in enumerate(
                    zip(node.RETURN_NAMES, node.OUTPUT_TOOLTIPS, strict=True)
                )
            },
        }
        for name, node in NODE_CLASS_MAPPINGS.items()
    }
    return json.dumps(nodes, indent=2, ensure_ascii=False) + "\n"


def label_of(name: str) -> str:
    return LABELS.get(name, name.replace("_", " "))


def _inputs(node: Any) -> dict[str, dict[str, str]]:
    groups = node.INPUT_TYPES()
    return {
        name: {"name": label_of(name), "tooltip": settings["tooltip"]}
        for name, (_kind, settings) in (groups["required"] | groups.get("optional", {})).items()
        if name not in WITHOUT_A_LABEL
    }


if __name__ == "__main__":
    ENGLISH.write_text(english_locale(), encoding="utf-8")
