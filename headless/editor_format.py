"""Workflow files: the editor's format (litegraph 0.4) turned into the API format that is run.

The result is what the page itself would submit: virtual nodes are resolved, muted ones left out,
bypassed ones passed through by type, sub-graphs taken apart.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from ..errors import GraphError
from ..json_values import JSON, is_object
from .bounds import cancellable, checked
from .link_sources import DROPPED, NOTHING, VIRTUAL, Sources, wrapped
from .prompt import Declared, first_problems, is_link, output_nodes, suggestion, upstream
from .saved_graph import Graph, Node, key_of, object_in, objects
from .widget_places import MARKED_INPUT, MARKED_NODES, fill_marks, widget_values

logger = logging.getLogger("avatarvideo.headless.editor_format")
SEARCH_NAME = "Node name for S&R"
GROUP_NODE_PREFIXES = ("workflow>", "workflow/")
_SUB_GRAPH = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def is_editor_format(document: Mapping[str, JSON]) -> bool:
    """Say whether a workflow is in the editor's format; otherwise it is in the API's."""
    return isinstance(document.get("nodes"), list)


def to_prompt(
    document: Mapping[str, JSON],
    declared: Declared,
    *,
    now: datetime | None = None,
    check: Callable[[], None] = lambda: None,
) -> dict[str, JSON]:
    """Return a workflow of either format as a prompt.

    declared: what the node classes of the machine that will run it declare.
    check: called again and again; may raise.
    Raises GraphError for what cannot be converted, naming the node.
    """
    if not is_editor_format(document):
        inner = document.get("prompt")  # the body of a request to a server
        if is_object(inner) and "class_type" not in inner:
            return dict(inner)
        return dict(document)
    return cancellable(lambda: _Conversion(checked(document), declared, now).prompt(), check)


class _Conversion:
    def __init__(
        self, document: Mapping[str, JSON], declared: Declared, now: datetime | None
    ) -> None:
        self._declared = declared
        self._now = now
        self._sources = Sources(declared)
        self._socket_types = {kind for one in declared.values() for kind in one.outputs}
        subgraphs = objects(object_in(document, "definitions"), "subgraphs")
        self._subgraphs = {key_of(graph.get("id")): graph for graph in subgraphs}
        self._nodes: list[Node] = []
        self._add(Graph(document))

    def _add(self, graph: Graph) -> None:
        self._nodes += graph.nodes.values()
        for node in graph.nodes.values():
            inner = self._subgraphs.get(node.type)
            if inner is not None and node.runs:
                if graph.path.count(":") > len(self._subgraphs):
                    raise GraphError(f"{node} contains itself: remove one of them.")
                node.inner = Graph(inner, node)
                self._add(node.inner)

    def prompt(self) -> dict[str, JSON]:
        runnable = [n for n in self._nodes if n.runs and n.type not in VIRTUAL and n.inner is None]
        brought = {node.id: self._brought(node) for node in runnable}
        for node in runnable:
            node.values = self._widget_values(node)
            for name, value in brought[node.id].items():
                if name in node.values and not is_link(value) and value is not DROPPED:
                    node.values[name] = value
        prompt = {node.id: self._converted(node, brought[node.id]) for node in runnable}
        unknown = {node.id: node for node in runnable if node.type not in self._declared}
        return self._without(unknown, prompt) if unknown else prompt

    def _brought(self, node: Node) -> dict[str, JSON]:
        """Return what a node's links bring, by input."""
        slots = enumerate(self._sources.slots(node))
        found = {slot.name: self._sources.of(node, index) for index, slot in slots}
        return {name: value for name, value in found.items() if value is not NOTHING}

    def _widget_values(self, node: Node) -> dict[str, JSON]:
        definition = self._declared.get(node.type)
        if definition is None:
            return {}
        saved, named = (node.saved.get(k) for k in ("widgets_values", "widgets_values_named"))
        sockets = {key_of(one.get("name")) for one in node.inputs if not one.get("widget")}
        typed = definition.inputs.values()
        sockets |= {one.name for one in typed if one.types & self._socket_types}
        return widget_values(definition, saved, named, sockets)

    def _converted(self, node: Node, brought: Mapping[str, JSON]) -> dict[str, JSON]:
        inputs = {name: wrapped(value) for name, value in node.values.items()}
        if node.type in MARKED_NODES and isinstance(inputs.get(MARKED_INPUT), str):
            inputs[MARKED_INPUT] = fill_marks(inputs[MARKED_INPUT], self._value_of, self._now)
        inputs |= {name: value for name, value in brought.items() if name not in node.values}
        inputs |= {name: value for name, value in brought.items() if is_link(value)}
        inputs = {n: value for n, value in inputs.items() if brought.get(n) is not DROPPED}
        definition = self._declared.get(node.type)
        title = node.saved.get("title") or (definition.display_name if definition else node.type)
        return {"class_type": node.type, "inputs": inputs, "_meta": {"title": title}}

    def _without(self, unknown: Mapping[str, Node], prompt: dict[str, JSON]) -> dict[str, JSON]:
        """Leave out nodes whose classes are not here. Raises GraphError where one is needed."""
        known = {n: node for n, node in prompt.items() if n not in unknown}
        outputs = output_nodes(known, self._declared)

        def sources(node_id: str) -> list[str]:
            return [value[0] for value in prompt[node_id]["inputs"].values() if is_link(value)]

        needed = upstream(outputs, sources) if outputs else unknown
        self._refuse_unknown([node for n, node in unknown.items() if n in needed])
        for node in unknown.values():
            logger.warning(
                "%s is left out: its class is not available here, and nothing needs it", node
            )
        for node in known.values():
            inputs = node["inputs"].items()
            node["inputs"] = {n: v for n, v in inputs if not is_link(v) or v[0] not in unknown}
        return known

    def _refuse_unknown(self, unknown: Sequence[Node]) -> None:
        problems: list[str] = []
        for node in unknown:
            if node.type.startswith(GROUP_NODE_PREFIXES):
                problems.append(
                    f"{node} is a group node of an older editor: "
                    "open the workflow there and convert the group to nodes"
                )
            elif _SUB_GRAPH.fullmatch(node.type):
                problems.append(
                    f"{node}: the subgraph that it stands for is not in the file: "
                    "save the whole workflow from the editor again"
                )
            else:
                problems.append(
                    f"{node}: there is no node class {node.type!r} here"
                    + suggestion(node.type, self._declared)
                )
        if problems:
            raise GraphError(first_problems(problems))

    def _value_of(self, name: str, widget: str) -> str | None:
        """Find a widget's value for %Node.widget%: by the node's search name, else its title."""
        found = [
            n for n in self._nodes if object_in(n.saved, "properties").get(SEARCH_NAME) == name
        ]
        found += [n for n in self._nodes if n.saved.get("title") == name]
        value = found[0].values.get(widget) if found else None
        return None if value is None else _javascript_text(value)


def _javascript_text(value: JSON) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
