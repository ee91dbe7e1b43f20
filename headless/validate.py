"""What makes a prompt runnable, checked before anything runs; every problem names its node.

The rules are the host's, a little stricter where the host lets nonsense through to the node.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter

from ..errors import AvatarVideoError, GraphError
from ..json_values import JSON, is_list, is_object
from .prompt import (
    ANY_TYPE,
    SHOWN_PROBLEMS,
    WIDGET_TYPES,
    Declared,
    InputDefinition,
    NodeTable,
    Prompt,
    constant,
    definitions,
    describe,
    first_problems,
    is_link,
    links_of,
    natural_order,
    output_nodes,
    reachable,
    suggestion,
)

logger = logging.getLogger("avatarvideo.headless.validate")


def validate(prompt: Prompt, nodes: NodeTable) -> None:
    """Check that a prompt can run with these nodes.

    Raises GraphError with the first problems, each naming its node; all of them are logged.
    As in the host, only what the output nodes need is checked beyond its class.
    """
    check_structure(prompt)
    declared = definitions(nodes)
    _raise_all(_unknown_classes(prompt, declared))
    outputs = output_nodes(prompt, declared)
    if not outputs:
        raise GraphError(
            "Expected a node that writes or shows something (an output node), found none among "
            f"{len(prompt)} nodes: add one, such as FFmpegEncode."
        )
    needed = reachable(prompt, declared, outputs)
    _raise_all(_cycle(prompt, declared, needed))
    problems: list[str] = []
    sockets = frozenset(t for d in declared.values() for t in d.outputs) - WIDGET_TYPES
    for node_id in needed:
        check = _NodeCheck(prompt, node_id, declared, nodes[prompt[node_id]["class_type"]], sockets)
        problems += [f"{describe(prompt, node_id)}: {problem}" for problem in check.problems()]
    _raise_all(problems)


def check_structure(prompt: object) -> None:
    """Raise GraphError unless this maps ids to nodes that have a class and inputs."""
    _raise_all(_broken_structure(prompt))


def _raise_all(problems: Iterable[str]) -> None:
    found = list(problems)
    if len(found) > SHOWN_PROBLEMS:
        for problem in found:
            logger.info("%s", problem)
    if found:
        raise GraphError(first_problems(found))


def _broken_structure(prompt: object) -> Iterator[str]:
    if not is_object(prompt) or not prompt:
        yield f"Expected a workflow that maps node ids to nodes, got {type(prompt).__name__}" + (
            " without any node" if is_object(prompt) else ""
        )
        return
    for node_id, node in prompt.items():
        yield from _broken_node(node_id, node)


def _broken_node(node_id: object, node: object) -> Iterator[str]:
    if not isinstance(node_id, str):
        yield f"Node {node_id!r}: expected text as the id"
    elif not is_object(node):
        yield f"Node {node_id}: expected an object with class_type and inputs, got {node!r:.60}"
    elif not isinstance(node.get("class_type"), str):
        yield f"Node {node_id}: expected a class_type, found none"
    elif not is_object(node.get("inputs", {})):
        yield f"{describe({node_id: node}, node_id)}: expected inputs as an object"


def _unknown_classes(prompt: Prompt, declared: Declared) -> Iterator[str]:
    for node_id in sorted(prompt, key=natural_order):
        class_type = prompt[node_id]["class_type"]
        if class_type not in declared:
            yield (
                f"{describe(prompt, node_id)}: there is no node class {class_type!r} here"
                + suggestion(class_type, declared)
            )


def _cycle(prompt: Prompt, declared: Declared, needed: list[str]) -> Iterator[str]:
    """Find one loop, told from its smallest id on."""
    sources = {n: [s for s, _ in links_of(prompt, declared, n).values()] for n in needed}
    try:
        TopologicalSorter(sources).prepare()
    except CycleError as error:
        loop: list[str] = error.args[1][1:]
        first = loop.index(min(loop, key=natural_order))
        loop = [*loop[first:], *loop[: first + 1]]
        yield f"{describe(prompt, loop[0])}: its links form a loop, {' -> '.join(loop)}: remove one"


class _NodeCheck:
    """The rules for the inputs of one node."""

    def __init__(
        self, prompt: Prompt, node_id: str, declared: Declared, node: type, sockets: frozenset[str]
    ) -> None:
        self._prompt = prompt
        self._inputs = prompt[node_id].get("inputs", {})
        self._declared = declared
        self._definition = declared[prompt[node_id]["class_type"]]
        self._sockets = sockets
        self._own_check: JSON = getattr(node, "VALIDATE_INPUTS", lambda: True)
        spec = inspect.getfullargspec(self._own_check)
        self._named = spec.args + spec.kwonlyargs
        self._names_all = spec.varkw is not None
        self._node_id = node_id
        self._received: dict[str, str] = {}
        self._values: dict[str, JSON] = {}

    def problems(self) -> list[str]:
        """Return a sentence for everything that is wrong."""
        found: list[str] = []
        declared = self._definition.live_inputs(self._inputs)
        for name, definition in declared.items():
            try:
                self._check(name, definition)
            except GraphError as problem:
                found.append(str(problem))
        for name in sorted(self._inputs.keys() - declared.keys()):
            logger.warning(
                "%s: there is no input %r%s; it is ignored",
                describe(self._prompt, self._node_id),
                name,
                suggestion(name, declared),
            )
        return found or self._custom_problems()

    def _check(self, name: str, definition: InputDefinition) -> None:
        if name not in self._inputs:
            # The host does without a combo inside another: older files choose elsewhere.
            if definition.required and not (definition.branches and "." in name):
                raise GraphError(f"input {name!r} ({definition.type}) is missing")
            return
        value = self._inputs[name]
        if is_list(value):
            self._values[name] = None
            self._check_link(name, definition, value)
            return
        if definition.types <= self._sockets and not (value is None and not definition.required):
            raise GraphError(
                f"input {name!r}: expected a link that brings {definition.type}, got {value!r:.60}"
            )
        own = self._names_all or name in self._named
        self._values[name] = constant(value, definition, check_range=not own)

    def _check_link(self, name: str, definition: InputDefinition, value: list[JSON]) -> None:
        if not is_link(value):
            raise GraphError(
                f'input {name!r}: expected a link ["node id", output index], got {value!r:.60} '
                '(a list as a value is written {"__value__": [...]})'
            )
        source: str
        index: int
        source, index = value
        if source not in self._prompt:
            raise GraphError(f"input {name!r} is linked to node {source}, which does not exist")
        outputs = self._declared[self._prompt[source]["class_type"]].outputs
        where = describe(self._prompt, source)
        if not 0 <= index < len(outputs):
            raise GraphError(
                f"input {name!r} is linked to output {index} of {where}, "
                f"which has {len(outputs)} outputs (counted from 0)"
            )
        self._received[name] = outputs[index]
        if "input_types" not in self._named and not _fits(outputs[index], definition):
            raise GraphError(
                f"input {name!r}: expected {definition.type}, got {outputs[index]} "
                f"from output {index} of {where}"
            )

    def _custom_problems(self) -> list[str]:
        wanted = {n: v for n, v in self._values.items() if self._names_all or n in self._named}
        shown = ", ".join(repr(name) for name in wanted)
        for name, kind in self._definition.hidden.items():
            if name in self._named:
                wanted[name] = self._node_id if kind == "UNIQUE_ID" else None
        if "input_types" in self._named:
            wanted["input_types"] = self._received
        if not wanted:
            return []
        if getattr(self._own_check.__self__, "INPUT_IS_LIST", False):
            wanted = {name: [value] for name, value in wanted.items()}
        try:
            answer = self._own_check(**wanted)
        except AvatarVideoError as error:
            answer = str(error)
        if answer is True:
            return []
        sentence = str(answer).rstrip(".") if answer is not False else "the value is not accepted"
        # A sentence on several inputs together says itself which of them matter.
        says_it = answer is not False and len(wanted) > 1
        return [sentence if says_it or not shown else f"input {shown}: {sentence}"]


def _fits(received: str, definition: InputDefinition) -> bool:
    types = {part.strip() for part in received.split(",")}
    return bool(types & definition.types) or ANY_TYPE in types | definition.types
