"""How large a workflow file may be, and where it is converted.

Files come from anywhere: sub-graphs multiply, and chains are long. They are counted before they
are taken apart, and the work is done where a cancel is heard.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TypeVar

from ..errors import GraphError
from ..json_values import JSON, list_in, object_in, text_in
from ..texts import one_line

MOST_NODES = 20_000  # after sub-graphs were taken apart
SHOWN = 60  # characters of a name in a message
STEP_SECONDS = 0.05
LEFT_OUT = (2, 4)  # the modes of nodes that are muted or bypassed

_T = TypeVar("_T")


def cancellable(work: Callable[[], _T], check: Callable[[], None] = lambda: None) -> _T:
    """Return what work returns, done in a thread of its own.

    check: called every 50 ms on the calling thread; may raise, which leaves the work behind.
    Raises what work raises, and GraphError for a graph that is too deep.
    """
    results: list[_T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except RecursionError:
            errors.append(GraphError("Expected a workflow with shorter chains of links: split it."))
        except BaseException as error:  # noqa: BLE001 - raised again by the caller
            errors.append(error)

    thread = threading.Thread(target=run, name="avatarvideo conversion", daemon=True)
    thread.start()
    while True:
        thread.join(STEP_SECONDS)
        check()  # once at least, however quick the work is
        if not thread.is_alive():
            break
    if errors:
        raise errors[0]
    return results[0]


def checked(document: Mapping[str, JSON]) -> Mapping[str, JSON]:
    """Return an editor file that is small enough once its sub-graphs are taken apart.

    Raises GraphError with the count, before anything is taken apart.
    """
    graphs = list_in(object_in(document, "definitions"), "subgraphs")
    by_id = {name: one for one in graphs if (name := text_in(one, "id"))}
    count = _Counter(by_id).nodes_of(document)
    if count > MOST_NODES:
        shown = f"{count:,}" if count < 10**15 else "more than 10^15"
        raise GraphError(
            f"Expected a workflow of at most {MOST_NODES:,} nodes, got {shown} once its subgraphs "
            "are expanded: split it."
        )
    return document


class _Counter:
    """Counts nodes without taking anything apart; what is no node is named by the conversion."""

    def __init__(self, subgraphs: Mapping[str, JSON]) -> None:
        self._subgraphs = subgraphs
        self._known: dict[str, int] = {}
        self._open: set[str] = set()

    def nodes_of(self, graph: JSON) -> int:
        # A few files hold an object of them instead.
        nodes = list_in(graph, "nodes") or object_in(graph, "nodes").values()
        return sum(1 + self._inside(node) for node in nodes)

    def _inside(self, node: JSON) -> int:
        kind = text_in(node, "type")
        if kind not in self._subgraphs or node.get("mode") in LEFT_OUT:
            return 0
        if kind in self._open:
            name = f"{one_line(node.get('id'), SHOWN)} ({one_line(kind, SHOWN)})"
            raise GraphError(f"Node {name} contains itself: remove one of them.")
        if kind not in self._known:
            self._open.add(kind)
            self._known[kind] = self.nodes_of(self._subgraphs[kind])
            self._open.discard(kind)
        return self._known[kind]
