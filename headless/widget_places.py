"""Which place of an editor file's ``widgets_values`` belongs to which input.

The list is by position: the widgets of the required inputs, then of the optional ones, with extra
places for widgets that the page adds by itself (seed control, upload button, audio player).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime

from ..json_values import JSON, is_list, is_object
from .prompt import WIDGET_TYPES, InputDefinition, NodeDefinition

PLAYER_TYPE = "AUDIO_UI"
# The page gives these core nodes a player that the server does not declare.
PLAYER_NODES = frozenset({"LoadAudio", "SaveAudio", "PreviewAudio"})
# The page fills in marks such as %date:yyyy-MM-dd% for these core nodes only.
MARKED_NODES = frozenset(
    {"SaveImage", "SaveVideo", "SaveWEBM", "SaveAudio", "SaveAudioMP3", "SaveAudioOpus"}
    | {"SaveAnimatedWEBP", "SaveAnimatedPNG", "SaveLatent"}
)
MARKED_INPUT = "filename_prefix"
_SEED_NAMES = ("seed", "noise_seed")
_UPLOADS = ("image_upload", "video_upload", "animated_image_upload")
_EMPTY = {"INT": 0, "FLOAT": 0, "STRING": "", "BOOLEAN": False}


def is_widget(definition: InputDefinition) -> bool:
    """Say whether the page draws a widget for an input, rather than a socket alone."""
    return definition.type in WIDGET_TYPES and not definition.options.get("forceInput")


def places(node: NodeDefinition) -> list[str | None]:
    """Return the input that each place belongs to; None for the page's own widgets."""
    required = [one for one in node.inputs.values() if one.required]
    optional = [one for one in node.inputs.values() if not one.required]
    player = [None] if node.class_type in PLAYER_NODES else []
    button = [None] if any(map(_is_uploaded, required)) else []
    before = [place for one in required for place in _places_of(one)]
    return [*before, *player, *button, *(place for one in optional for place in _places_of(one))]


def _places_of(definition: InputDefinition) -> list[str | None]:
    if definition.type == PLAYER_TYPE:
        return [None]
    if not is_widget(definition):
        return []
    controlled = definition.options.get("control_after_generate")
    if controlled is None:
        controlled = definition.type == "INT" and definition.name in _SEED_NAMES
    extra = (2 if definition.type == "COMBO" else 1) if controlled else 0  # a combo has a filter
    return [definition.name, *[None] * extra]


def _is_uploaded(definition: InputDefinition) -> bool:
    kinds = (*_UPLOADS, "audio_upload") if definition.name == "audio" else _UPLOADS
    return any(definition.options.get(kind) for kind in kinds)


def widget_values(node: NodeDefinition, saved: JSON) -> dict[str, JSON]:
    """Return the value of every widget of a node.

    saved: its ``widgets_values``, a list by position or an object by name; what it lacks keeps
    the widget's default, what it has too much is ignored, as in the page.
    """
    names = places(node)
    values = {name: _default(node.inputs[name]) for name in names if name is not None}
    if is_object(saved):
        values |= {name: saved[name] for name in values if name in saved}
    elif is_list(saved):
        pairs = zip(names, saved, strict=False)
        values |= {name: value for name, value in pairs if name is not None}
    return values


def _default(definition: InputDefinition) -> JSON:
    if "default" in definition.options:
        return definition.options["default"]
    if definition.type == "COMBO":
        return definition.choices[0] if definition.choices else ""
    return _EMPTY[definition.type]


def fill_marks(
    text: str, value_of: Callable[[str, str], str | None], now: datetime | None = None
) -> str:
    """Fill in %date:FORMAT% and %Node.widget% as the page does; other marks stay.

    value_of: returns a widget's value for a node's name and the widget's, None if there is none.
    """
    moment = now or datetime.now()

    def replaced(match: re.Match[str]) -> str:
        mark = match.group(1)
        parts = mark.split(".")
        if len(parts) != 2:
            return _date(mark[5:], moment) if mark.startswith("date:") else match.group(0)
        value = value_of(parts[0], parts[1])
        return match.group(0) if value is None else re.sub(r'[/?<>\\:*|"\x00-\x1f\x7f]', "_", value)

    return re.sub(r"%([^%]+)%", replaced, text)


def _date(pattern: str, moment: datetime) -> str:
    fields = dict(zip("Mdhms", moment.timetuple()[1:], strict=False))
    years = {"yyyy": str(moment.year), "yy": str(moment.year)[2:]}

    def replaced(match: re.Match[str]) -> str:
        part = match.group(0)
        if part[0] == "y":
            return years.get(part, part)
        return str(fields[part[0]]).zfill(len(part))

    return re.sub("dd?|MM?|hh?|mm?|ss?|yyy?y?", replaced, pattern)


def inputs_of(definition: NodeDefinition) -> Iterator[tuple[str, str]]:
    """Yield name and type of the input slots that the page gives a node: sockets, then widgets."""
    for wanted in (False, True):
        for name, one in definition.inputs.items():
            if one.type != PLAYER_TYPE and is_widget(one) == wanted:
                yield name, one.type
