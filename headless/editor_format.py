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
from typing import Any

from ..errors import GraphError
from ..json_values import is_list, is_object
from .prompt import NodeDefinition, first_problems, suggestion
from .widget_places import MARKED_INPUT, MARKED_NODES, fill_marks, inputs_of, widget_values

MUTED, BYPASSED = 2, 4
NOTES = frozenset({"Note", "MarkdownNote"})
PRIMITIVE, REROUTE = "PrimitiveNode", "Reroute"
VIRTUAL = NOTES | {PRIMITIVE, REROUTE}
SUBGRAPH_INPUT = -10  # the node ids by which links leave a sub-graph
SUBGRAPH_OUTPUT = -20
GROUP_NODE_PREFIXES = ("workflow>", "workflow/")


def read_workflow(path: str | Path) -> dict[str, Any]:
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


def is_editor_format(document: Mapping[str, Any]) -> bool:
    """Say whether a workflow is in the editor's format; otherwise it is in the API's."""
    return isinstance(document.get("nodes"), list)


def to_prompt(
    document: Mapping[str, Any],
    declared: Mapping[str, NodeDefinition],
    *,
    now: datetime | None = None,
) -> dict[str, Any]:
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
    source: Any
    source_slot: int
    target: Any
    target_slot: int


@dataclass(frozen=True)
class _Slot:
    name: str
    type: str
    link: Any


class _Level:
    """One graph: the whole one, or one instance of a sub-graph in it."""

    def __init__(
        self, graph: Mapping[str, Any], parent: _Level | None = None, instance: Any = None
    ) -> None:
        self.parent = parent
        self.instance = instance  # the node of the parent that this graph fills
        self.graph = graph
        self.path = f"{parent.path}{instance['id']}:" if parent is not None else ""
        self.nodes = {node["id"]: node for node in _nodes(graph, self.path)}
        self.links = dict(_links(graph, self.path))
        self.inner: dict[Any, _Level] = {}

    def id_of(self, node: Mapping[str, Any]) -> str:
        return f"{self.path}{node['id']}"

    def name_of(self, node: Mapping[str, Any]) -> str:
        title = f' "{node["title"]}"' if node.get("title") else ""
        return f"Node {self.id_of(node)}{title} ({node['type']})"


def _listed(holder: Mapping[str, Any], name: str) -> Sequence[Any]:
    """Return what an object lists under a name; files leave it out or write null for nothing."""
    return holder.get(name) or ()


def _object(holder: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the object under a name, an empty one where there is none."""
    return holder.get(name) or {}


def _nodes(graph: Mapping[str, Any], path: str) -> Iterator[Mapping[str, Any]]:
    for node in _listed(graph, "nodes"):
        if not is_object(node) or not isinstance(node.get("type"), str):
            raise GraphError(f"Expected a node with a type in the workflow, got {node!r:.60}.")
        if not isinstance(node.get("id"), (int, str)):
            raise GraphError(f"Expected a {node['type']} node with an id, found none ({path}).")
        yield node


def _links(graph: Mapping[str, Any], path: str) -> Iterator[tuple[Any, _Link]]:
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
        self,
        document: Mapping[str, Any],
        declared: Mapping[str, NodeDefinition],
        now: datetime | None,
    ) -> None:
        self._declared = declared
        self._now = now
        subgraphs = _listed(_object(document, "definitions"), "subgraphs")
        self._subgraphs = {graph["id"]: graph for graph in subgraphs}
        self._levels: list[_Level] = []
        self._add_level(_Level(document))
        self._values: dict[str, dict[str, Any]] = {}

    def prompt(self) -> dict[str, Any]:
        runnable = [
            (level, node)
            for level in self._levels
            for node in level.nodes.values()
            if _runs(node) and node["type"] not in VIRTUAL and node["id"] not in level.inner
        ]
        self._refuse_unknown(runnable)
        for level, node in runnable:
            definition = self._declared[node["type"]]
            values = widget_values(definition, node.get("widgets_values"))
            self._values[level.id_of(node)] = values
        for level, node in runnable:
            self._take_primitives(level, node)
        return {level.id_of(node): self._node(level, node) for level, node in runnable}

    def _add_level(self, level: _Level) -> None:
        self._levels.append(level)
        for node in level.nodes.values():
            graph = self._subgraphs.get(node["type"])
            if graph is not None and _runs(node):
                if level.path.count(":") > len(self._subgraphs):
                    raise GraphError(f"{level.name_of(node)} contains itself: remove one of them.")
                level.inner[node["id"]] = inner = _Level(graph, level, node)
                self._add_level(inner)

    def _refuse_unknown(self, runnable: list[tuple[_Level, Mapping[str, Any]]]) -> None:
        problems: list[str] = []
        for level, node in runnable:
            kind = node["type"]
            if kind.startswith(GROUP_NODE_PREFIXES):
                problems.append(
                    f"{level.name_of(node)} is a group node of an older editor: "
                    "open the workflow there and convert the group to nodes"
                )
            elif kind not in self._declared:
                problems.append(
                    f"{level.name_of(node)}: there is no node class {kind!r} here"
                    + suggestion(kind, self._declared)
                )
        if problems:
            raise GraphError(first_problems(problems))

    def _node(self, level: _Level, node: Mapping[str, Any]) -> dict[str, Any]:
        definition = self._declared[node["type"]]
        values = dict(self._values[level.id_of(node)])
        if node["type"] in MARKED_NODES and isinstance(values.get(MARKED_INPUT), str):
            values[MARKED_INPUT] = fill_marks(values[MARKED_INPUT], self._value_of, self._now)
        inputs = {name: _wrapped(value) for name, value in values.items()}
        for index, slot in enumerate(self._slots(level, node)):
            source = self._input(level, node, index, None, frozenset())
            if source is _DROPPED:
                inputs.pop(slot.name, None)
            elif source is not _NOTHING:
                inputs[slot.name] = source
        title = node.get("title") or definition.display_name
        return {"class_type": node["type"], "inputs": inputs, "_meta": {"title": title}}

    def _take_primitives(self, level: _Level, node: Mapping[str, Any]) -> None:
        """Let a primitive node write its value into the widgets that it is linked to."""
        values = self._values[level.id_of(node)]
        for slot in self._slots(level, node):
            link = level.links.get(slot.link)
            source = level.nodes.get(link.source) if link is not None else None
            if source is None or source["type"] != PRIMITIVE or slot.name not in values:
                continue
            saved = source.get("widgets_values")
            if is_list(saved) and saved:
                values[slot.name] = saved[0]

    def _value_of(self, node_name: str, widget: str) -> str | None:
        """Find a widget's value for %Node.widget%: by the node's search name, else its title."""
        everything = [(level, node) for level in self._levels for node in level.nodes.values()]
        for key in ("search name", "title"):
            for level, node in everything:
                search_name = _object(node, "properties").get("Node name for S&R")
                names = {"search name": search_name, "title": node.get("title")}
                if names[key] == node_name:
                    value = self._values.get(level.id_of(node), {}).get(widget)
                    return None if value is None else _javascript_text(value)
        return None

    # Links: from an input back to the node that really brings the value.

    def _slots(self, level: _Level, node: Mapping[str, Any]) -> list[_Slot]:
        """Return a node's input slots: those of the file, then what the file left out."""
        definition = self._declared.get(node["type"])
        known = dict(inputs_of(definition)) if definition is not None else {}
        found: list[_Slot] = []
        for saved in _listed(node, "inputs"):
            if not is_object(saved) or not isinstance(saved.get("name"), str):
                raise GraphError(
                    f"{level.name_of(node)}: expected named inputs, got {saved!r:.60}."
                )
            kind = known.pop(saved["name"], saved.get("type", "*"))
            found.append(_Slot(saved["name"], str(kind), saved.get("link")))
        return found + [_Slot(name, kind, None) for name, kind in known.items()]

    def _input(
        self,
        level: _Level,
        node: Mapping[str, Any],
        index: int,
        wanted: str | None,
        seen: frozenset[Any],
    ) -> Any:
        """Return what an input gets: a link, a wrapped value, or one of the two marks."""
        if (level.id_of(node), index) in seen:
            raise GraphError(f"{level.name_of(node)}: its links form a loop: remove one.")
        seen = seen | {(level.id_of(node), index)}
        slots = self._slots(level, node)
        link = level.links.get(slots[index].link) if index < len(slots) else None
        if link is None:
            return _NOTHING
        if link.source == _boundary(level, "inputNode", SUBGRAPH_INPUT):
            return self._outer_input(level, link.source_slot, wanted or slots[index].type, seen)
        source = level.nodes.get(link.source)
        if source is None:
            return _NOTHING
        return self._output(level, source, link.source_slot, wanted or slots[index].type, seen)

    def _outer_input(self, level: _Level, slot: int, wanted: str, seen: frozenset[Any]) -> Any:
        """Follow a link out of a sub-graph to the input of its instance."""
        declared = _listed(level.graph, "inputs")
        if level.parent is None or slot >= len(declared):
            return _NOTHING
        name = declared[slot].get("name")
        saved = _listed(level.instance, "inputs")
        index = next((i for i, one in enumerate(saved) if one.get("name") == name), None)
        if index is not None and level.parent.links.get(saved[index].get("link")) is not None:
            return self._input(level.parent, level.instance, index, wanted, seen)
        values = _promoted_values(level)
        return _wrapped(values[name]) if name in values else _NOTHING

    def _output(
        self,
        level: _Level,
        node: Mapping[str, Any],
        slot: int,
        wanted: str,
        seen: frozenset[Any],
    ) -> Any:
        """Return what an output brings once virtual and bypassed nodes are seen through."""
        if node.get("mode") == BYPASSED:
            index = self._bypass(level, node, slot, wanted)
            return _NOTHING if index is None else self._input(level, node, index, None, seen)
        inner = level.inner.get(node["id"])
        if inner is not None:
            return self._inner_output(inner, slot, wanted, seen)
        if node["type"] in VIRTUAL:
            if slot >= len(_listed(node, "inputs")):
                return _NOTHING
            return self._input(level, node, slot, wanted, seen)
        return _DROPPED if node.get("mode") == MUTED else [level.id_of(node), slot]

    def _inner_output(self, inner: _Level, slot: int, wanted: str, seen: frozenset[Any]) -> Any:
        """Follow an output of a sub-graph's instance to the node inside."""
        end = _boundary(inner, "outputNode", SUBGRAPH_OUTPUT)
        for link in inner.links.values():
            if link.target != end or link.target_slot != slot:
                continue
            if link.source == _boundary(inner, "inputNode", SUBGRAPH_INPUT):
                return self._outer_input(inner, link.source_slot, wanted, seen)
            source = inner.nodes.get(link.source)
            if source is not None:
                return self._output(inner, source, link.source_slot, wanted, seen)
        return _NOTHING

    def _bypass(self, level: _Level, node: Mapping[str, Any], slot: int, wanted: str) -> int | None:
        """Return the input that a bypassed node passes on for an output, None without any."""
        slots = self._slots(level, node)
        outputs = _listed(node, "outputs")
        brought = str(outputs[slot].get("type", "*")) if slot < len(outputs) else "*"
        if wanted in ("*", ""):
            return (slot if slot < len(slots) else 0) if slots else None
        fits = [_connects(one.type, brought) and _connects(one.type, wanted) for one in slots]
        if slot < len(slots) and fits[slot]:
            return slot
        exact = [i for i, one in enumerate(slots) if one.type == wanted]
        return next(iter(exact + [i for i, fit in enumerate(fits) if fit]), None)


def _runs(node: Mapping[str, Any]) -> bool:
    return node.get("mode") not in (MUTED, BYPASSED)


def _boundary(level: _Level, name: str, usual: int) -> Any:
    if level.parent is None:
        return None  # no link leaves the whole graph
    node = level.graph.get(name)
    return node.get("id", usual) if is_object(node) else usual


def _promoted_values(level: _Level) -> dict[str, Any]:
    """Return the values of the widgets that a sub-graph shows on its outside, by input."""
    saved = level.instance.get("widgets_values")
    if is_object(saved):
        return dict(saved)
    shown = _listed(_object(level.instance, "properties"), "proxyWidgets")
    if shown:  # rows of inner node and widget; -1 stands for an input of the sub-graph
        names = [row[1] if str(row[0]) == "-1" else None for row in shown]
    else:
        declared = _listed(level.graph, "inputs")
        names = [one.get("name") for i, one in enumerate(declared) if _feeds_a_widget(level, i)]
    pairs = zip(names, saved if is_list(saved) else (), strict=False)
    return {name: value for name, value in pairs if name is not None}


def _feeds_a_widget(level: _Level, slot: int) -> bool:
    """Say whether an input of a sub-graph leads to an input that is a widget inside."""
    start = _boundary(level, "inputNode", SUBGRAPH_INPUT)
    for link in level.links.values():
        if link.source == start and link.source_slot == slot:
            inputs = _listed(level.nodes.get(link.target) or {}, "inputs")
            return link.target_slot < len(inputs) and bool(inputs[link.target_slot].get("widget"))
    return False


def _connects(one: str, other: str) -> bool:
    types = [{part.strip().lower() for part in text.split(",")} for text in (one, other)]
    return bool(types[0] & types[1]) or any(kinds & {"*", ""} for kinds in types)


def _wrapped(value: Any) -> Any:
    return {"__value__": value} if is_list(value) else value


def _javascript_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
