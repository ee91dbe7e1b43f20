"""What an editor file holds: graphs of nodes, their slots and the links between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..errors import GraphError
from ..json_values import JSON, is_list, is_object
from ..texts import one_line

MUTED, BYPASSED = 2, 4
SUBGRAPH_INPUT = -10  # the node ids by which links leave a sub-graph
SUBGRAPH_OUTPUT = -20


@dataclass(frozen=True)
class Link:
    source: JSON
    source_slot: int
    target: JSON
    target_slot: int


@dataclass(frozen=True)
class Slot:
    name: str
    type: str
    link: JSON


class Graph:
    """One graph: the whole one, or one instance of a sub-graph.

    instance: the node it fills. inputs: those a sub-graph declares.
    """

    def __init__(self, saved: Mapping[str, JSON], instance: Node | None = None) -> None:
        self.saved = saved
        self.instance = instance
        self.path = f"{instance.id}:" if instance is not None else ""
        self.nodes = {node["id"]: Node(node, self) for node in _nodes(saved, self.path)}
        self.links = dict(_links(saved))
        self.inputs = objects(saved, "inputs", "the sub-graph") if instance is not None else ()
        self.start = self._boundary("inputNode", SUBGRAPH_INPUT)
        self.end = self._boundary("outputNode", SUBGRAPH_OUTPUT)

    def _boundary(self, name: str, usual: int) -> JSON:
        if self.instance is None:
            return None  # no link leaves the whole graph
        node = self.saved.get(name)
        return key_of(node.get("id", usual)) if is_object(node) else usual


class Node:
    """A saved node in its graph.

    inputs, outputs: its slots. values: of its widgets. inner: the graph it stands for.
    """

    def __init__(self, saved: Mapping[str, JSON], graph: Graph) -> None:
        self.saved = saved
        self.graph = graph
        self.id = f"{graph.path}{saved['id']}"
        self.type: str = saved["type"]
        self.runs = saved.get("mode") not in (MUTED, BYPASSED)
        self.inputs = objects(saved, "inputs", str(self))
        self.outputs = objects(saved, "outputs", str(self))
        self.values: dict[str, JSON] = {}
        self.inner: Graph | None = None

    def __str__(self) -> str:
        title = f' "{self.saved["title"]}"' if self.saved.get("title") else ""
        return one_line(f"Node {self.id}{title} ({self.type})")


def objects(
    holder: Mapping[str, JSON], name: str, owner: str = "the workflow"
) -> Sequence[Mapping[str, JSON]]:
    """Return the objects listed under a name; files leave them out or write null for none."""
    found = holder.get(name) or ()
    if found and not (is_list(found) and all(map(is_object, found))):
        raise GraphError(f"{owner}: expected named {name} as a list of objects, got {found!r:.60}.")
    return found


def object_in(holder: Mapping[str, JSON], name: str) -> Mapping[str, JSON]:
    """Return the object under a name, an empty one where there is none."""
    found = holder.get(name)
    return found if is_object(found) else {}


def key_of(value: JSON) -> int | str | None:
    """Return the number or the text by which files name nodes and links, None for anything else."""
    return value if isinstance(value, (int, str)) else None


def _items(value: JSON) -> list[JSON]:
    """Return a list, the values of an object, and anything else as the only item."""
    if is_object(value):
        return list(value.values())
    return value if is_list(value) else [value] if value else []


def _nodes(graph: Mapping[str, JSON], path: str) -> Iterator[Mapping[str, JSON]]:
    for node in _items(graph.get("nodes")):
        if not is_object(node) or not isinstance(node.get("type"), str):
            raise GraphError(f"Expected a node with a type in the workflow, got {node!r:.60}.")
        if not isinstance(node.get("id"), (int, str)):
            raise GraphError(f"Expected a {node['type']} node with an id, found none ({path}).")
        yield node


def _links(graph: Mapping[str, JSON]) -> Iterator[tuple[JSON, Link]]:
    """Read links written as lists (the whole graph) or objects (sub-graphs, format 1)."""
    for link in _items(graph.get("links")):
        if link is None:
            continue
        try:
            if is_object(link):
                names = ("id", "origin_id", "origin_slot", "target_id", "target_slot")
                number, source, source_slot, target, target_slot = (link[name] for name in names)
            else:
                number, source, source_slot, target, target_slot = link[:5]
            if None in map(key_of, (number, source, target)) or min(source_slot, target_slot) < 0:
                raise ValueError("no number of a node or a slot")
            yield number, Link(source, int(source_slot), target, int(target_slot))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise GraphError(
                f"Expected a link [id, from, slot, to, slot, type], got {link!r:.80}."
            ) from error
