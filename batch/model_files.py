"""Which model files a job's result depends on: those that its mode would use, by their contents."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import get_args

from ..musetalk.interfaces import Model
from ..musetalk.weights.search import Caches, FoundFiles, find, present_files
from .rows import Task

LOOK_SECONDS = 10.0  # for which a look holds: a list may have tens of thousands of rows
MESH = "face mesh"
_Used = tuple[tuple[Model, ...], bool]  # versions of MuseTalk, and the face mesh


class ModelFiles:
    """The model files of this machine. folders: of models. caches: None for the user's."""

    def __init__(self, folders: Sequence[Path], caches: Caches | None = None) -> None:
        self._folders, self._caches = folders, caches
        self._known: dict[_Used, tuple[float, Mapping[str, str]]] = {}

    def digests(self, task: Task, digest_of: Callable[[str], str]) -> Mapping[str, str]:
        """Return the digests of the files that a task would use, by their networks' names."""
        used = used_by(task)
        when, found = self._known.get(used, (0.0, None))
        if found is None or time.monotonic() - when > LOOK_SECONDS:
            found = {name: digest_of(str(path)) for name, path in self._files(used).items()}
            self._known[used] = time.monotonic(), found
        return found

    def _files(self, used: _Used) -> dict[str, Path]:
        versions, mesh = used
        files: dict[str, Path] = {}
        for model in versions:
            for precision in ("half", "full"):  # which one is taken, the device decides
                found = find(model, self._folders, precision=precision, caches=self._caches)
                if isinstance(found, FoundFiles):
                    names = {
                        f"{model} {precision} {role}": f.path for role, f in found.files.items()
                    }
                    files |= {name: path for name, path in names.items() if path is not None}
        if mesh:
            there = next(present_files(MESH, self._folders, caches=self._caches), None)
            files |= {MESH: there} if there else {}
        return files


def used_by(task: Task) -> _Used:
    """Return what a task may use, were it there; of a workflow everything."""
    if task.workflow:
        return get_args(Model), True
    mode = task.options.get("mode", "auto")
    versions = (task.options.get("model", "v1.5"),) if mode in ("auto", "musetalk") else ()
    return versions, mode != "static" or task.limits != ""
