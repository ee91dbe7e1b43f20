"""Runs a ComfyUI prompt (API format) with a given table of V1 node classes.

Only what the output nodes need is run, inputs before the nodes that take them. A result is used
again when class, constants, fingerprint and the same of all ancestors are equal, and is let go
as soon as nothing waits for it. Order and result never depend on the order of the dictionary.
"""

from __future__ import annotations

import hashlib
import json
import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Literal

from ..errors import AvatarVideoError, Cancelled
from .node_calls import SilentBlocker, call, columns, is_blocker, read_answer
from .prompt import (
    NodeDefinition,
    NodeTable,
    Prompt,
    Value,
    constant,
    definitions,
    describe,
    is_link,
    links_of,
    natural_order,
    output_nodes,
    reachable,
)
from .validate import validate

logger = logging.getLogger("avatarvideo.headless.execute")
Kind = Literal["start", "done", "cached", "blocked"]


@dataclass(frozen=True)
class NodeEvent:
    """Something happened to a node.

    kind: "start", "done", "cached" (an earlier result was used) or "blocked" (an input said no).
    finished, total: how many nodes are through, of how many.
    ui: what a node that is through shows.
    """

    kind: Kind
    node_id: str
    class_type: str
    finished: int
    total: int
    ui: Mapping[str, list[Value]] = field(default_factory=dict[str, list[Value]])


@dataclass
class RunResult:
    """What a run gave.

    outputs: of the output nodes, one list for each output with one value for each call.
    ui: what nodes show: file entries, texts.
    executed, cached: node ids in the order in which they were done.
    blocked: node id -> the message an input was blocked with.
    """

    outputs: dict[str, list[list[Value]]] = field(default_factory=dict)
    ui: dict[str, dict[str, list[Value]]] = field(default_factory=dict)
    executed: list[str] = field(default_factory=list)
    cached: list[str] = field(default_factory=list)
    blocked: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Entry:
    outputs: list[list[Value]]
    ui: dict[str, list[Value]]


class ResultCache(dict[str, _Entry]):
    """Results kept between runs, by signature; after each only those of its own graph remain."""


def run(
    prompt: Prompt,
    nodes: NodeTable,
    *,
    on_event: Callable[[NodeEvent], None] = lambda event: None,
    cache: ResultCache | None = None,
    extra_pnginfo: Mapping[str, Value] | None = None,
) -> RunResult:
    """Validate a prompt and run what its output nodes need.

    on_event is called in this thread; what it raises ends the run. An error of a node is raised
    again as the same class of ours (GraphError for foreign ones) with the node's name in front.
    A blocked output stops its consumers only; see ``RunResult.blocked``.
    """
    validate(prompt, nodes)
    return _Run(prompt, nodes, on_event, cache, extra_pnginfo).execute()


class _DynamicPrompt:
    """What a node that asks for DYNPROMPT gets; nothing is ever added to it here."""

    def __init__(self, prompt: Prompt) -> None:
        self._prompt = prompt

    def get_original_prompt(self) -> Prompt:
        return self._prompt

    def has_node(self, node_id: str) -> bool:
        return node_id in self._prompt

    def get_node(self, node_id: str) -> Mapping[str, Value]:
        return self._prompt[node_id]

    def all_node_ids(self) -> set[str]:
        return set(self._prompt)


class _Run:
    """One run: the state between the nodes. Results are kept by signature, not by node."""

    def __init__(
        self,
        prompt: Prompt,
        nodes: NodeTable,
        on_event: Callable[[NodeEvent], None],
        cache: ResultCache | None,
        extra_pnginfo: Mapping[str, Value] | None,
    ) -> None:
        self._prompt = prompt
        self._nodes = nodes
        self._on_event = on_event
        self._extra_pnginfo = extra_pnginfo
        self._declared = definitions(nodes)
        self._outputs = output_nodes(prompt, self._declared)
        self._needed = reachable(prompt, self._declared, self._outputs)
        self._links = {n: links_of(prompt, self._declared, n) for n in self._needed}
        self._keep = cache is not None
        self._entries = ResultCache() if cache is None else cache
        self._signatures = self._all_signatures()
        self._waiting = self._consumers()
        self._done: set[str] = set()
        self._blocked: set[str] = set()
        self._instances: dict[str, Value] = {}
        self._result = RunResult()

    def execute(self) -> RunResult:
        try:
            for node_id in self._outputs:
                self._pull(node_id)
                entry = self._entries[self._signatures[node_id]]
                self._result.outputs[node_id] = entry.outputs
        finally:
            # A blocked result must not be used again: its message would be lost.
            stale = self._entries.keys() - (set(self._signatures.values()) - self._blocked)
            for signature in stale:
                del self._entries[signature]
        return self._result

    def _instance(self, node_id: str) -> Value:
        if node_id not in self._instances:
            self._instances[node_id] = self._nodes[self._prompt[node_id]["class_type"]]()
        return self._instances[node_id]

    def _definition(self, node_id: str) -> NodeDefinition:
        return self._declared[self._prompt[node_id]["class_type"]]

    # Order: a stack, because a long chain of nodes must not end at Python's recursion limit.

    def _pull(self, target: str) -> None:
        """Run a node and, before it, whatever it needs that has not run yet."""
        stack = [target]
        asked: dict[str, set[str]] = {}  # lazy inputs that a node has asked for
        while stack:
            node_id = stack[-1]
            if node_id in self._done:
                stack.pop()
            elif self._signatures[node_id] in self._entries:
                self._finish(node_id, "cached")
            elif missing := self._missing(node_id, asked.setdefault(node_id, set())):
                stack += missing
            elif more := self._lazily_wanted(node_id, asked[node_id]):
                asked[node_id] |= more
            else:
                self._run_node(node_id)

    def _missing(self, node_id: str, asked: set[str]) -> list[str]:
        options = self._definition(node_id).live_inputs(self._prompt[node_id].get("inputs", {}))
        sources = {
            source
            for name, (source, _) in self._links[node_id].items()
            if source not in self._done and (name in asked or not options[name].options.get("lazy"))
        }
        return sorted(sources, key=natural_order, reverse=True)

    def _lazily_wanted(self, node_id: str, asked: set[str]) -> set[str]:
        lazy = {
            name
            for name, (source, _) in self._links[node_id].items()
            if source not in self._done and name not in asked
        }
        node = self._instance(node_id)
        if not lazy or not hasattr(node, "check_lazy_status"):
            return lazy  # nobody else could ask for them
        answers = self._call(node_id, node, "check_lazy_status", self._arguments(node_id))
        asked_for = [answer for answer in answers if not is_blocker(answer)]
        return lazy & {name for answer in asked_for for name in answer or ()}

    # Results: who still waits for them, and when they may be used again.

    def _all_signatures(self) -> dict[str, str]:
        """Give equal nodes with equal ancestors the same text."""
        sources = {n: [source for source, _ in self._links[n].values()] for n in self._needed}
        found: dict[str, str] = {}
        for node_id in TopologicalSorter(sources).static_order():
            found[node_id] = self._signature(node_id, found)
        return found

    def _signature(self, node_id: str, known: Mapping[str, str]) -> str:
        class_type = self._prompt[node_id]["class_type"]
        node = self._nodes[class_type]
        inputs: dict[str, Value] = dict(self._constants(node_id))
        for name, (source, index) in self._links[node_id].items():
            inputs[name] = ["link", known[source], index]
        parts = [class_type, self._fingerprint(node_id), inputs]
        own = "UNIQUE_ID" in self._definition(node_id).hidden.values()
        if own or getattr(node, "NOT_IDEMPOTENT", False):
            parts.append(node_id)
        text = json.dumps(parts, sort_keys=True, default=_as_text)
        return hashlib.sha256(text.encode()).hexdigest()

    def _fingerprint(self, node_id: str) -> Value:
        node = self._nodes[self._prompt[node_id]["class_type"]]
        if not hasattr(node, "IS_CHANGED"):
            return None
        arguments = self._arguments(node_id, constants_only=True)
        try:
            answer = self._call(node_id, node, "IS_CHANGED", arguments)
        except Cancelled:
            raise
        except AvatarVideoError as error:
            logger.info("%s", error)
            return _never_equal()
        return _never_equal() if any(a != a for a in answer) else answer

    def _consumers(self) -> dict[str, set[str]]:
        """Return, for each signature, the signatures that still wait for its result."""
        waiting: dict[str, set[str]] = {s: set() for s in self._signatures.values()}
        for node_id, links in self._links.items():
            for source, _ in links.values():
                waiting[self._signatures[source]].add(self._signatures[node_id])
        for node_id in self._outputs:
            waiting[self._signatures[node_id]].add("the caller")
        return waiting

    def _finish(self, node_id: str, kind: Kind) -> None:
        signature = self._signatures[node_id]
        self._done.add(node_id)
        (self._result.cached if kind == "cached" else self._result.executed).append(node_id)
        for source, _ in self._links[node_id].values():
            waiting = self._waiting[self._signatures[source]]
            waiting.discard(signature)
            if not waiting and not self._keep:
                self._entries.pop(self._signatures[source], None)
        if ui := self._entries[signature].ui:
            self._result.ui[node_id] = ui
        self._tell(kind, node_id, ui)

    def _tell(self, kind: Kind, node_id: str, ui: Mapping[str, list[Value]] | None = None) -> None:
        class_type = self._prompt[node_id]["class_type"]
        total = len(self._needed)
        self._on_event(NodeEvent(kind, node_id, class_type, len(self._done), total, ui or {}))

    # One node.

    def _run_node(self, node_id: str) -> None:
        self._tell("start", node_id)
        node = self._instance(node_id)
        answers = self._call(node_id, node, node.FUNCTION, self._arguments(node_id))
        rows: list[tuple[Value, ...]] = []
        shown: dict[str, list[Value]] = {}
        count = len(self._definition(node_id).outputs)
        where = describe(self._prompt, node_id)
        for answer in answers:
            row, ui = read_answer(answer, count, where)
            rows.append(row)
            for key, values in ui.items():
                shown.setdefault(key, []).extend(values)
        signature = self._signatures[node_id]
        self._entries[signature] = _Entry(columns(rows, count, node), shown)
        blockers = [answer for answer in answers if isinstance(answer, SilentBlocker)]
        if blockers:
            self._blocked.add(signature)
        for reason in (one.reason for one in blockers if one.reason is not None):
            self._result.blocked[node_id] = reason
        self._finish(node_id, "blocked" if blockers and len(blockers) == len(answers) else "done")

    def _constants(self, node_id: str) -> dict[str, Value]:
        inputs = self._prompt[node_id].get("inputs", {})
        return {
            name: constant(inputs[name], definition, check_range=False)
            for name, definition in self._definition(node_id).live_inputs(inputs).items()
            if name in inputs and not is_link(inputs[name])
        }

    def _arguments(self, node_id: str, *, constants_only: bool = False) -> dict[str, list[Value]]:
        """Return each input as the list of values it brings; one that has not run brings None."""
        found = {name: [value] for name, value in self._constants(node_id).items()}
        for name, (source, index) in self._links[node_id].items():
            entry = self._entries.get(self._signatures[source]) if not constants_only else None
            found[name] = entry.outputs[index] if entry else [None]
        hidden: dict[str, object] = {
            "PROMPT": {} if constants_only else self._prompt,
            "DYNPROMPT": None if constants_only else _DynamicPrompt(self._prompt),
            "EXTRA_PNGINFO": None if constants_only else self._extra_pnginfo,
            "UNIQUE_ID": node_id,
        }
        for name, kind in self._definition(node_id).hidden.items():
            found[name] = [hidden.get(kind)]
        return found

    def _call(
        self, node_id: str, node: Value, method: str, arguments: dict[str, list[Value]]
    ) -> list[Value]:
        return call(node, method, arguments, where=describe(self._prompt, node_id))


def _never_equal() -> str:
    return uuid.uuid4().hex


def _as_text(value: Value) -> str:
    """Return a fingerprint that JSON has no form for; what cannot be compared is always new."""
    return value.hex() if isinstance(value, bytes) else _never_equal()
