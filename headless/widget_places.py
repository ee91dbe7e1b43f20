"""Which place of an editor file's ``widgets_values`` belongs to which input.

The list is by position: the widgets of the required inputs, then of the optional ones, with extra
places for widgets that the page adds by itself (seed control, upload button, audio player). What a
choice of a dynamic combo brings follows the combo. Newer pages also save the values by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
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
_PAGE_ONLY = frozenset(
    {"upload", "audioUI", "control_after_generate", "control_filter_list"}
    | {"fixed", "randomize", "increment", "decrement"}  # what the seed control may be called
)
_EMPTY = {"INT": 0, "FLOAT": 0, "STRING": "", "BOOLEAN": False}


def is_widget(definition: InputDefinition) -> bool:
    """Say whether the page draws a widget for an input, rather than a socket alone."""
    return definition.widget_type in WIDGET_TYPES and not definition.options.get("forceInput")


def places(
    node: NodeDefinition, saved: Sequence[JSON] = (), more: Container[str] = ()
) -> list[str | None]:
    """Return the input that each place belongs to; None for the page's own widgets.

    saved: the values in these places, by which dynamic combos choose the inputs that follow them.
    more: names of inputs that are widgets although their types do not tell.
    """
    found: list[str | None] = []

    def add(one: InputDefinition) -> None:
        index = len(found)
        found.extend(_places_of(one, more))
        if one.branches:
            chosen = saved[index] if index < len(saved) else default_of(one)
            for inner in one.branch(chosen):
                add(inner)

    required = [one for one in node.inputs.values() if one.required]
    for one in required:
        add(one)
    found += [None] * (node.class_type in PLAYER_NODES)
    found += [None] * any(map(_is_uploaded, required))  # the button
    for one in node.inputs.values():
        if not one.required:
            add(one)
    return found


def _places_of(definition: InputDefinition, more: Container[str]) -> list[str | None]:
    if definition.type == PLAYER_TYPE:
        return [None]
    if not is_widget(definition) and definition.name not in more:
        return []
    controlled = definition.options.get("control_after_generate")
    if controlled is None:
        controlled = definition.type == "INT" and definition.name in _SEED_NAMES
    extra = (2 if definition.type == "COMBO" else 1) if controlled else 0  # a combo has a filter
    return [definition.name, *[None] * extra]


def _is_uploaded(definition: InputDefinition) -> bool:
    kinds = (*_UPLOADS, "audio_upload") if definition.name == "audio" else _UPLOADS
    return any(definition.options.get(kind) for kind in kinds)


def widget_values(
    node: NodeDefinition, saved: JSON, named: JSON = None, sockets: Container[str] = ()
) -> dict[str, JSON]:
    """Return the value of every widget of a node.

    saved: its ``widgets_values``, a list by position or an object by name. named: its
    ``widgets_values_named``, which newer pages add and which wins. sockets: inputs that are known
    to be no widgets. What is lacking keeps the widget's default, what is too much is ignored, as
    in the page.
    """
    if is_object(named):
        # Scripts of packs add widgets that no class declares, and the page submits them too.
        more = {n: v for n, v in named.items() if n not in _PAGE_ONLY and v is not None}
        return more | _filled(node.inputs.values(), named)
    if not is_object(saved):
        saved = _by_place(node, saved, sockets) if is_list(saved) else {}
    return _filled(node.inputs.values(), saved)


def _by_place(node: NodeDefinition, saved: list[JSON], sockets: Container[str]) -> dict[str, JSON]:
    unknown = [one for one in node.inputs.values() if _may_be_a_widget(one, sockets)]
    likely = {one.name for one in unknown if "default" in one.options}
    every = {one.name for one in unknown}
    full = [value for value in saved if value is not None]  # widgets that are not saved leave holes
    tried = ((saved, ()), (saved, likely), (full, ()), (full, likely), (saved, every))
    pairs = [(places(node, listed, more), listed) for listed, more in tried]
    fits = [(names, listed) for names, listed in pairs if len(names) == len(listed)]
    names, listed = (fits or pairs[1:])[0]
    return {name: value for name, value in zip(names, listed, strict=False) if name is not None}


def _may_be_a_widget(definition: InputDefinition, sockets: Container[str]) -> bool:
    """Say whether a pack's own script may draw a widget for an input."""
    known = is_widget(definition) or definition.options.get("forceInput")
    return not known and definition.type != PLAYER_TYPE and definition.name not in sockets


def _filled(inputs: Iterable[InputDefinition], given: Mapping[str, JSON]) -> dict[str, JSON]:
    values: dict[str, JSON] = {}
    for one in inputs:
        if one.name in given or is_widget(one):
            values[one.name] = given[one.name] if one.name in given else default_of(one)
            values |= _filled(one.branch(values[one.name]), given)
    return values


def default_of(definition: InputDefinition) -> JSON:
    """Return what a widget holds before anybody touches it."""
    if "default" in definition.options:
        return definition.options["default"]
    if definition.choices is not None:
        return definition.choices[0] if definition.choices else ""
    return _EMPTY.get(definition.widget_type)


def branch_defaults(definition: InputDefinition, chosen: JSON) -> dict[str, JSON]:
    """Return the widgets that a choice of a dynamic combo brings, as they are at first."""
    return _filled(definition.branch(chosen), {})


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
