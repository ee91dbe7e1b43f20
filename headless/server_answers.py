"""What a server says of a run, read with care: every member may be anything."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import GraphError
from ..json_values import JSON, is_object, list_in, object_in, parse_json, text_in
from ..texts import one_line
from .prompt import Prompt, describe, first_problems

BLOCKED = "ExecutionBlocked"  # this error stops one branch only; the run goes on
MOST_NODES = 100_000  # that a run is said to have started; it may grow some of its own
MOST_MESSAGE = 2000  # characters of an error
SHOWN_REFUSALS = 100  # more are counted


@dataclass
class ServerRun:
    """What a server did with a prompt.

    outputs: node id -> what it shows, such as file entries.
    started: nodes that ran or whose results were there already.
    blocked: node id -> why an input was blocked.
    """

    outputs: dict[str, dict[str, JSON]] = field(default_factory=dict)
    started: set[str] = field(default_factory=set)
    blocked: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RunProgress:
    """How far a run is: nodes through, of how many, and how far the present one (0..1)."""

    node_id: str
    finished: int
    total: int
    part: float

    @property
    def fraction(self) -> float:
        return min(1.0, (self.finished + self.part) / max(1, self.total))


def event_of(message: str | bytes, prompt_id: str) -> tuple[str, Mapping[str, JSON]]:
    """Return kind and content of an event of our run; of previews and other runs nothing."""
    with contextlib.suppress(ValueError):  # previews are no JSON
        event = parse_json(message)
        about = object_in(event, "data")
        if about.get("prompt_id") == prompt_id:
            return text_in(event, "type"), about
    return "", {}


def note(run: ServerRun, kind: str, about: Mapping[str, JSON], prompt: Prompt, url: str) -> None:
    """Take an event into account. Raises GraphError when it ends the run."""
    if kind == "execution_interrupted":
        raise GraphError(f"The run was interrupted on the server {url}.")
    if kind == "execution_error":
        node_id = one_line(about.get("node_id"))
        message = one_line(about.get("exception_message", ""), MOST_MESSAGE)
        if about.get("exception_type") == BLOCKED:
            if len(run.blocked) >= MOST_NODES:
                raise GraphError(f"The server {url} blocks more nodes than there can be.")
            run.blocked[node_id] = message.removeprefix("Execution Blocked: ")
            return
        where = describe(prompt, node_id)
        # Our own errors name what to do; others need their class to be understood.
        raise GraphError(f"{where} failed on the server {url}: {message}")
    nodes = list_in(about, "nodes") if kind == "execution_cached" else [about.get("node")]
    if kind in ("execution_cached", "executing") and len(run.started) < MOST_NODES:
        run.started.update(one_line(node) for node in nodes[:MOST_NODES])


def progress_of(
    run: ServerRun, kind: str, about: Mapping[str, JSON], total: int
) -> RunProgress | None:
    """Return how far a run is after an event, None for events that do not say it."""
    if kind not in ("execution_cached", "executing", "progress"):
        return None
    part = 0.0
    if kind == "progress":
        with contextlib.suppress(TypeError, ValueError, ArithmeticError):
            part = float(about.get("value", 0)) / float(about["max"]) if about.get("max") else 0.0
    part = min(1.0, max(0.0, part)) if math.isfinite(part) else 0.0
    finished = len(run.started) - (kind != "execution_cached")
    return RunProgress(one_line(about.get("node", "")), max(0, finished), total, part)


def refusal(prompt: Prompt, body: bytes, url: str) -> str:
    """Return a server's refusal of a prompt as one sentence."""
    try:
        answer = parse_json(body)
        if not is_object(answer):
            raise ValueError("no object")
    except ValueError:
        said = one_line(body[:200].decode("utf-8", "replace"))
        return f"The server {url} refused the workflow: {said}"
    problems = [
        f"{describe(prompt, node_id)}: {_said(one, '({})')}"
        for node_id, found in object_in(answer, "node_errors").items()
        for one in _each_once(list_in(found, "errors")[:SHOWN_REFUSALS])
    ]
    if not problems:
        problems = [_said(object_in(answer, "error"), "{}") or "no reason given"]
    shown = first_problems([one_line(problem, MOST_MESSAGE) for problem in problems])
    return f"The server {url} refused the workflow: {shown}"


def _each_once(errors: Sequence[JSON]) -> list[JSON]:
    """Return errors without what a server says again of each input that a node checks itself."""
    once: dict[str, JSON] = {}
    for error in errors:
        own = text_in(error, "type") == "custom_validation_failed"
        details = text_in(error, "details")
        _name, dash, sentence = details.partition(" - ")
        if own and dash:
            once.setdefault(sentence, {"message": sentence.rstrip(".")})
        else:
            once[f"{text_in(error, 'message')} {details}"] = error
    return list(once.values())


def _said(error: JSON, details: str) -> str:
    told = text_in(error, "details")
    parts = [text_in(error, "message"), details.format(told) if told else ""]
    return " ".join(parts).strip()
