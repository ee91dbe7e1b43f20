"""What a ComfyUI prompt (API format) is made of: nodes, links, input definitions, and their rules.

A prompt maps node ids to ``{"class_type", "inputs", "_meta": {"title"}}``; an input is a constant
or a link ``["id", output index]``; a constant list is wrapped as ``{"__value__": [...]}``.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeGuard

from ..errors import GraphError
from ..json_values import JSON, is_list, is_object
from ..texts import one_line

Prompt = Mapping[str, JSON]
NodeTable = Mapping[str, type]  # class_type -> V1 node class
Value: TypeAlias = Any  # what nodes take and give: only their classes know the type

DYNAMIC_COMBO = "COMFY_DYNAMICCOMBO_V3"  # a combo whose choices bring inputs of their own
# What the page draws a widget for; every other type is a socket alone.
WIDGET_TYPES = frozenset(
    {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", DYNAMIC_COMBO, "COLOR", "COLORS", "CURVE"}
    | {"RANGE", "MARKDOWN", "TEXTAREA", "BOUNDING_BOX", "BOUNDING_BOXES", "CHART", "GALLERIA"}
    | {"PAINTER", "COMPOSITOR", "VIDEO_EDIT", "AUDIO_RECORD", "WEBCAM", "LOAD_3D"}
    | {"LOAD_3D_ADVANCED"}
)
ANY_TYPE = "*"
SHOWN_CHOICES = 12
LONGEST_SUGGESTED = 100  # characters: comparing takes the square of it
SHOWN_VALUE = 100  # characters of a value in a message
SHOWN_PROBLEMS = 3


@dataclass(frozen=True)
class InputDefinition:
    """One declared input.

    choices: the list of a combo, None where there is none.
    branches: the inputs that each choice of a dynamic combo brings, with dotted names.
    """

    name: str
    type: str
    options: Mapping[str, JSON] = field(default_factory=dict[str, JSON])
    choices: tuple[JSON, ...] | None = None
    required: bool = True
    branches: tuple[tuple[InputDefinition, ...], ...] = ()

    def branch(self, chosen: JSON) -> tuple[InputDefinition, ...]:
        """Return the inputs that a choice brings, none for a choice that is not there."""
        pairs = zip(self.choices or (), self.branches, strict=False)
        return next((inputs for key, inputs in pairs if key == chosen), ())

    @property
    def widget_type(self) -> str:
        """The type by which the page chooses a widget: a union may name one of its types."""
        return str(self.options.get("widgetType") or self.type)

    @property
    def types(self) -> frozenset[str]:
        """The types a union socket such as "IMAGE,VIDEO" takes."""
        return frozenset(part.strip() for part in self.type.split(","))


@dataclass(frozen=True)
class NodeDefinition:
    """What a node class declares; ``inputs`` in order, the required ones first."""

    class_type: str
    inputs: Mapping[str, InputDefinition]
    outputs: tuple[str, ...]
    hidden: Mapping[str, str]
    is_output: bool
    display_name: str = ""

    @classmethod
    def from_class(cls, class_type: str, node: type, display_name: str = "") -> NodeDefinition:
        """Read a V1 node class."""
        declared: Value = node
        info = {
            "input": declared.INPUT_TYPES(),
            "output": getattr(node, "RETURN_TYPES", ()),
            "output_node": getattr(node, "OUTPUT_NODE", False),
            "display_name": display_name,
        }
        return cls.from_object_info(class_type, info)

    @classmethod
    def from_object_info(cls, class_type: str, info: Mapping[str, JSON]) -> NodeDefinition:
        """Read one entry of a server's ``/object_info``."""
        return cls(
            class_type,
            _inputs(info.get("input", {}), info.get("input_order") or {}),
            tuple(_type_name(name) for name in info.get("output", ())),
            dict(info.get("input", {}).get("hidden", {})),
            info.get("output_node") is True,
            info.get("display_name") or class_type,
        )

    def live_inputs(self, values: Mapping[str, JSON]) -> dict[str, InputDefinition]:
        """Return the inputs that a node with these values has: dynamic combos bring theirs."""
        return {one.name: one for one in _live(self.inputs.values(), values)}


Declared: TypeAlias = Mapping[str, NodeDefinition]  # by class_type


def _live(
    inputs: Iterable[InputDefinition], values: Mapping[str, JSON]
) -> Iterator[InputDefinition]:
    for one in inputs:
        yield one
        if one.branches:
            yield from _live(one.branch(values.get(one.name)), values)


def _inputs(
    declared: Mapping[str, JSON], order: Mapping[str, list[str]], prefix: str = ""
) -> dict[str, InputDefinition]:
    found: dict[str, InputDefinition] = {}
    for group in ("required", "optional"):
        entries = declared.get(group, {})
        for name in order.get(group) or entries:
            if name in entries:
                full = prefix + name
                found[full] = _input(full, entries[name], required=group == "required")
    return found


def _input(name: str, entry: JSON, *, required: bool) -> InputDefinition:
    kind, *rest = entry if _is_sequence(entry) else (entry,)
    options: Mapping[str, JSON] = rest[0] if rest and is_object(rest[0]) else {}
    choices = kind if _is_sequence(kind) else options.get("options")
    branches: tuple[tuple[InputDefinition, ...], ...] = ()
    if kind == DYNAMIC_COMBO and _is_sequence(choices):
        choices = [one for one in choices if is_object(one)]
        branches = tuple(
            tuple(_inputs(one.get("inputs") or {}, {}, f"{name}.").values()) for one in choices
        )
        choices = [one.get("key") for one in choices]
    listed = tuple(choices) if _is_sequence(choices) else None
    return InputDefinition(name, _type_name(kind), options, listed, required, branches)


def _type_name(kind: JSON) -> str:
    return "COMBO" if _is_sequence(kind) else str(kind)


def _is_sequence(value: object) -> TypeGuard[Sequence[JSON]]:
    return isinstance(value, (list, tuple))


def definitions(
    nodes: NodeTable, display_names: Mapping[str, str] | None = None
) -> dict[str, NodeDefinition]:
    """Return what every class of a node table declares."""
    shown = display_names or {}
    return {n: NodeDefinition.from_class(n, node, shown.get(n, "")) for n, node in nodes.items()}


def is_link(value: JSON) -> bool:
    """Say whether an input is a well-formed link."""
    return is_list(value) and [type(part) for part in value] == [str, int]


def natural_order(node_id: str) -> tuple[list[tuple[int, str]], str]:
    """Sort key for node ids: 2 before 10, and parts of sub-graph ids ("3:10") one by one."""
    parts = [(int(p), "") if p.isdecimal() and len(p) < 20 else (-1, p) for p in node_id.split(":")]
    return parts, node_id


def title_of(node: Mapping[str, JSON]) -> JSON:
    """Return the title that a node was given, None without one."""
    meta = node.get("_meta")
    return meta.get("title") if is_object(meta) else None


def describe(prompt: Prompt, node_id: str) -> str:
    """Name a node for an error: id, title where it has one, class."""
    found = prompt.get(node_id)
    node: Mapping[str, JSON] = found if is_object(found) else {}
    title = title_of(node)
    class_type = node.get("class_type", "no class")
    shown = f' "{title}"' if title and title != class_type else ""
    return one_line(f"Node {node_id}{shown} ({class_type})")


def first_problems(problems: Sequence[str]) -> str:
    """Join the first problems to one sentence that says how many more there are."""
    more = len(problems) - SHOWN_PROBLEMS
    end = f"; and {more} more problems." if more > 0 else "."
    return "; ".join(problems[:SHOWN_PROBLEMS]) + end


def suggestion(wanted: JSON, known: Iterable[JSON]) -> str:
    """Return " (did you mean ...?)" when something known is spelled alike, else nothing."""
    close = difflib.get_close_matches(
        str(wanted)[:LONGEST_SUGGESTED], [str(name) for name in known], n=1
    )
    return f" (did you mean {close[0]!r}?)" if close else ""


def constant(value: JSON, definition: InputDefinition, *, check_range: bool = True) -> JSON:
    """Return a constant as the node gets it. Raises GraphError (without the node's name)."""
    if is_object(value) and "__value__" in value:
        value = value["__value__"]
    if definition.widget_type in _KINDS:
        convert, wanted = _KINDS[definition.widget_type]
        try:
            value = convert(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise GraphError(
                f"input {definition.name!r}: expected {wanted}, got {value!r:.{SHOWN_VALUE}}"
            ) from error
    if check_range:
        _check_range(value, definition)
    return value


def _integer(value: JSON) -> int:
    if isinstance(value, float) and value % 1:
        raise ValueError("not whole")
    return int(value)


def _number(value: JSON) -> float:
    if not math.isfinite(number := float(value)):
        raise ValueError("not finite")
    return number


def _text(value: JSON) -> str:
    if not isinstance(value, (str, int, float)):
        raise TypeError("not text")
    return str(value)


def _flag(value: JSON) -> bool:
    # The host takes any text for true, "false" among them.
    if value not in (0, 1):
        raise ValueError("neither true nor false")
    return bool(value)


_KINDS = {
    "INT": (_integer, "a whole number"),
    "FLOAT": (_number, "a finite number"),
    "STRING": (_text, "text"),
    "BOOLEAN": (_flag, "true or false"),
}


def _check_range(value: JSON, definition: InputDefinition) -> None:
    name, options = definition.name, definition.options
    if definition.widget_type in ("INT", "FLOAT"):
        low, high = options.get("min"), options.get("max")
        if (low is not None and value < low) or (high is not None and value > high):
            raise GraphError(
                f"input {name!r}: expected {_bounds(low, high)}, got {value!r:.{SHOWN_VALUE}}"
            )
    if definition.choices is not None:
        chosen = value if options.get("multiselect") and is_list(value) else [value]
        for one in chosen:
            if one not in definition.choices:
                raise GraphError(
                    f"input {name!r}: expected {_one_of(definition.choices)}, "
                    f"got {one!r:.{SHOWN_VALUE}}" + suggestion(one, definition.choices)
                )


def _bounds(low: JSON, high: JSON) -> str:
    if low is None:
        return f"at most {high}"
    return f"at least {low}" if high is None else f"a value from {low} to {high}"


def _one_of(choices: tuple[JSON, ...]) -> str:
    if not choices:
        return "a choice from a list that is empty"
    listed = ", ".join(str(choice) for choice in choices[:SHOWN_CHOICES])
    more = len(choices) - SHOWN_CHOICES
    return f"one of {listed}" + (f" and {more} more" if more > 0 else "")


def output_nodes(prompt: Prompt, declared: Declared) -> list[str]:
    """Return the ids of the nodes that everything is run for, in natural order."""
    outputs = {name for name, definition in declared.items() if definition.is_output}
    return sorted(
        (n for n, node in prompt.items() if node["class_type"] in outputs), key=natural_order
    )


def output_entries(shown: Mapping[str, JSON]) -> list[Mapping[str, JSON]]:
    """Return the entries of files in the output folder among what a node shows."""
    entries = [one for listed in shown.values() if is_list(listed) for one in listed]
    return [one for one in entries if is_object(one) and one.get("type") == "output"]


def links_of(prompt: Prompt, declared: Declared, node_id: str) -> dict[str, tuple[str, int]]:
    """Return the declared inputs of a node that are linked, with source and output index."""
    inputs = prompt[node_id].get("inputs", {})
    names = declared[prompt[node_id]["class_type"]].live_inputs(inputs)
    return {n: (inputs[n][0], inputs[n][1]) for n in names if is_link(inputs.get(n))}


def reachable(prompt: Prompt, declared: Declared, roots: Iterable[str]) -> list[str]:
    """Return everything the roots need, themselves included, in natural order."""

    def sources(node_id: str) -> list[str]:
        linked = links_of(prompt, declared, node_id).values()
        return [source for source, _ in linked if source in prompt]

    return sorted(upstream(filter(prompt.__contains__, roots), sources), key=natural_order)


def upstream(roots: Iterable[str], sources: Callable[[str], Iterable[str]]) -> set[str]:
    """Return the roots and everything they need. sources: the nodes that a node is linked to."""
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        node_id = waiting.pop()
        if node_id not in found:
            found.add(node_id)
            waiting += sources(node_id)
    return found
