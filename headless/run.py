"""Runs a workflow file without ComfyUI: settings from the command line, our nodes and stand-ins."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from ..encoders.write.output_names import make_folder, not_writable
from ..errors import GraphError
from ..host.contract import Host
from ..json_values import JSON, is_list
from ..pasted import existing
from .editor_format import is_editor_format, to_prompt
from .execute import NodeEvent, ResultCache, run
from .prompt import (
    Declared,
    InputDefinition,
    describe,
    natural_order,
    output_entries,
    suggestion,
    title_of,
)
from .validate import check_structure, validate
from .widget_places import branch_defaults
from .workflow_file import read_workflow

Setting: TypeAlias = tuple[str, str]  # NODE.INPUT and VALUE


@dataclass(frozen=True)
class Workflow:
    """A workflow ready to run.

    extra_pnginfo: what ComfyUI hands to nodes that keep the workflow in their files.
    """

    prompt: dict[str, JSON]
    extra_pnginfo: dict[str, JSON] | None


@dataclass
class WorkflowResult:
    """What a workflow left.

    files: written into the output folder, in the order of their nodes.
    texts: node id -> what an output node shows.
    blocked: node id -> why an input was blocked.
    """

    files: list[Path] = field(default_factory=list)
    texts: dict[str, list[str]] = field(default_factory=dict)
    blocked: dict[str, str] = field(default_factory=dict)


def load_workflow(
    path: Path,
    declared: Declared,
    settings: Iterable[Setting] = (),
    check: Callable[[], None] = lambda: None,
) -> Workflow:
    """Read a workflow of either format and apply settings to it. Raises GraphError.

    check: called again and again; may raise.
    """
    document = read_workflow(path)
    prompt = to_prompt(document, declared, check=check)
    check_structure(prompt)
    for target, value in settings:
        _apply(prompt, declared, target, value)
    return Workflow(prompt, {"workflow": document} if is_editor_format(document) else None)


def parse_setting(text: str) -> Setting:
    """Read NODE.INPUT=VALUE. Raises ValueError when it is something else."""
    target, equals, value = text.partition("=")
    if not equals or "." not in target.strip("."):
        raise ValueError(f"Expected NODE.INPUT=VALUE, got {text!r}.")
    return target, value


def _apply(prompt: dict[str, JSON], declared: Declared, target: str, text: str) -> None:
    node_id, name = _find(prompt, target)
    node = prompt[node_id]
    definition = declared.get(node.get("class_type", ""))
    known = node.get("inputs", {})
    inputs = definition.live_inputs(known) if definition is not None else {}
    if name not in inputs:
        known = inputs or known
        raise GraphError(
            f"{describe(prompt, node_id)} has no input {name!r}{suggestion(name, known)}: "
            f"it has {', '.join(known)}."
        )
    value = _value(text, inputs[name])
    more = branch_defaults(inputs[name], value)
    prompt[node_id] = node | {"inputs": more | node.get("inputs", {}) | {name: value}}


def _find(prompt: Mapping[str, JSON], target: str) -> tuple[str, str]:
    """Split a target where its first part names a node: by id, else title, else class."""
    ids = sorted(prompt, key=natural_order)
    titles = [title_of(prompt[n]) for n in ids]
    classes = [prompt[n]["class_type"] for n in ids]
    parts = target.split(".")
    for count in range(len(parts) - 1, 0, -1):  # titles may hold dots, and so may inputs
        name, rest = ".".join(parts[:count]), ".".join(parts[count:])
        for names in (ids, titles, classes):
            found = [n for n, known in zip(ids, names, strict=True) if known == name]
            if len(found) > 1:
                targets = " or ".join(f"{n}.{rest}" for n in found)
                raise GraphError(
                    f"Expected one node named {name!r}, found {len(found)}: use an id, {targets}."
                )
            if found:
                return found[0], rest
    wanted = target.rpartition(".")[0]
    raise GraphError(
        f"Expected a node with the id, title or class {wanted!r}, found none"
        f"{suggestion(wanted, classes)}: the workflow has "
        f"{', '.join(describe(prompt, n) for n in ids)}."
    )


def _value(text: str, definition: InputDefinition) -> JSON:
    """Read a value as its input's type wants it; what does not fit is left to the validation."""
    if definition.type == "STRING":
        return text
    if definition.choices is not None:
        same = [choice for choice in definition.choices if str(choice) == text]
        if same:
            return same[0]
        path = existing(text).expanduser()
        if path.is_file():
            return str(path.absolute())
    try:
        value = json.loads(text.lower() if definition.type == "BOOLEAN" else text)
    except ValueError:
        return text
    is_widget = definition.choices is not None or definition.widget_type in (
        "INT",
        "FLOAT",
        "BOOLEAN",
    )
    return {"__value__": value} if is_widget and is_list(value) else value


def node_table() -> tuple[dict[str, type], dict[str, str]]:
    """Return the node classes of a run without ComfyUI, and their display names."""
    from ..nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS
    from .core_nodes import CORE_STAND_INS

    return CORE_STAND_INS | NODE_CLASS_MAPPINGS, dict(NODE_DISPLAY_NAME_MAPPINGS)


def run_workflow(
    workflow: Workflow,
    host: Host,
    nodes: Mapping[str, type],
    *,
    on_event: Callable[[NodeEvent], None] = lambda event: None,
    cache: ResultCache | None = None,
) -> WorkflowResult:
    """Run a workflow into the host's output folder; between nodes the host may cancel.

    Validates before anything is run or made. Raises GraphError or what a node raises; EncodeError
    when the folder cannot be written.
    """
    import torch

    validate(workflow.prompt, nodes)
    check_output_folder(host.output_directory)

    def note(event: NodeEvent) -> None:
        host.check_cancelled()
        on_event(event)

    with torch.inference_mode():
        extra = workflow.extra_pnginfo
        result = run(workflow.prompt, nodes, on_event=note, cache=cache, extra_pnginfo=extra)
    found = WorkflowResult(blocked=result.blocked)
    for node_id in result.outputs:
        ui = result.ui.get(node_id, {})
        for entry in output_entries(ui):
            folder = host.output_directory / entry.get("subfolder", "")
            found.files.append(folder / entry["filename"])
        if "text" in ui:
            found.texts[node_id] = [str(text) for text in ui["text"]]
    return found


def check_output_folder(folder: Path) -> None:
    """Make a folder if it is not there and try whether it can be written. Raises EncodeError."""
    try:
        with tempfile.TemporaryFile(dir=make_folder(folder)):
            pass
    except OSError as error:
        raise not_writable(folder, error) from error
