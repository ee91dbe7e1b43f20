"""Workflow files: the editor's format (litegraph 0.4) turned into the API format that is run.

The result is what the page itself would submit: virtual nodes are resolved, muted ones left out,
bypassed ones passed through by type, sub-graphs taken apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ..errors import GraphError
from ..json_values import JSON, is_list, is_object
from .prompt import Declared, first_problems, suggestion
from .widget_places import MARKED_INPUT, MARKED_NODES, fill_marks, inputs_of, widget_values

MUTED, BYPASSED = 2, 4
NOTES = frozenset({"Note", "MarkdownNote"})
PRIMITIVE, REROUTE = "PrimitiveNode", "Reroute"
VIRTUAL = NOTES | {PRIMITIVE, REROUTE}
SEARCH_NAME = "Node name for S&R"
SUBGRAPH_INPUT = -10  # the node ids by which links leave a sub-graph
SUBGRAPH_OUTPUT = -20
GROUP_NODE_PREFIXES = ("workflow>", "workflow/")


def read_workflow(path: str | Path) -> dict[str, JSON]:
    """Return the object in a workflow file. Raises GraphError when there is none."""
    path = Path(path)
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise GraphError(
            f"Expected a workflow file, cannot read {path}: {error.strerror}."
        ) from error
    except UnicodeDecodeError as error:
        raise GraphError(f"Expected a workflow in JSON, {path} is not a text file.") from error
    except (ValueError, RecursionError) as error:
        raise GraphError(f"Expected a workflow in JSON, {path} is broken: {error}.") from error
    if not is_object(document):
        raise GraphError(
            f"Expected a workflow, {path} holds {type(document).__name__}: save it from ComfyUI."
        )
    return dict(document)


def is_editor_format(document: Mapping[str, JSON]) -> bool:
    """Say whether a workflow is in the editor's format; otherwise it is in the API's."""
    return isinstance(document.get("nodes"), list)


def to_prompt(
    document: Mapping[str, JSON], declared: Declared, *, now: datetime | None = None
) -> dict[str, JSON]:
    """Return a workflow of either format as a prompt.

    declared: what the node classes of the machine that will run it declare.
    Raises GraphError for what cannot be converted, naming the node.
    """
    if not is_editor_format(document):
        inner = document.get("prompt")  # the body of a request to a server
        if is_object(inner) and "class_type" not in inner:
            return dict(inner)
        return dict(document)
    return _Conversion(document, declared, now).prompt()


@dataclass(frozen=True)
class _Link:
    source: JSON
    source_slot: int
    target: JSON
    target_slot: int


@dataclass(frozen=True)
class _Slot:
    name: str
    type: str
    link: JSON


class _Graph:
    """One graph: the whole one, or one instance of a sub-graph. instance: the node it fills."""

    def __init__(self, saved: Mapping[str, JSON], instance: _Node | None = None) -> None:
        self.saved = saved
        self.instance = instance
        self.path = f"{instance.id}:" if instance is not None else ""
        self.nodes = {node["id"]: _Node(node, self) for node in _nodes(saved, self.path)}
        self.links = dict(_links(saved))
        self.start = self._boundary("inputNode", SUBGRAPH_INPUT)
        self.end = self._boundary("outputNode", SUBGRAPH_OUTPUT)

    def _boundary(self, name: str, usual: int) -> JSON:
        if self.instance is None:
            return None  # no link leaves the whole graph
        node = self.saved.get(name)
        return node.get("id", usual) if is_object(node) else usual


class _Node:
    """A saved node in its graph. values: of its widgets. inner: the graph it stands for."""

    def __init__(self, saved: Mapping[str, JSON], graph: _Graph) -> None:
        self.saved = saved
        self.graph = graph
        self.id = f"{graph.path}{saved['id']}"
        self.type: str = saved["type"]
        self.runs = saved.get("mode") not in (MUTED, BYPASSED)
        self.values: dict[str, JSON] = {}
        self.inner: _Graph | None = None

    def __str__(self) -> str:
        title = f' "{self.saved["title"]}"' if self.saved.get("title") else ""
        return f"Node {self.id}{title} ({self.type})"


def _listed(holder: Mapping[str, JSON], name: str) -> Sequence[JSON]:
    """Return what an object lists under a name; files leave it out or write null for nothing."""
    return holder.get(name) or ()


def _object(holder: Mapping[str, JSON], name: str) -> Mapping[str, JSON]:
    """Return the object under a name, an empty one where there is none."""
    return holder.get(name) or {}


def _nodes(graph: Mapping[str, JSON], path: str) -> Iterator[Mapping[str, JSON]]:
    for node in _listed(graph, "nodes"):
        if not is_object(node) or not isinstance(node.get("type"), str):
            raise GraphError(f"Expected a node with a type in the workflow, got {node!r:.60}.")
        if not isinstance(node.get("id"), (int, str)):
            raise GraphError(f"Expected a {node['type']} node with an id, found none ({path}).")
        yield node


def _links(graph: Mapping[str, JSON]) -> Iterator[tuple[JSON, _Link]]:
    """Read links written as lists (the whole graph) or objects (sub-graphs, format 1)."""
    saved = graph.get("links") or ()
    for link in saved.values() if is_object(saved) else saved:
        if link is None:
            continue
        try:
            if is_object(link):
                names = ("id", "origin_id", "origin_slot", "target_id", "target_slot")
                number, source, source_slot, target, target_slot = (link[name] for name in names)
            else:
                number, source, source_slot, target, target_slot = link[:5]
            yield number, _Link(source, int(source_slot), target, int(target_slot))
        except (KeyError, TypeError, ValueError) as error:
            raise GraphError(
                f"Expected a link [id, from, slot, to, slot, type], got {link!r:.80}."
            ) from error


_NOTHING = object()  # not linked, or linked to something that is resolved away: a widget stays
_DROPPED = object()  # linked to a node that is left out: the input goes with it


class _Conversion:
    def __init__(
        self, document: Mapping[str, JSON], declared: Declared, now: datetime | None
    ) -> None:
        self._declared = declared
        self._now = now
        subgraphs = _listed(_object(document, "definitions"), "subgraphs")
        self._subgraphs = {graph["id"]: graph for graph in subgraphs}
        self._nodes: list[_Node] = []
        self._add(_Graph(document))

    def _add(self, graph: _Graph) -> None:
        self._nodes += graph.nodes.values()
        for node in graph.nodes.values():
            inner = self._subgraphs.get(node.type)
            if inner is not None and node.runs:
                if graph.path.count(":") > len(self._subgraphs):
                    raise GraphError(f"{node} contains itself: remove one of them.")
                node.inner = _Graph(inner, node)
                self._add(node.inner)

    def prompt(self) -> dict[str, JSON]:
        runnable = [n for n in self._nodes if n.runs and n.type not in VIRTUAL and n.inner is None]
        self._refuse_unknown(runnable)
        for node in runnable:
            node.values = widget_values(self._declared[node.type], node.saved.get("widgets_values"))
            self._take_primitives(node)
        return {node.id: self._converted(node) for node in runnable}

    def _refuse_unknown(self, runnable: Sequence[_Node]) -> None:
        problems: list[str] = []
        for node in runnable:
            if node.type.startswith(GROUP_NODE_PREFIXES):
                problems.append(
                    f"{node} is a group node of an older editor: "
                    "open the workflow there and convert the group to nodes"
                )
            elif node.type not in self._declared:
                problems.append(
                    f"{node}: there is no node class {node.type!r} here"
                    + suggestion(node.type, self._declared)
                )
        if problems:
            raise GraphError(first_problems(problems))

    def _converted(self, node: _Node) -> dict[str, JSON]:
        inputs = {name: _wrapped(value) for name, value in node.values.items()}
        if node.type in MARKED_NODES and isinstance(inputs.get(MARKED_INPUT), str):
            inputs[MARKED_INPUT] = fill_marks(inputs[MARKED_INPUT], self._value_of, self._now)
        for index, slot in enumerate(self._slots(node)):
            source = self._input(node, index, None, frozenset())
            if source is _DROPPED:
                inputs.pop(slot.name, None)
            elif source is not _NOTHING:
                inputs[slot.name] = source
        title = node.saved.get("title") or self._declared[node.type].display_name
        return {"class_type": node.type, "inputs": inputs, "_meta": {"title": title}}

    def _take_primitives(self, node: _Node) -> None:
        """Let a primitive node write its value into the widgets that it is linked to."""
        for slot in self._slots(node):
            link = node.graph.links.get(slot.link)
            source = node.graph.nodes.get(link.source) if link is not None else None
            if source is None or source.type != PRIMITIVE or slot.name not in node.values:
                continue
            saved = source.saved.get("widgets_values")
            if is_list(saved) and saved:
                node.values[slot.name] = saved[0]

    def _value_of(self, name: str, widget: str) -> str | None:
        """Find a widget's value for %Node.widget%: by the node's search name, else its title."""
        found = [n for n in self._nodes if _object(n.saved, "properties").get(SEARCH_NAME) == name]
        found += [n for n in self._nodes if n.saved.get("title") == name]
        value = found[0].values.get(widget) if found else None
        return None if value is None else _javascript_text(value)

    # Links: from an input back to the node that really brings the value.

    def _slots(self, node: _Node) -> list[_Slot]:
        """Return a node's input slots: those of the file, then what the file left out."""
        definition = self._declared.get(node.type)
        known = dict(inputs_of(definition)) if definition is not None else {}
        found: list[_Slot] = []
        for saved in _listed(node.saved, "inputs"):
            if not is_object(saved) or not isinstance(saved.get("name"), str):
                raise GraphError(f"{node}: expected named inputs, got {saved!r:.60}.")
            kind = known.pop(saved["name"], saved.get("type", "*"))
            found.append(_Slot(saved["name"], str(kind), saved.get("link")))
        return found + [_Slot(name, kind, None) for name, kind in known.items()]

    def _input(self, node: _Node, index: int, wanted: str | None, seen: frozenset[JSON]) -> JSON:
        """Return what an input gets: a link, a wrapped value, or one of the two marks."""
        if (node.id, index) in seen:
            raise GraphError(f"{node}: its links form a loop: remove one.")
        slots = self._slots(node)
        link = node.graph.links.get(slots[index].link) if index < len(slots) else None
        if link is None:
            return _NOTHING
        seen = seen | {(node.id, index)}
        return self._brought(node.graph, link, wanted or slots[index].type, seen)

    def _brought(self, graph: _Graph, link: _Link, wanted: str, seen: frozenset[JSON]) -> JSON:
        if link.source == graph.start:
            return self._outer_input(graph, link.source_slot, wanted, seen)
        source = graph.nodes.get(link.source)
        return _NOTHING if source is None else self._output(source, link.source_slot, wanted, seen)

    def _outer_input(self, graph: _Graph, slot: int, wanted: str, seen: frozenset[JSON]) -> JSON:
        """Follow a link out of a sub-graph to the input of its instance."""
        declared, instance = _listed(graph.saved, "inputs"), graph.instance
        if instance is None or slot >= len(declared):
            return _NOTHING
        name = declared[slot].get("name")
        saved = _listed(instance.saved, "inputs")
        index = next((i for i, one in enumerate(saved) if one.get("name") == name), None)
        if index is not None and instance.graph.links.get(saved[index].get("link")) is not None:
            return self._input(instance, index, wanted, seen)
        values = _promoted_values(graph, instance)
        return _wrapped(values[name]) if name in values else _NOTHING

    def _output(self, node: _Node, slot: int, wanted: str, seen: frozenset[JSON]) -> JSON:
        """Return what an output brings once virtual and bypassed nodes are seen through."""
        if node.saved.get("mode") == BYPASSED:
            index = self._bypass(node, slot, wanted)
            return _NOTHING if index is None else self._input(node, index, None, seen)
        if node.inner is not None:
            return self._inner_output(node.inner, slot, wanted, seen)
        if node.type in VIRTUAL:
            if slot >= len(_listed(node.saved, "inputs")):
                return _NOTHING
            return self._input(node, slot, wanted, seen)
        return _DROPPED if node.saved.get("mode") == MUTED else [node.id, slot]

    def _inner_output(self, inner: _Graph, slot: int, wanted: str, seen: frozenset[JSON]) -> JSON:
        """Follow an output of a sub-graph's instance to the node inside."""
        sources = {inner.start, *inner.nodes}
        for link in inner.links.values():
            if (link.target, link.target_slot) == (inner.end, slot) and link.source in sources:
                return self._brought(inner, link, wanted, seen)
        return _NOTHING

    def _bypass(self, node: _Node, slot: int, wanted: str) -> int | None:
        """Return the input that a bypassed node passes on for an output, None without any."""
        slots = self._slots(node)
        outputs = _listed(node.saved, "outputs")
        brought = str(outputs[slot].get("type", "*")) if slot < len(outputs) else "*"
        if wanted in ("*", ""):
            return (slot if slot < len(slots) else 0) if slots else None
        fits = [_connects(one.type, brought) and _connects(one.type, wanted) for one in slots]
        if slot < len(slots) and fits[slot]:
            return slot
        exact = [i for i, one in enumerate(slots) if one.type == wanted]
        return next(iter(exact + [i for i, fit in enumerate(fits) if fit]), None)


def _promoted_values(graph: _Graph, instance: _Node) -> dict[str, JSON]:
    """Return the values of the widgets that a sub-graph shows on its outside, by input."""
    saved = instance.saved.get("widgets_values")
    if is_object(saved):
        return dict(saved)
    shown = _listed(_object(instance.saved, "properties"), "proxyWidgets")
    if shown:  # rows of inner node and widget; -1 stands for an input of the sub-graph
        names = [row[1] if str(row[0]) == "-1" else None for row in shown]
    else:
        declared = _listed(graph.saved, "inputs")
        names = [one.get("name") for i, one in enumerate(declared) if _feeds_a_widget(graph, i)]
    pairs = zip(names, saved if is_list(saved) else (), strict=False)
    return {name: value for name, value in pairs if name is not None}


def _feeds_a_widget(graph: _Graph, slot: int) -> bool:
    """Say whether an input of a sub-graph leads to an input that is a widget inside."""
    for link in graph.links.values():
        if (link.source, link.source_slot) == (graph.start, slot):
            target = graph.nodes.get(link.target)
            inputs = _listed(target.saved, "inputs") if target is not None else ()
            return link.target_slot < len(inputs) and bool(inputs[link.target_slot].get("widget"))
    return False


def _connects(one: str, other: str) -> bool:
    types = [{part.strip().lower() for part in text.split(",")} for text in (one, other)]
    return bool(types[0] & types[1]) or any(kinds & {"*", ""} for kinds in types)


def _wrapped(value: JSON) -> JSON:
    return {"__value__": value} if is_list(value) else value


def _javascript_text(value: JSON) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
