"""How a V1 node is called: once for each value of its inputs, and what its answers mean."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import AvatarVideoError, Cancelled, GraphError
from ..json_values import is_list, is_object
from .prompt import Value


class SilentBlocker:
    """Stands for the answer of a node that was not called: an input was blocked, for a reason."""

    message = None  # whoever takes this is not told the reason again

    def __init__(self, reason: str | None) -> None:
        self.reason = reason


def is_blocker(value: Value) -> bool:
    """Say whether a value stands for an output that was not made."""
    # Known by name and attribute: ComfyUI's class and our host's have no common base.
    named = type(value).__name__ in ("ExecutionBlocker", "SilentBlocker")
    return named and hasattr(value, "message")


def call(
    node: Value, method: str, arguments: Mapping[str, list[Value]], *, where: str
) -> list[Value]:
    """Call a method once for each index of the longest list, or once with the lists.

    The shorter lists repeat their last value; where a list is empty there is nothing to call.
    Where a value is blocked the answer is a SilentBlocker. Errors are raised again with ``where``
    in front: ours as they are, foreign ones as GraphError.
    """
    if getattr(node, "INPUT_IS_LIST", False):
        return [_call_once(node, method, arguments, where)]
    lengths = [len(values) for values in arguments.values()] or [1]
    answers: list[Value] = []
    for i in range(max(lengths) if min(lengths) else 0):
        row = {name: v[min(i, len(v) - 1)] for name, v in arguments.items()}
        answers.append(_call_once(node, method, row, where))
    return answers


def _call_once(node: Value, method: str, row: Mapping[str, Value], where: str) -> Value:
    for value in row.values():
        for one in value if is_list(value) else [value]:
            if is_blocker(one):
                return SilentBlocker(None if one.message is None else str(one.message))
    try:
        return getattr(node, method)(**row)
    except Cancelled:
        raise
    except AvatarVideoError as error:
        raise _named(error, where) from error
    except Exception as error:
        name = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        raise GraphError(f"{where}: {name}{error}") from error


def _named(error: AvatarVideoError, where: str) -> AvatarVideoError:
    """Return an error of the same type that names the node, with all that it carries."""
    named = type(error)(f"{where}: {error}")
    vars(named).update(vars(error))
    return named


def read_answer(
    answer: Value, count: int, where: str
) -> tuple[tuple[Value, ...], dict[str, Value]]:
    """Return a node's outputs and what it shows. Raises GraphError for anything but ``count``."""
    ui: dict[str, Value] = {}
    if is_object(answer):
        if "expand" in answer:
            raise GraphError(
                f"{where} expands the graph while it runs, which only ComfyUI can do: "
                "send the workflow to a server with --server."
            )
        ui, answer = answer.get("ui") or {}, answer.get("result", ())
    if is_blocker(answer):
        return (answer,) * count, ui
    row: tuple[Value, ...] = () if answer is None else tuple(answer)
    if not row and ui:
        return (None,) * count, ui
    if len(row) != count:
        raise GraphError(f"{where} returned {len(row)} results, expected {count} as declared.")
    return row, ui


def columns(rows: list[tuple[Value, ...]], count: int, node: Value) -> list[list[Value]]:
    """Turn one row for each call into one list for each output."""
    is_list = getattr(node, "OUTPUT_IS_LIST", ())
    found: list[list[Value]] = []
    for index in range(count):
        column: list[Value] = []
        for row in rows:
            spread = index < len(is_list) and is_list[index] and not is_blocker(row[index])
            column += row[index] if spread else [row[index]]
        found.append(column)
    return found
