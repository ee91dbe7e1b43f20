"""Follows the links of an editor file from an input back to what really brings its value.

Virtual nodes (reroutes, primitives, named pairs of packs) exist in the page only and are seen
through, as are bypassed nodes and the borders of sub-graphs.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import GraphError
from ..json_values import JSON, is_list, is_object
from .prompt import Declared
from .saved_graph import BYPASSED, MUTED, Graph, Link, Node, Slot, key_of, object_in
from .widget_places import inputs_of

PRIMITIVE = "PrimitiveNode"
# A getter brings what goes into the setter of the same name, here or in a graph around.
SETTERS = frozenset({"SetNode", "easy setNode"})
GETTERS = frozenset({"GetNode", "easy getNode"})
_RGTHREE = (
    *("Bookmark", "Label", "Reroute", "Random Unmuter", "Node Collector", "Node Combiner"),
    *("Mute / Bypass Relay", "Mute / Bypass Repeater", "Fast Actions Button", "Fast Muter"),
    *("Fast Bypasser", "Fast Node Muter", "Fast Groups Muter", "Fast Groups Bypasser"),
)
VIRTUAL = (
    frozenset({"Note", "MarkdownNote", "Note Plus (mtb)", "Reroute", PRIMITIVE})
    | SETTERS
    | GETTERS
    | {f"{name} (rgthree)" for name in _RGTHREE}
)

NOTHING = object()  # not linked, or linked to something that is resolved away: a widget stays
DROPPED = object()  # linked to a node that is left out: the input goes with it


@dataclass(frozen=True)
class _Step:
    """An input to go on at. wanted: the type, where it is not the input's own."""

    node: Node
    index: int
    wanted: str | None = None


class Sources:
    """Says what an input gets: a link ["id", output], a value, or one of the two marks."""

    def __init__(self, declared: Declared) -> None:
        self._declared = declared
        self._slots: dict[Node, list[Slot]] = {}
        self._setters: dict[Graph, dict[JSON, Node]] = {}

    def slots(self, node: Node) -> list[Slot]:
        """Return a node's input slots: those of the file, then what the file left out."""
        if node not in self._slots:  # every link to follow asks again
            self._slots[node] = self._slots_of(node)
        return self._slots[node]

    def _slots_of(self, node: Node) -> list[Slot]:
        definition = self._declared.get(node.type)
        known = dict(inputs_of(definition)) if definition is not None else {}
        found: list[Slot] = []
        for saved in node.inputs:
            if not isinstance(saved.get("name"), str):
                raise GraphError(f"{node}: expected named inputs, got {saved!r:.60}.")
            kind = known.pop(saved["name"], saved.get("type", "*"))
            found.append(Slot(saved["name"], str(kind), key_of(saved.get("link"))))
        return found + [Slot(name, kind, None) for name, kind in known.items()]

    def of(self, node: Node, index: int) -> JSON:
        """Return what an input gets."""
        passed: set[tuple[str, int]] = set()
        at: JSON = _Step(node, index)
        while isinstance(at, _Step):  # a loop, because reroutes may be chained by the thousand
            if (at.node.id, at.index) in passed:
                raise GraphError(f"{at.node}: its links form a loop: remove one.")
            passed.add((at.node.id, at.index))
            at = self._next(at)
        return at

    def _next(self, at: _Step) -> JSON:
        slots = self.slots(at.node)
        link = at.node.graph.links.get(slots[at.index].link) if at.index < len(slots) else None
        if link is None:
            return NOTHING
        return self._brought(at.node.graph, link, at.wanted or slots[at.index].type)

    def _brought(self, graph: Graph, link: Link, wanted: str) -> JSON:
        if link.source == graph.start:
            return self._outer_input(graph, link.source_slot, wanted)
        source = graph.nodes.get(link.source)
        return NOTHING if source is None else self._output(source, link.source_slot, wanted)

    def _outer_input(self, graph: Graph, slot: int, wanted: str) -> JSON:
        """Follow a link out of a sub-graph to the input of its instance."""
        declared, instance = graph.inputs, graph.instance
        if instance is None or slot >= len(declared):
            return NOTHING
        name = str(declared[slot].get("name"))
        saved = instance.inputs
        index = next((i for i, one in enumerate(saved) if one.get("name") == name), None)
        link = None if index is None else key_of(saved[index].get("link"))
        if index is not None and link in instance.graph.links:
            return _Step(instance, index, wanted)
        values = _promoted_values(graph, instance)
        return wrapped(values[name]) if name in values else NOTHING

    def _output(self, node: Node, slot: int, wanted: str) -> JSON:
        """Return what an output brings once virtual and bypassed nodes are seen through."""
        if node.type == PRIMITIVE:
            value = _first_value(node)
            return NOTHING if value is None else wrapped(value)
        if node.type in GETTERS:
            setter = self._setter(node)
            return NOTHING if setter is None else _Step(setter, 0, wanted)
        if node.saved.get("mode") == BYPASSED:
            index = self._bypass(node, slot, wanted)
            return NOTHING if index is None else _Step(node, index)
        if node.inner is not None:
            return self._inner_output(node.inner, slot, wanted)
        if node.type in VIRTUAL:
            if slot >= len(node.inputs):
                return NOTHING
            return _Step(node, slot, wanted)
        return DROPPED if node.saved.get("mode") == MUTED else [node.id, slot]

    def _setter(self, getter: Node) -> Node | None:
        """Return the setter of the getter's name, in its graph or the nearest around it."""
        name, graph = key_of(_first_value(getter)), getter.graph
        while name:
            if graph not in self._setters:
                self._setters[graph] = _setters_of(graph)
            if name in self._setters[graph]:
                return self._setters[graph][name]
            if graph.instance is None:
                break
            graph = graph.instance.graph
        return None

    def _inner_output(self, inner: Graph, slot: int, wanted: str) -> JSON:
        """Follow an output of a sub-graph's instance to the node inside."""
        sources = {inner.start, *inner.nodes}
        for link in inner.links.values():
            if (link.target, link.target_slot) == (inner.end, slot) and link.source in sources:
                return self._brought(inner, link, wanted)
        return NOTHING

    def _bypass(self, node: Node, slot: int, wanted: str) -> int | None:
        """Return the input that a bypassed node passes on for an output, None without any."""
        slots = self.slots(node)
        outputs = node.outputs
        brought = str(outputs[slot].get("type", "*")) if slot < len(outputs) else "*"
        if wanted in ("*", ""):
            return (slot if slot < len(slots) else 0) if slots else None
        fits = [_connects(one.type, brought) and _connects(one.type, wanted) for one in slots]
        if slot < len(slots) and fits[slot]:
            return slot
        exact = [i for i, one in enumerate(slots) if one.type == wanted]
        return next(iter(exact + [i for i, fit in enumerate(fits) if fit]), None)


def _first_value(node: Node) -> JSON:
    """Return what the first widget of a virtual node holds, None for nothing."""
    for name in ("widgets_values", "widgets_values_named"):
        saved = node.saved.get(name)
        values = list(saved.values()) if is_object(saved) else saved
        if is_list(values) and values:
            return values[0]
    return None


def _setters_of(graph: Graph) -> dict[JSON, Node]:
    """Return the setters of a graph by name, the first one where a name is there twice."""
    setters = [node for node in graph.nodes.values() if node.type in SETTERS]
    named = [(key_of(_first_value(node)), node) for node in reversed(setters)]
    return {name: node for name, node in named if name}


def _promoted_values(graph: Graph, instance: Node) -> dict[str, JSON]:
    """Return the values of the widgets that a sub-graph shows on its outside, by input."""
    saved = instance.saved.get("widgets_values")
    named = object_in(instance.saved, "widgets_values_named")
    if is_object(saved):
        return {**saved, **named}
    shown = object_in(instance.saved, "properties").get("proxyWidgets")
    if is_list(shown) and shown:  # rows of inner node and widget; -1 stands for an own input
        rows = [row if is_list(row) and len(row) > 1 else (None, None) for row in shown]
        names = [key_of(row[1]) if str(row[0]) == "-1" else None for row in rows]
    else:
        slots = enumerate(graph.inputs)
        names = [key_of(one.get("name")) for i, one in slots if _feeds_a_widget(graph, i)]
    pairs = zip(names, saved if is_list(saved) else (), strict=False)
    return {str(name): value for name, value in pairs if name is not None} | dict(named)


def _feeds_a_widget(graph: Graph, slot: int) -> bool:
    """Say whether an input of a sub-graph leads to an input that is a widget inside."""
    for number, link in graph.links.items():
        if (link.source, link.source_slot) == (graph.start, slot):
            target = graph.nodes.get(link.target)
            inputs = target.inputs if target is not None else ()
            # As in the page: the input that names the link, as the link's own slot may be old.
            if any(one.get("link") == number and one.get("widget") for one in inputs):
                return True
    return False


def _connects(one: str, other: str) -> bool:
    types = [{part.strip().lower() for part in text.split(",")} for text in (one, other)]
    return bool(types[0] & types[1]) or any(kinds & {"*", ""} for kinds in types)


def wrapped(value: JSON) -> JSON:
    """Return a value as a prompt holds it: a bare list would be a link."""
    return {"__value__": value} if is_list(value) else value
